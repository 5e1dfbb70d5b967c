"""A program of PostgreSQL run through launch.py: it ends when this process ends, however that happens."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

CLOSE_SECONDS = 5
LAUNCH = Path(__file__).with_name("launch.py")

_hidden: set[int] = set()


def _close_in_fork() -> None:
    # A forked child that survives us must hold neither our lock nor the pipe that says we live.
    for fd in _hidden:
        os.close(fd)
    _hidden.clear()


os.register_at_fork(after_in_child=_close_in_fork)


def hide_from_forks(fd: int) -> int:
    _hidden.add(fd)
    return fd


def close_fd(fd: int) -> None:
    if fd in _hidden:
        _hidden.discard(fd)
        os.close(fd)


class Program:
    """One running program; every signal goes through its parent, so a reused pid is never hit."""

    def __init__(self, argv: list[str], *, folder: Path, user: tuple[int, int] | None, log: int) -> None:
        uid, gid = user or (None, None)
        order = json.dumps({"argv": argv, "folder": str(folder), "uid": uid, "gid": gid})
        orders, self._orders = os.pipe()
        hide_from_forks(self._orders)
        # PGDATA, PGPORT and the like would speak to the server too; LC_ALL keeps its messages readable.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        try:
            self._keeper = subprocess.Popen(  # noqa: S603  our own interpreter runs our own file
                [sys.executable, "-I", "-S", str(LAUNCH), order],
                stdin=orders,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={**environment, "LC_ALL": "C"},
                start_new_session=True,  # the terminal's Ctrl-C is for the owner, who then stops us
            )
        finally:
            os.close(orders)
        assert self._keeper.stdout is not None
        with self._keeper.stdout as answer:
            self.pid = int(answer.readline() or 0)

    def exit_code(self) -> int | None:
        return self._keeper.poll()

    def wait(self, timeout: float) -> bool:
        """Whether it ended within so many seconds."""
        try:
            self._keeper.wait(max(0.0, timeout))
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        try:
            os.write(self._orders, bytes([number]))
        except BrokenPipeError:
            return  # it ended already

    def close(self) -> None:
        """Let go of it: what still runs is told to end, and gets a moment to do so."""
        close_fd(self._orders)
        self.wait(CLOSE_SECONDS)
