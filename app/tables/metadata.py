"""The schema's own vocabulary: one metadata, one naming convention, the column kinds that recur."""

from sqlalchemy import CheckConstraint, Column, DateTime, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MAX_IDENTIFIER = 255


def identifier(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[str]:
    """An identifier or short word that sorts by its bytes, whatever the database's collation is."""
    return Column(name, Text(collation="C"), nullable=nullable, primary_key=primary_key)


def instant(name: str, *, nullable: bool = False, defaults_to_now: bool = False) -> Column[object]:
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if defaults_to_now else None
    )


def document(name: str, *, nullable: bool = False, default: str | None = "{}") -> Column[object]:
    return Column(name, JSONB(none_as_null=True), nullable=nullable, server_default=default)


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """An enumeration as text and a check: new words need no type migration."""
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({words})", name=f"{column}_known")


def short(column: str) -> CheckConstraint:
    return CheckConstraint(f"octet_length({column}) between 1 and {4 * MAX_IDENTIFIER}", name=f"{column}_length")
