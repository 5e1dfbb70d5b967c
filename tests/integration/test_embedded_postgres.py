"""The embedded PostgreSQL in peace: what it keeps, whom it lets in, where it lies, how it refuses."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from app.db.embedded import (
    EmbeddedPostgres,
    HomeInUse,
    cluster,
    database_for,
    find_running,
)
from app.db.embedded.errors import (
    HomeNotUsable,
    StartFailed,
    StartTimedOut,
    VersionMismatch,
)
from app.db.embedded.home import Home
from app.db.embedded.sizing import GB, MB, memory_bytes, server_settings
from tests.support.embedded_processes import (
    ask,
    copy_home,
    lives,
    owner_process,
    pristine_home,
    seconds_until,
)

if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)

QUICK = {"shared_buffers": "32MB", "fsync": "off"}
# sun_path holds 108 bytes on Linux, the last of them NUL: unix(7).
LONGEST_SOCKET_PATH = 107


def start(home: Path, **options: Any) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(home, settings=QUICK, sync=False, **options)


def answer(conninfo: str, query: str) -> Any:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    with pristine_home() as home:
        yield home


@pytest.fixture
def home(pristine: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tessera-", dir="/tmp") as folder:
        yield copy_home(pristine, Path(folder) / "home")


def test_the_first_start_makes_a_durable_checksummed_private_database_and_a_restart_keeps_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    progress: list[str] = []
    server = EmbeddedPostgres.start(home, on_progress=progress.append)
    try:
        with psycopg.connect(server.conninfo) as connection:
            settings: dict[str, str] = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
            connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
            connection.execute("INSERT INTO kept VALUES (7)")
            role = connection.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            folded = connection.execute("SELECT lower('ÄÉ')").fetchone()
    finally:
        server.stop()
    assert [line.split()[0] for line in progress] == ["creating", "starting"]
    expected = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on"}
    expected |= {"listen_addresses": "", "server_encoding": "UTF8", "TimeZone": "UTC", "wal_compression": "off"}
    assert {name: settings[name] for name in expected} == expected
    assert role == ("tessera", False)
    assert folded == ("äé",)
    assert not lives(server.pid)
    again = EmbeddedPostgres.start(home)
    try:
        assert answer(again.conninfo, "SELECT id FROM kept") == 7
        assert again.url == server.url
    finally:
        again.stop()
    secret = home / "postgres" / "tessera.passwords"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home / "postgres", secret)] == [0o700, 0o600]


def test_a_second_start_on_one_home_is_refused_and_names_the_owner(home: Path) -> None:
    with owner_process(home) as owner:
        owner.answer()
        with pytest.raises(HomeInUse, match=f"{home} is in use by process {owner.pid}") as refused:
            start(home)
        assert refused.value.owner == owner.pid
        assert f"kill {owner.pid}" in refused.value.remedy
    start(home).stop()


def test_a_second_start_inside_the_same_process_is_refused_too(home: Path) -> None:
    server = start(home)
    try:
        with pytest.raises(HomeInUse, match=f"process {os.getpid()}"):
            start(home)
        assert server.alive()
    finally:
        server.stop()


def test_other_processes_find_the_running_one_and_none_after_its_stop(home: Path) -> None:
    assert find_running(home) is None
    server = start(home)
    try:
        # The wheel's own manager must never be imported: it would start servers of its own.
        assert ask(home, find=True) == {"url": server.url, "manager": False}
    finally:
        server.stop()
    assert ask(home, find=True)["url"] is None


def test_a_home_that_does_not_exist_has_no_running_database(tmp_path: Path) -> None:
    assert find_running(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_of_a_running_home_is_not_taken_for_the_original(home: Path, tmp_path: Path) -> None:
    server = start(home)
    try:
        copy = copy_home(home, tmp_path / "copy")
        assert find_running(copy) is None
        second = start(copy)
        try:
            assert find_running(copy) == second.url != server.url
        finally:
            second.stop()
        assert server.alive()
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["Käse ☕ 100% #1?&=:@'\"\\", "comma,and;more", "spaces and one at the end "])
def test_any_folder_name_works_for_libpq_and_for_sqlalchemy(pristine: Path, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        home = copy_home(pristine, Path(folder) / name)
        server = start(home)
        engine = create_engine(server.url)
        try:
            with engine.connect() as connection:
                assert connection.execute(text("SELECT current_database()")).scalar_one() == "tessera"
            assert answer(server.conninfo, "SELECT 1") == 1
            assert find_running(home) == server.url
        finally:
            engine.dispose()
            server.stop()


def test_a_path_too_long_for_a_socket_gets_a_private_folder_elsewhere(pristine: Path, tmp_path: Path) -> None:
    parent = tmp_path / ("long" * 20) / ("longer" * 20)
    parent.mkdir(parents=True)
    home = copy_home(pristine, parent / "home")
    server = start(home)
    try:
        folder = Path(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"])  # type: ignore[arg-type]  # host is a string
        assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH < len(os.fsencode(home))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert ask(home, find=True)["url"] == server.url
    finally:
        server.stop()
    assert not folder.exists()


def test_a_socket_folder_that_is_a_link_set_by_someone_else_is_refused(home: Path, tmp_path: Path) -> None:
    (home / "run").symlink_to(tmp_path)
    with pytest.raises(HomeNotUsable, match="Not a directory"):
        start(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_socket_folder_of_another_user_is_refused(home: Path) -> None:
    (home / "run").mkdir()
    os.chown(home / "run", 12345, 12345)  # a user that does not exist
    with pytest.raises(HomeNotUsable, match="belongs to someone else"):
        start(home)


def test_a_stale_pid_file_that_names_a_living_stranger_does_not_stop_the_start(home: Path, pristine: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger, tempfile.TemporaryDirectory(dir="/tmp") as folder:
        other = start(copy_home(pristine, Path(folder) / "other"))
        try:
            for pid in (stranger.pid, other.pid):
                # The lines of postmaster.pid: pid, data, start time, port, socket folder, address, memory, status.
                lines = [pid, home / "postgres", 1_700_000_000, 5432, home / "run", "", "1 2", "ready   "]
                (home / "postgres/postmaster.pid").write_text("\n".join(map(str, lines)) + "\n")
                (home / "run").mkdir(mode=0o700)
                (home / "run/.s.PGSQL.5432.lock").write_text(f"{pid}\n")
                assert find_running(home) is None
                start(home).stop()
                assert lives(pid)
        finally:
            other.stop()
            stranger.kill()


def test_data_served_by_a_server_started_by_hand_are_left_alone(home: Path) -> None:
    place = Home.at(home)
    place.make_private(place.socket_dir)
    argv = [str(cluster.binaries(place) / "postgres"), "-D", str(place.data), "-c", "listen_addresses="]
    argv += ["-c", f"unix_socket_directories={place.socket_dir}", "-c", "shared_buffers=32MB"]
    by_hand = cluster.launch(argv, home=place, folder=place.data)
    try:
        seconds_until((place.socket_dir / ".s.PGSQL.5432").exists, within=20)
        with pytest.raises(HomeNotUsable, match=f"did not start .process {by_hand.pid}"):
            start(home)
        assert lives(by_hand.pid)
    finally:
        by_hand.close()
        assert by_hand.wait(20)


def test_an_empty_pid_file_does_not_stop_the_start(home: Path) -> None:
    (home / "postgres/postmaster.pid").touch()
    assert find_running(home) is None
    start(home).stop()


def test_data_of_another_major_version_is_refused_with_the_way_to_move_it(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/PG_VERSION").write_text("9\n")
    with pytest.raises(VersionMismatch, match="written by PostgreSQL 9") as refused:
        start(tmp_path)
    assert "pg_dump" in refused.value.remedy


def test_a_folder_with_foreign_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/thesis.txt").write_text("precious")
    with pytest.raises(HomeNotUsable, match="neither empty nor the data"):
        start(tmp_path)
    assert (tmp_path / "postgres/thesis.txt").read_text() == "precious"


def test_a_server_that_ends_at_once_is_reported_with_the_end_of_its_log(home: Path) -> None:
    with pytest.raises(StartFailed, match='invalid value for parameter "wal_level"') as failed:
        EmbeddedPostgres.start(home, settings={"wal_level": "nonsense"})
    assert str(home / "postgres.log") in failed.value.remedy
    start(home).stop()  # the lock was given back


def test_a_start_keeps_its_time_limit_and_leaves_nothing_half(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StartTimedOut):
        start(tmp_path / "home", timeout=0.05)
    assert time.monotonic() - began < 5
    assert not (tmp_path / "home/postgres").exists()
    start(tmp_path / "home").stop()
    assert not list((tmp_path / "home").glob("postgres.new-*"))


def test_only_the_role_with_the_password_is_let_in(home: Path) -> None:
    server = start(home)
    try:
        for change in ({"password": "wrong"}, {"password": ""}, {"user": "nobody"}):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(psycopg.conninfo.make_conninfo(server.conninfo, **change))
        assert stat.S_IMODE((home / "run").stat().st_mode) == 0o700
    finally:
        server.stop()


def test_a_command_uses_the_running_database_or_runs_one_for_itself(home: Path) -> None:
    with database_for(home, settings=QUICK) as url:
        assert find_running(home) == url
        with database_for(home) as shared:
            assert shared == url
        assert find_running(home) == url
    assert find_running(home) is None


def test_a_command_that_ends_first_leaves_the_database_to_the_one_that_still_uses_it(home: Path) -> None:
    joined, release = threading.Event(), threading.Event()
    progress: list[str] = []
    alive: list[bool] = []

    def later_command() -> None:
        with database_for(home) as url:
            joined.set()
            release.wait(20)
            alive.append(find_running(home) == url)

    def told(line: str) -> None:
        progress.append(line)
        if line.startswith("waiting for other commands"):
            release.set()

    later = threading.Thread(target=later_command)
    with database_for(home, on_progress=told, settings=QUICK):
        later.start()
        assert joined.wait(20)
    later.join(20)
    assert alive == [True]
    assert progress[-1] == "waiting for other commands that use this database"
    assert find_running(home) is None


def test_a_long_log_is_cut_at_the_next_start(home: Path) -> None:
    os.truncate(home / "postgres.log", 11 * MB)
    start(home).stop()
    assert (home / "postgres.log").stat().st_size < MB


def test_stopping_twice_and_restarting_after_a_stop_do_nothing(home: Path) -> None:
    server = start(home)
    assert server.restart_if_dead() is False
    server.stop()
    server.stop()
    assert server.restart_if_dead() is False
    assert not server.alive()


def test_memory_settings_follow_the_machine_within_their_bounds(tmp_path: Path) -> None:
    settings = {name: int(value[:-2]) * MB for name, value in server_settings(tmp_path).items() if value.endswith("MB")}
    assert settings["shared_buffers"] == max(128 * MB, min(4 * GB, memory_bytes() // 8)) // MB * MB
    assert 256 * MB <= settings["max_wal_size"] <= 8 * GB
    assert 16 * MB <= settings["wal_buffers"] <= 64 * MB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_home_that_may_not_be_written_is_refused_with_a_remedy(tmp_path: Path) -> None:
    # 65534 is nobody, who may not write in a folder of root. /tmp is only where the helper proves its way in.
    refused = ask(tmp_path / "home", uid=65534, folder="/tmp")
    assert refused["error"] == "HomeNotUsable"
    assert "TESSERA_HOME" in refused["remedy"]
