"""Bringing a database to a schema of this code."""

from alembic import command
from alembic.config import Config

from app.db.revisions import MIGRATIONS


def configuration(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, *, revision: str = "head") -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, *, revision: str) -> None:
    command.downgrade(configuration(url), revision)
