"""A real PostgreSQL below TESSERA_HOME, so that one command on a laptop needs no server set up first."""

from app.db.embedded.discovery import database_for, find_running
from app.db.embedded.errors import EmbeddedPostgresError, HomeInUse
from app.db.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "HomeInUse", "database_for", "find_running"]
