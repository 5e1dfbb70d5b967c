"""Owns one PostgreSQL for one home: starts it, keeps it alive, stops it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from app.db.embedded import cluster, leftovers
from app.db.embedded.errors import HomeNotUsable, StartFailed, StartTimedOut
from app.db.embedded.home import DATABASE, PORT, ROLE, Home
from app.db.embedded.program import Program, close_fd
from app.db.embedded.sizing import server_settings

Report = Callable[[str], None]
POLL_SECONDS, REPORT_SECONDS = 0.02, 2.0


def silent(_: str) -> None:
    """For callers who want no progress."""


class EmbeddedPostgres:
    """A running PostgreSQL that this process owns exclusively."""

    def __init__(self, home: Home, *, lock: int, settings: Mapping[str, str], sync: bool) -> None:
        self._home, self._lock, self._settings, self._sync = home, lock, settings, sync
        self._program: Program | None = None
        self._socket_dir = home.socket_dir
        self._owner = os.getpid()
        self._stopping = threading.Event()
        self._turn = threading.RLock()

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        on_progress: Report | None = None,
        timeout: float = 300.0,
        settings: Mapping[str, str] | None = None,
        sync: bool = True,
    ) -> Self:
        """Take the home, make the cluster when there is none, and wait until it accepts connections.

        `settings` override the computed ones; `sync=False` makes initdb skip fsync and is for tests.
        """
        report, deadline = on_progress or silent, time.monotonic() + timeout
        with clear_errors(home):
            place = Home.create(home)
            server = cls(place, lock=place.lock(), settings=settings or {}, sync=sync)
            try:
                server._bring_up(deadline, report)
            except BaseException:
                server.stop(timeout=0)
                raise
        return server

    @property
    def url(self) -> str:
        return self._home.url(socket_dir=str(self._socket_dir))

    @property
    def conninfo(self) -> str:
        return self._home.conninfo(socket_dir=str(self._socket_dir))

    @property
    def pid(self) -> int:
        """The postmaster's pid; 0 when none was started."""
        return self._program.pid if self._program else 0

    def alive(self) -> bool:
        return self._program is not None and self._program.exit_code() is None

    def restart_if_dead(self, *, on_progress: Report | None = None, timeout: float = 300.0) -> bool:
        """Start PostgreSQL again at the same url if it died; whether that was needed."""
        with self._turn, clear_errors(self._home.path):
            if self._stopping.is_set() or self.alive() or os.getpid() != self._owner:
                return False
            self._end_program()
            self._bring_up(time.monotonic() + timeout, on_progress or silent)
            return True

    def stop(self, *, timeout: float = 30.0) -> None:
        """Fast shutdown, after `timeout` seconds an immediate one; then give the home back."""
        if os.getpid() != self._owner:
            return  # a forked child owns nothing
        self._stopping.set()  # a restart under way in another thread gives up
        with self._turn:
            if self._program:
                for number, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10), (signal.SIGKILL, 5)):
                    self._program.signal(number)
                    if self._program.wait(patience):
                        break
            try:
                self._end_program()
                with suppress(OSError):
                    self._socket_dir.rmdir()
            finally:
                close_fd(self._lock)
                self._lock = -1

    def _end_program(self) -> None:
        if self._program:
            self._program.close()
            self._program = None
            leftovers.clear(self._home, report=silent)

    def _bring_up(self, deadline: float, report: Report) -> None:
        home = self._home
        bin_dir = cluster.binaries(home)
        leftovers.clear(home, report=report)
        home.make_private(self._socket_dir)
        if not (home.data / "PG_VERSION").exists():
            report(f"creating the database in {home.data}")
            cluster.initialise(home, bin_dir=bin_dir, deadline=deadline, sync=self._sync)
        settings = {
            **server_settings(home.path),
            **self._settings,
            "cluster_name": home.cluster_name,
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self._socket_dir),
            "logging_collector": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        report("starting PostgreSQL")
        argv = [str(bin_dir / "postgres"), "-D", str(home.data), *options]
        self._program = cluster.launch(argv, home=home, folder=home.data)
        self._wait_until_ready(self._program, deadline, report)
        cluster.sweep(home)
        self._ensure_database()

    def _wait_until_ready(self, program: Program, deadline: float, report: Report) -> None:
        began = reported = time.monotonic()
        while not ((written := self._home.pid_file()) and written.pid == program.pid and written.status == "ready"):
            cluster.raise_if_ended(program, home=self._home, name="PostgreSQL")
            now = time.monotonic()
            if self._stopping.is_set():
                raise StartFailed("PostgreSQL was stopped while it started", remedy="start again")
            if now > deadline:
                raise StartTimedOut(
                    f"PostgreSQL was not ready after {now - began:.0f} s; its last words:\n{self._home.log_tail(5)}",
                    remedy=f"give it longer; {self._home.log} tells what it is doing",
                )
            if now - reported > REPORT_SECONDS:
                reported = now
                report(f"PostgreSQL is recovering, {now - began:.0f} s so far: {self._home.log_tail(1)}")
            time.sleep(POLL_SECONDS)

    def _ensure_database(self) -> None:
        # The service's role is no superuser: what an injected statement could do ends at its own database.
        admin = self._home.conninfo(socket_dir=str(self._socket_dir), superuser=True)
        with psycopg.connect(admin, autocommit=True, connect_timeout=30) as connection:
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).rowcount:
                # A long random password needs no stretching, which would be most of the time to connect.
                connection.execute("SET scram_iterations = 1")
                password = psycopg.conninfo.conninfo_to_dict(self.conninfo)["password"]
                verifier = connection.pgconn.encrypt_password(
                    str(password).encode(), ROLE.encode(), b"scram-sha-256"
                ).decode()
                connection.execute(
                    sql.SQL(
                        "CREATE ROLE {} LOGIN CREATEDB PASSWORD {} IN ROLE pg_monitor, pg_checkpoint, pg_signal_backend"
                    ).format(role, verifier)
                )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).rowcount:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


@contextmanager
def clear_errors(home: Path) -> Iterator[None]:
    """Turn what the system or the driver says into an error that names the home and a remedy."""
    try:
        yield
    except psycopg.Error as error:
        raise StartFailed(
            f"PostgreSQL for {home} runs but cannot be used: {error}", remedy=f"read {home}/postgres.log"
        ) from error
    except OSError as error:
        raise HomeNotUsable(
            f"{home} cannot be used: {error}",
            remedy="make room or give access there, run as the user that owns it, or set TESSERA_HOME to another folder",
        ) from error
