"""Finds the PostgreSQL of a home for a command, or runs one as long as the command takes."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.db.embedded.errors import HomeInUse
from app.db.embedded.home import Home
from app.db.embedded.program import close_fd
from app.db.embedded.server import EmbeddedPostgres, Report, clear_errors, silent

RETRY_SECONDS = 0.2


def find_running(home: Path) -> str | None:
    """The url of the PostgreSQL that serves this home, proven by a connection; None when none does."""
    with clear_errors(home):
        place = Home.at(home)
        written = place.pid_file()
        # A copied home carries the pid file of the original, whose server would even accept the password.
        if written is None or written.data != str(place.data) or not written.socket_dir:
            return None
        try:
            conninfo = place.conninfo(socket_dir=written.socket_dir)
            psycopg.connect(conninfo, connect_timeout=5).close()
        except (FileNotFoundError, psycopg.OperationalError):
            return None
        return place.url(socket_dir=written.socket_dir)


@contextmanager
def database_for(
    home: Path,
    *,
    on_progress: Report | None = None,
    timeout: float = 300.0,
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The url of a PostgreSQL for this home while the block runs, started and stopped here if none runs.

    Commands may overlap: the one that started it stops it only after the others are done with it.
    """
    report, deadline = on_progress or silent, time.monotonic() + timeout
    with clear_errors(home):
        users = Home.create(home).open("postgres.users", os.O_RDWR)
    server, waited_for = None, None
    try:
        while (url := _share(home, users)) is None:
            try:
                server = EmbeddedPostgres.start(
                    home, on_progress=report, timeout=deadline - time.monotonic(), settings=settings
                )
            except HomeInUse as error:
                # Its owner is just starting or stopping: soon there is a url to share, or the home is free.
                if time.monotonic() > deadline:
                    raise
                if error.owner != waited_for:
                    report(f"waiting for the database: {error}")
                    waited_for = error.owner
                time.sleep(RETRY_SECONDS)
            else:
                url = server.url
                break
        yield url
    finally:
        if server:
            _leave(server, users, report)
        close_fd(users)


def _share(home: Path, users: int) -> str | None:
    """Use what runs, and keep a command that runs it from stopping it until `users` is closed."""
    fcntl.flock(users, fcntl.LOCK_SH)
    url = find_running(home)
    if url is None:
        fcntl.flock(users, fcntl.LOCK_UN)
    return url


def _leave(server: EmbeddedPostgres, users: int, report: Report) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report("waiting for other commands that use this database")
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        server.stop()
