"""Bringing a database to the schema of this code, and telling whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.db.engine import Session

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def configuration(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, *, revision: str = "head") -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, *, revision: str) -> None:
    command.downgrade(configuration(url), revision)


def newest_revision() -> str:
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None, "the migrations folder holds at least one revision"
    return head


def revisions() -> list[str]:
    """All revisions, oldest first."""
    return [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]


async def current_revision(session: Session) -> str | None:
    """The revision a database stands at; null when it was never migrated."""
    known = await session.scalar(text("select to_regclass('alembic_version') is not null"))
    return await session.scalar(text("select version_num from alembic_version")) if known else None
