"""Starts and watches the processes that tests of the embedded PostgreSQL kill."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.db.embedded import EmbeddedPostgres

SCRIPT = Path(__file__).with_name("embedded_owner.py")
# Enough for one initdb and one start on a machine that is busy with other tests.
START_SECONDS = 60


class OwnerProcess:
    """A child process that started, or tried to start, an embedded PostgreSQL."""

    def __init__(self, home: Path, **options: Any) -> None:
        order = json.dumps({"home": str(home), **options})
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the owner process ended without an answer"
        return dict(json.loads(line))

    def kill(self) -> None:
        self.process.kill()
        self.finish()

    def finish(self) -> None:
        with self.process:  # closes its input, which tells it to stop
            assert self.process.stdin
            self.process.stdin.close()
            self.process.wait(START_SECONDS)


@contextmanager
def pristine_home() -> Iterator[Path]:
    """A home that was started once and stopped, to be copied: saves an initdb in each test."""
    with tempfile.TemporaryDirectory(prefix="tessera-", dir="/tmp") as folder:
        home = Path(folder) / "home"
        EmbeddedPostgres.start(home, settings={"fsync": "off"}, sync=False).stop()
        yield home


def copy_home(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target


@contextmanager
def owner_process(home: Path, **options: Any) -> Iterator[OwnerProcess]:
    owner = OwnerProcess(home, **options)
    try:
        yield owner
    finally:
        owner.finish()


def ask(home: Path, **options: Any) -> dict[str, Any]:
    """What a process that ends by itself answers."""
    with owner_process(home, **options) as owner:
        return owner.answer()


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet collected by its parent does not."""
    return bool(command(pid))


def seconds_until(condition: Callable[[], object], *, within: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not so within {within} s"
        time.sleep(0.01)
    return time.monotonic() - began
