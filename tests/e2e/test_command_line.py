"""The `tessera` command as a person and a deployment use it, each time in a process of its own."""

import json
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from app.cli.failures import CommandFailed
from app.cli.installation import DatabaseState, external_url, require_version
from app.config import Settings
from app.db.embedded import EmbeddedPostgres, find_running
from tests.conftest import url_of
from tests.support.processes import START_SECONDS, ServiceProcess, run, seconds_until, service, tessera

# A start takes seconds, and the machine may be busy with other tests.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret that signs nothing of value"
# Asked for in the contract of the command line.
HELP_SECONDS = 0.5
# Idle, with its pools open; the limit leaves a third above what was measured when this was written.
WEB_MEGABYTES = 180


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tessera ", dir="/tmp") as folder:
        yield Path(folder) / "home"


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[ServiceProcess]:
    with service(home) as process:
        yield process


@pytest.fixture
def external(postgres: EmbeddedPostgres) -> Iterator[dict[str, str]]:
    """The environment of a deployment on a PostgreSQL of its own, not migrated yet."""
    name = f"external_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        url = url_of(postgres, name).replace("postgresql+psycopg://", "postgres://")
        yield {"TESSERA_DATABASE_URL": url, "TESSERA_SECRET": SECRET}
        connection.execute(f"drop database {name} with (force)")


def test_help_is_quick_and_names_every_command() -> None:
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Processor time: what others do on the machine meanwhile is not our doing.
    assert min(spent) < HELP_SECONDS
    assert {"serve", "worker", "migrate", "import", "keys", "check", "demo"} <= set(
        re.findall(r"^  ([a-z]+) ", found.stdout, re.M)
    )


def test_the_version_is_that_of_the_package() -> None:
    found = run("--version")
    assert (found.returncode, found.stdout) == (0, "tessera 0.1.0\n")


def test_keys_are_made_listed_and_revoked_beside_a_running_service_and_leave_a_trace(running: ServiceProcess) -> None:
    made = run("keys", "create", "--name", "web shop", "--scope", "ingest", "--expires-in", "90d", home=running.home)
    assert made.returncode == 0, made.stderr
    key = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"tsr_\w{46}", key)  # nothing else on standard output

    with running.client() as admin, running.client(headers={"Authorization": f"Bearer {key}"}) as shop:
        assert shop.get("/v1/audit-log").status_code == 403  # known at once, and without that scope
        listed = run("keys", "list", home=running.home)
        [line] = [line for line in listed.stdout.splitlines() if "web shop" in line]
        assert key not in listed.stdout
        assert line.endswith("active")
        key_id = str(UUID(line.split()[0]))
        assert run("keys", "revoke", key_id, home=running.home).returncode == 0
        seconds_until(lambda: shop.get("/v1/audit-log").status_code == 401, within=5)
        written = [entry for entry in admin.get("/v1/audit-log").json()["data"] if entry["object"] == key_id]
    assert [(entry["action"], entry["key_id"]) for entry in written] == [
        ("tessera keys revoke", None),
        ("tessera keys create", None),
    ]


def test_a_command_without_a_service_starts_the_database_for_itself_and_stops_it() -> None:
    with tempfile.TemporaryDirectory(prefix="tessera ", dir="/tmp") as folder:
        home = Path(folder) / "home"
        made = run("keys", "create", "--name", "first", "--scope", "admin", home=home)
        assert made.returncode == 0, made.stderr
        assert find_running(home) is None
        with ServiceProcess(home, TESSERA_ADMIN_KEY="").stopped() as process:
            process.wait_ready()
            assert "There is no API key yet" not in "\n".join(process.said)
            key = {"Authorization": f"Bearer {made.stdout.strip()}"}
            assert httpx.get(f"{process.url}/v1/keys", headers=key).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        (("bogus",), {}, 2, "No such command 'bogus'"),
        (("serve", "--port", "99999"), {}, 2, "--port"),
        (("serve",), {"TESSERA_POOL_SIZE": "0"}, 2, "TESSERA_POOL_SIZE: Input should be greater than or equal to 1"),
        (("serve",), {"TESSERA_COLOUR": "red"}, 2, "unknown settings: TESSERA_COLOUR"),
        (("check",), {"TESSERA_REPORTING_CURRENCY": "XXQ"}, 1, "TESSERA_REPORTING_CURRENCY: 'XXQ'"),
        (("serve", "--host", "192.0.2.1"), {}, 1, "--host 127.0.0.1"),
        (("serve",), {"TESSERA_DATABASE_URL": "postgres://x"}, 2, "TESSERA_SECRET is required"),
        (
            ("migrate",),
            {"TESSERA_DATABASE_URL": "mysql://u:hidden@h/d", "TESSERA_SECRET": SECRET},
            2,
            "postgresql://user",
        ),
        (
            ("keys", "list"),
            {"TESSERA_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/d", "TESSERA_SECRET": SECRET},
            1,
            "the database cannot be reached",
        ),
        (("keys", "create", "--name", "x", "--scope", "everything"), {}, 2, "unknown scope everything"),
        (("keys", "create", "--name", "x", "--scope", "ingest", "--expires-in", "9y"), {}, 2, "write it as 30m"),
        (("worker",), {}, 1, "run `tessera serve`"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy_and_without_a_traceback(
    arguments: tuple[str, ...], settings: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    found = run(*arguments, home=tmp_path / "home", **settings)
    assert found.returncode == code
    assert said in found.stderr + found.stdout
    assert "Traceback" not in found.stderr
    assert "hidden" not in found.stderr  # a password is not repeated


def test_a_misspelt_line_in_the_env_file_is_refused_and_lines_of_others_are_not(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TESSERA_REPORTING_CURENCY=EUR\nPOSTGRES_PASSWORD=x\n")
    found = run("check", home=tmp_path / "home")
    assert found.returncode == 1
    assert "TESSERA_REPORTING_CURENCY: there is no such setting" in found.stdout
    assert "POSTGRES_PASSWORD" not in found.stdout


def test_the_environment_goes_before_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TESSERA_REPORTING_CURRENCY=EUR\nTESSERA_REPORTING_TIMEZONE=Mars/Base\n")
    found = run("check", home=tmp_path / "home", TESSERA_REPORTING_TIMEZONE="Europe/Berlin")
    assert found.returncode == 0, found.stdout


def test_check_names_everything_that_it_finds_in_order(running: ServiceProcess) -> None:
    found = run("check", "--port", str(running.port), home=running.home)
    assert found.returncode == 0, found.stdout
    assert [line.split()[1] for line in found.stdout.splitlines()] == [
        "settings", "home", "disk", "postgres", "secret", "database", "port"
    ]  # fmt: skip
    assert f"a Tessera answers at 127.0.0.1 port {running.port}" in found.stdout


def test_an_external_database_is_served_not_ready_until_it_is_migrated(
    external: dict[str, str], tmp_path: Path
) -> None:
    with ServiceProcess(tmp_path / "home", **external).stopped() as process:
        seconds_until(lambda: any("but is not ready" in line for line in process.said), within=START_SECONDS)
        process.port = int(next(re.search(r":(\d+) but", line)[1] for line in process.said if "but is not" in line))
        with process.client() as client:
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "ok")
            assert "run tessera migrate" in answer.json()["checks"]["schema"]
            assert any("run `tessera migrate`" in line for line in process.said)
            checked = run("check", "--port", str(process.port), home=tmp_path / "home", **external)
            assert (checked.returncode, "-> tessera migrate" in checked.stdout) == (1, True)
            refused = run("keys", "list", home=tmp_path / "home", **external)
            assert (refused.returncode, "run `tessera migrate`" in refused.stderr) == (1, True)
            migrated = run("migrate", home=tmp_path / "home", **external)
            assert migrated.returncode == 0, migrated.stderr
            # The admin key of the settings gets in as soon as there is a table for it.
            seconds_until(lambda: client.get("/readyz").status_code == 200, within=5)
            seconds_until(lambda: client.get("/v1/keys").status_code == 200, within=10)
        assert process.stop() == 0
        assert process.own() == []
    assert not (tmp_path / "home").exists()  # nothing embedded was made


def test_migrating_back_needs_to_be_asked_for(external: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("migrate", home=home, **external).returncode == 0
    refused = run("migrate", "--to", "0001", home=home, **external)
    assert (refused.returncode, "--allow-downgrade" in refused.stderr) == (1, True)
    assert run("migrate", "--to", "0001", "--allow-downgrade", home=home, **external).returncode == 0
    assert run("migrate", "--to", "0001", home=home, **external).returncode == 0
    unknown = run("migrate", "--to", "9999", home=home, **external)
    assert (unknown.returncode, "known are 0001" in unknown.stderr) == (2, True)


def test_a_worker_of_a_deployment_waits_for_the_schema_and_ends_with_0_when_told(
    external: dict[str, str], tmp_path: Path
) -> None:
    process = tessera("worker", home=tmp_path / "home", **external)
    said: list[str] = []
    assert process.stderr
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        assert run("migrate", home=tmp_path / "home", **external).returncode == 0
        with psycopg.connect(external["TESSERA_DATABASE_URL"].replace("postgres://", "postgresql://")) as connection:
            connection.autocommit = True
            beats = "select count(*) from procrastinate_workers"
            seconds_until(lambda: connection.execute(beats).fetchone() == (1,), within=START_SECONDS)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0
        reader.join(5)
        process.communicate()
    events = [json.loads(line).get("event") for line in said if line.startswith("{")]
    assert set(events) <= {"waiting for `tessera migrate`", "waiting for the database"}


def test_the_web_process_stays_small(running: ServiceProcess) -> None:
    status = Path(f"/proc/{running.children('web')[0]}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    assert int(match[1]) / 1024 < WEB_MEGABYTES


@pytest.mark.parametrize(("version", "accepted"), [(150_012, False), (160_000, True), (180_004, True)])
def test_postgres_16_is_the_oldest_that_is_accepted(version: int, accepted: bool) -> None:
    state = DatabaseState(version=version, revision=None, newest="0001")
    if accepted:
        require_version(state)
    else:
        with pytest.raises(CommandFailed, match="is a PostgreSQL 15; Tessera needs 16 or newer"):
            require_version(state)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_ways_to_write_a_database_url_are_one(scheme: str) -> None:
    settings = Settings(_env_file=None, database_url=f"{scheme}://u:p%40@h:6543/d?sslmode=require", secret=SECRET)
    assert external_url(settings) == "postgresql+psycopg://u:p%40@h:6543/d?sslmode=require"
