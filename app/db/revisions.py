"""Which schema this code needs and which one a database has, without reading the library that migrates."""

from pathlib import Path

from sqlalchemy import text

from app.db.engine import Session

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def revisions() -> list[str]:
    """All revisions, oldest first: files are named by them, `0001_first_schema.py`."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def newest_revision() -> str:
    return revisions()[-1]


async def current_revision(session: Session) -> str | None:
    """The revision a database stands at; null when it was never migrated."""
    known = await session.scalar(text("select to_regclass('alembic_version') is not null"))
    return await session.scalar(text("select version_num from alembic_version")) if known else None
