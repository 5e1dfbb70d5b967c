"""Where this installation keeps its data: its settings, its database and its secret, the same for every command."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.cli.failures import CommandFailed, WrongUsage, say

if TYPE_CHECKING:
    from app.config import Settings
    from app.db.engine import Session

Result = TypeVar("Result")

DRIVER = "postgresql+psycopg"
SCHEMES = ("postgresql", "postgres", DRIVER)
SECRET_FILE, SECRET_BYTES, SECRET_CHARACTERS = "secret", 32, 32


@dataclass(frozen=True, slots=True)
class Installation:
    """All that a command needs to work on the data."""

    settings: "Settings"
    database_url: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What a reachable PostgreSQL is, and how far its schema is."""

    version: int
    revision: str | None
    newest: str

    @property
    def is_current(self) -> bool:
        return self.revision == self.newest


@contextmanager
def opened() -> Iterator[Installation]:
    """The installation with its database reachable and at the newest schema, while the block runs.

    The embedded database is the one of the running service, or one started and stopped here. An external
    one is never migrated on the way: that is what `tessera migrate` is for.
    """
    settings = load_settings()
    with database_of(settings) as url:
        require_usable(url, migrates=settings.database_url is None)
        yield Installation(settings, url, secret_of(settings))


def load_settings() -> "Settings":
    from app.config import Settings

    return Settings()


@contextmanager
def database_of(settings: "Settings") -> Iterator[str]:
    """The url of the database, whatever its schema."""
    if (external := external_url(settings)) is not None:
        yield external
        return
    from app.db.embedded import database_for

    with database_for(settings.home, on_progress=say) as url:
        yield url


def external_url(settings: "Settings") -> str | None:
    """TESSERA_DATABASE_URL with the driver we use; None when the embedded database is meant."""
    if settings.database_url is None:
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in SCHEMES:
        # The url itself is not shown: it holds a password.
        raise WrongUsage(
            "TESSERA_DATABASE_URL is not the address of a PostgreSQL",
            remedy="write it as postgresql://user:password@host:5432/database",
        )
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)


def secret_of(settings: "Settings") -> bytes:
    """TESSERA_SECRET, or the secret of the home, made when it is first needed."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    path = secret_file(settings)
    try:
        if not path.exists():
            _make_secret(path)
        text = path.read_text().strip()
    except OSError as error:
        raise CommandFailed(
            f"the secret in {path} cannot be read or made: {error.strerror}",
            remedy="run as the user that owns the home, give access there, or set TESSERA_SECRET",
        ) from error
    if len(text) < SECRET_CHARACTERS:
        raise CommandFailed(
            f"{path} is damaged: it holds less than {SECRET_CHARACTERS} characters",
            remedy="restore it from a backup; with a new one, cursors and tombstones of before are no longer known",
        )
    return text.encode()


def secret_file(settings: "Settings") -> Path:
    return settings.home.expanduser().resolve() / SECRET_FILE


def _make_secret(path: Path) -> None:
    """Whole or not at all, and never over one that another process made meanwhile."""
    draft = path.with_name(f"{SECRET_FILE}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(fd)
        owner = path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(draft, owner.st_uid, owner.st_gid)  # so that the home's own user can run it too
        _name(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _name(draft: Path, path: Path) -> None:
    with suppress(FileExistsError):
        try:
            os.link(draft, path)
        except PermissionError:
            draft.rename(path)  # some file systems have no links


def require_usable(url: str, *, migrates: bool) -> DatabaseState:
    """A database that this code can work with; where it may, it is brought to the newest schema."""
    state = inspect(url)
    require_version(state)
    if state.is_current:
        return state
    if not migrates:
        raise CommandFailed(schema_behind(state), remedy="run `tessera migrate`")
    from app.db import migrate

    say("bringing the database to the newest schema" if state.revision else "creating the tables")
    migrate.upgrade(url)
    return inspect(url)


def inspect(url: str) -> DatabaseState:
    """Look at a database. Raises what the driver raises when it cannot be reached."""
    from app.db.compatibility import server_version
    from app.db.revisions import current_revision, newest_revision

    async def look(session: "Session") -> tuple[int, str | None]:
        return await server_version(session), await current_revision(session)

    version, revision = in_transaction(url, look, writes=False)
    return DatabaseState(version, revision, newest_revision())


def in_transaction(url: str, work: Callable[["Session"], Awaitable[Result]], *, writes: bool) -> Result:
    """Do one piece of work in one transaction of its own."""
    from app.db.engine import Database

    async def run() -> Result:
        database = Database(url, pool_size=1, statement_timeout_seconds=30, application="tessera command")
        try:
            async with database.write() if writes else database.read() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())


def require_version(state: DatabaseState) -> None:
    from app.db.compatibility import MINIMUM_VERSION, is_supported

    if not is_supported(state.version):
        raise CommandFailed(
            f"the database is a PostgreSQL {state.version // 10_000}; Tessera needs {MINIMUM_VERSION} or newer",
            remedy="upgrade it, or point TESSERA_DATABASE_URL at a newer one",
        )


def schema_behind(state: DatabaseState) -> str:
    at = f"at revision {state.revision}" if state.revision else "empty"
    return f"the database's schema is {at}, this code needs revision {state.newest}"
