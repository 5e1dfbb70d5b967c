"""A real service on a free port, for tests that kill it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from app.db.embedded.home import Home
from app.db.embedded.leftovers import server_processes

ADMIN_KEY = "an-admin-key-for-real-processes-in-tests"
# A first start makes a database and reads every module, on a machine that may be busy with other tests.
START_SECONDS = 90
# The service's own patience: requests, jobs, then the database.
STOP_SECONDS = 60
READY = re.compile(r"Tessera is ready at http://127\.0\.0\.1:(\d+) ")
DEFAULTS = {"TESSERA_ADMIN_KEY": ADMIN_KEY, "TESSERA_LOG_LEVEL": "warning"}
# Names the processes of one service to the tests, whatever became of their parents.
MARK = "TESSERA_TEST_SERVICE"
# Settings of whoever runs the tests, and the wish for no compiled modules, which costs each start seconds.
FOREIGN = ("TESSERA_", "PYTHONDONTWRITEBYTECODE")


def tessera(*arguments: str, home: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """A command of ours, in a folder without settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home.parent if home else None,
        env={
            **inherited,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            **({"TESSERA_HOME": str(home)} if home else {}),
            **environment,
        },
        start_new_session=True,
    )


def run(*arguments: str, home: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    process = tessera(*arguments, home=home, **environment)
    try:
        output, errors = process.communicate(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


class ServiceProcess:
    """`tessera serve` with everything below it."""

    def __init__(self, home: Path, *options: str, port: int = 0, **environment: str) -> None:
        self.home, self._mark = home, uuid4().hex
        self.process = tessera(
            "serve",
            "--port",
            str(port),
            *options,
            home=home,
            **{MARK: self._mark, **DEFAULTS, **environment},
        )
        self.said: list[str] = []
        self.port = port
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))

    def wait_ready(self) -> "ServiceProcess":
        def ready() -> bool:
            found = [match for line in self.said if (match := READY.match(line))]
            assert found or self.process.poll() is None, "\n".join(self.said)
            self.port = int(found[0][1]) if found else self.port
            return bool(found)

        seconds_until(ready, within=START_SECONDS)
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        # Certificates, of which plain HTTP has none, take 60 ms to read.
        return httpx.Client(base_url=self.url, verify=False, **{"timeout": 30, "headers": headers, **options})

    def children(self, role: str) -> list[int]:
        """Pids of the processes below it that run as `web` or `worker`."""
        return [pid for pid, words in self._below() if "app.cli.child" in words and role in words]

    def postgres(self) -> int:
        """The postmaster's pid."""
        written = Home.at(self.home).pid_file()
        assert written
        return written.pid

    def left(self) -> list[int]:
        """Pids of everything that this service started, and of any PostgreSQL of its home, that still runs."""
        return sorted({*self.own(), *server_processes(Home.at(self.home))})

    def own(self) -> list[int]:
        """Pids of what this service started, but for the processes that PostgreSQL itself starts."""
        return [pid for pid, _ in self._below()]

    def _below(self) -> Iterator[tuple[int, list[str]]]:
        mark = f"{MARK}={self._mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name), (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it ended meanwhile, or is none of ours

    def kill(self) -> None:
        """kill -9 of the one process that the user started."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    @contextmanager
    def stopped(self) -> Iterator["ServiceProcess"]:
        """Stop it at the end of the block unless it was before."""
        try:
            yield self
        finally:
            self.finish()

    def finish(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self._reader.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


@contextmanager
def service(home: Path, *options: str, port: int = 0, **environment: str) -> Iterator[ServiceProcess]:
    """A ready service, stopped at the end of the block unless it was before."""
    with ServiceProcess(home, *options, port=port, **environment).stopped() as process:
        yield process.wait_ready()


def seconds_until(condition: Callable[[], object], *, within: float) -> float:
    """Wait for something to become so; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not so within {within} s"
        time.sleep(0.02)
    return time.monotonic() - began
