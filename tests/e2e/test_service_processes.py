"""`tessera serve` under signals, kill -9 and a hanging database, with real processes."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.db.embedded.home import Home
from app.db.embedded.leftovers import server_processes
from tests.support.processes import ServiceProcess, run, seconds_until, service
from tests.support.records import transaction

# A start takes seconds, and the machine may be busy with other tests.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)

# The issue asks for "within seconds"; recovery and a new process take two or three on a quiet machine.
BACK_WITHIN_SECONDS = 30
# The contract of /readyz.
READY_ANSWERS_WITHIN_SECONDS = 1.0
# Long enough to be caught in the act, a few batches of the import.
IMPORTED_ROWS = 100_000
# A worker is held dead after 8 s without a heartbeat, and that is looked at every 5 s; then the rest is imported.
RESUMED_WITHIN_SECONDS = 60
# Children read the end of a pipe; Postgres is given a fast shutdown with a checkpoint.
GONE_WITHIN_SECONDS = 20


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tessera ", dir="/tmp") as folder:
        yield Path(folder) / "a home with spaces"


@pytest.fixture(scope="module")
def services() -> Iterator[list[ServiceProcess]]:
    started: list[ServiceProcess] = []
    yield started
    for process in started:
        process.finish()


@pytest.fixture
def running(home: Path, services: list[ServiceProcess]) -> ServiceProcess:
    """A ready service: the one that the test before left healthy, or a new one."""
    if not services or services[-1].process.poll() is not None:
        services.append(ServiceProcess(home))
    return services[-1].wait_ready()


def push(client: httpx.Client, *names: str) -> dict[str, Any]:
    answer = client.post("/v1/transactions", json={"transactions": [transaction(name) for name in names]})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def status(client: httpx.Client, path: str = "/v1/keys") -> int | None:
    """The status of an answer; None when there was none."""
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return None


def worker_of(process: ServiceProcess) -> int:
    """The worker's pid; it begins when the web process answers."""
    seconds_until(lambda: process.children("worker"), within=BACK_WITHIN_SECONDS)
    return process.children("worker")[0]


def test_the_first_start_serves_and_sigterm_ends_all_of_it_with_0_after_the_request_under_way(
    running: ServiceProcess,
) -> None:
    with running.client() as client:
        assert client.get("/readyz").json()["status"] == "ready"
        assert push(client, "kept")["created"] == 1
    assert (len(running.children("web")), worker_of(running) > 0) == (1, True)
    body = b'{"transactions": []}'
    head = f"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port), timeout=GONE_WITHIN_SECONDS) as connection:
        connection.sendall(head + body[:5])
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[5:])
        assert connection.recv(100).startswith(b"HTTP/1.1 401")
    assert running.process.wait(GONE_WITHIN_SECONDS) == 0
    assert running.left() == []
    assert any(line.startswith("creating the database in ") for line in running.said)
    assert (running.home / "secret").stat().st_mode & 0o777 == 0o600


def test_ctrl_c_at_the_terminal_ends_all_of_it_with_0_in_order(running: ServiceProcess) -> None:
    # A terminal sends SIGINT to the whole process group. Nothing below may end before its turn, or of itself.
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(GONE_WITHIN_SECONDS) == 0
    assert running.left() == []
    assert [line for line in running.said if "ended" in line] == []


def test_kill_9_of_the_service_leaves_nothing_running_and_the_next_start_has_the_data(running: ServiceProcess) -> None:
    with running.client() as client:
        push(client, "before the kill")
    running.kill()
    with service(running.home, port=running.port) as again, again.client() as client:
        assert running.own() == []
        assert push(client, "before the kill")["duplicates"] == 1
        again.kill()
        seconds_until(lambda: not again.left(), within=GONE_WITHIN_SECONDS)


def test_kill_9_of_postgres_is_answered_503_until_it_is_back(running: ServiceProcess) -> None:
    with running.client() as client:
        push(client, "before postgres died")
        os.kill(running.postgres(), signal.SIGKILL)
        seen: list[int | None] = []
        seconds_until(lambda: seen.append(status(client)) or seen[-1] == 200, within=BACK_WITHIN_SECONDS)
        assert set(seen) <= {503, 200}
        assert 503 in seen
        assert push(client, "before postgres died")["duplicates"] == 1
        seconds_until(lambda: status(client, "/readyz") == 200, within=BACK_WITHIN_SECONDS)
    assert "PostgreSQL is back" in running.said


def test_kill_9_of_a_child_is_mended_without_refusing_a_connection(running: ServiceProcess) -> None:
    web, worker = running.children("web"), worker_of(running)
    os.kill(worker, signal.SIGKILL)
    os.kill(web[0], signal.SIGKILL)
    with running.client(timeout=BACK_WITHIN_SECONDS) as client:
        # The port stays open meanwhile: the call waits for the new process instead of being refused.
        assert client.get("/healthz").status_code == 200
    assert running.children("web") not in ([], web)
    seconds_until(lambda: worker_of(running) != worker, within=BACK_WITHIN_SECONDS)


def test_a_job_of_a_killed_worker_goes_on_where_it_stood_and_counts_once(running: ServiceProcess) -> None:
    head = "transaction_id,customer_id,occurred_at,amount,currency"
    lines = [f"import-{row},C-{row % 997},2026-10-01T10:00:00Z,1.50,EUR" for row in range(IMPORTED_ROWS)]
    with running.client() as client:
        job = client.post(
            "/v1/imports/transactions", content="\n".join([head, *lines]), headers={"Content-Type": "text/csv"}
        ).headers["Location"]
        seen: list[dict[str, Any]] = []

        def follow(until: Callable[[dict[str, Any]], bool]) -> None:
            def reached() -> bool:
                seen.append(client.get(job).json())
                return until(seen[-1])

            seconds_until(reached, within=RESUMED_WITHIN_SECONDS)

        follow(lambda found: found["progress"]["done"] > 0)
        os.kill(running.children("worker")[0], signal.SIGKILL)
        assert seen[-1]["status"] == "running"  # or the kill came too late to show anything
        follow(lambda found: found["status"] not in ("queued", "running"))
    done = [found["progress"]["done"] for found in seen]
    assert done == sorted(done)
    assert (seen[-1]["status"], seen[-1]["result"]["created"]) == ("succeeded", IMPORTED_ROWS), seen[-1]


def test_a_hanging_postgres_is_told_within_a_second(running: ServiceProcess) -> None:
    frozen = server_processes(Home.at(running.home))
    with running.client() as client:
        client.get("/readyz")
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answer = client.get("/readyz")
            assert time.monotonic() - began < READY_ANSWERS_WITHIN_SECONDS
            assert (answer.status_code, answer.json()["checks"]["database"][:9]) == (503, "no answer")
            began = time.monotonic()
            assert client.get("/healthz").status_code == 200
            assert time.monotonic() - began < READY_ANSWERS_WITHIN_SECONDS / 2
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        seconds_until(lambda: status(client, "/readyz") == 200, within=BACK_WITHIN_SECONDS)


def test_a_second_service_on_one_home_or_one_port_is_refused(running: ServiceProcess) -> None:
    same_home = run("serve", "--port", "0", home=running.home)
    assert same_home.returncode == 1
    assert f"is in use by process {running.process.pid}" in same_home.stderr
    assert "TESSERA_HOME" in same_home.stderr
    other = running.home.with_name("other")
    same_port = run("serve", "--port", str(running.port), home=other)
    assert same_port.returncode == 1
    assert f"error: cannot listen on 127.0.0.1 port {running.port}: Address already in use" in same_port.stderr
    assert f"--port {running.port + 1}" in same_port.stderr
    assert not other.exists()  # nothing was started
    assert "Traceback" not in same_home.stderr + same_port.stderr
    with running.client() as client:
        assert status(client) == 200


def test_several_web_processes_share_one_port_one_database_and_their_metrics(
    home: Path, services: list[ServiceProcess]
) -> None:
    for process in services:
        process.finish()
    with service(home, "--workers", "2", "--no-worker") as process:
        assert (len(process.children("web")), len(process.children("worker"))) == (2, 0)
        for _ in range(20):  # each on its own connection, which either process may take
            with process.client() as client:
                assert client.get("/healthz").status_code == 200
        with process.client() as client:
            counted = [line for line in client.get("/metrics").text.splitlines() if 'route="/healthz"' in line]
        assert any(line.startswith("tessera_http_requests_total") and line.endswith(" 20.0") for line in counted)
        assert process.stop() == 0
        assert process.left() == []
