"""Ends what a dead owner left behind on a data directory, and nothing else.

The caller holds the lock of the home, so whatever still serves its data has lost its owner.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from app.db.embedded.errors import HomeNotUsable
from app.db.embedded.home import SOCKET, Home, PidFile

PROC = Path("/proc")
# Seconds of patience: a fast shutdown writes a checkpoint; after the others only recovery is left to do.
FAREWELL = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))


def server_processes(home: Home) -> list[int]:
    """Pids of the postmaster and backends of this home, told by the cluster name in their titles."""
    name = home.cluster_name.encode()
    found = []
    for pid, command in _commands():
        program = command.split(b"\0")[0]
        if name in command and (program.endswith(b"/postgres") or program.startswith(b"postgres: ")):
            found.append(pid)
    return found


def clear(home: Home, *, report: Callable[[str], None]) -> None:
    """Stop a postmaster without owner, end backends without postmaster, remove a stale pid file."""
    left = server_processes(home)
    written = home.pid_file()
    if written and written.pid in left:
        report(f"waiting for the PostgreSQL of an earlier run to stop (process {written.pid})")
        for number, patience in FAREWELL:
            _send(written.pid, number)
            if _gone(home, {written.pid}, patience):
                break
    if (orphans := server_processes(home)) and not _gone(home, set(orphans), 1.0):
        # Their postmaster is dead: nothing they do can be acknowledged any more.
        for pid in orphans:
            _send(pid, signal.SIGKILL)
        _gone(home, set(orphans), 10.0)
    if left := server_processes(home):
        raise HomeNotUsable(
            f"{home.path} is still served by processes {left} of an earlier run, which cannot be ended",
            remedy=f"kill -9 {' '.join(map(str, left))}",
        )
    _remove_stale(home, written)


def _remove_stale(home: Home, written: PidFile | None) -> None:
    """Remove pid and lock files: PostgreSQL would trust them if a stranger got the pid that they name."""
    # Not ours by name, but perhaps someone runs the data by hand: then the socket answers.
    if written and written.data == str(home.data) and _answers(Path(written.socket_dir) / f".s.PGSQL.{written.port}"):
        raise HomeNotUsable(
            f"{home.data} is served by a PostgreSQL that Tessera did not start (process {written.pid})",
            remedy=f"stop it first (kill -INT {written.pid})",
        )
    for stale in (home.data / "postmaster.pid", home.socket_dir / SOCKET, home.socket_dir / f"{SOCKET}.lock"):
        stale.unlink(missing_ok=True)


def _commands() -> list[tuple[int, bytes]]:
    """Pid and command line, arguments ended by NUL, of every process that may be seen."""
    if not (PROC / "self/cmdline").exists():
        listed = subprocess.run(["/bin/ps", "-axo", "pid=,command="], capture_output=True, check=True).stdout
        rows = [line.split(maxsplit=1) for line in listed.splitlines()]
        return [(int(row[0]), row[1].replace(b" -D ", b"\0-D\0")) for row in rows if len(row) == 2]
    found = []
    for entry in os.listdir(PROC):
        if entry.isdigit():
            try:
                found.append((int(entry), (PROC / entry / "cmdline").read_bytes()))
            except OSError:
                continue  # it ended meanwhile
    return found


def _gone(home: Home, pids: set[int], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while pids & set(server_processes(home)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
