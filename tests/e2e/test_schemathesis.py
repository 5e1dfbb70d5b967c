"""Generated requests over the whole OpenAPI document find no 5xx and no undocumented answer."""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.config import Settings
from app.main import create_app
from app.web.logs import configure
from tests.conftest import ADMIN_KEY, SECRET

# Left out on purpose: the checks that every schema-valid request is accepted and every other refused. Rows of bulk
# writes are refused one by one inside a 200, and a cursor or an identifier can look right and be none. And that
# other methods answer 405: GET /v1/segments/lookup is a segment whose identifier is no identifier, so 422.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


@pytest.fixture
def address(database_url: str, settings: Settings) -> Iterator[str]:
    """The application on a free port, in a thread."""
    configure(as_json=True, level="error")
    app = create_app(settings, database_url=database_url, secret=SECRET)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


# Calls are made of what others were answered: among all operations this one would revoke the key that is called with,
# and from there on nothing but 401 would be met.
REVOKES = "revoke_key"
# There are some 5,600 cases to cover, 100 s of processor time. Half of the time is theirs, shared out among all
# operations; the other half goes to fuzzing with what they were answered, as far as it gets.
SECONDS = 40
# Bounded by their number and not by time: no machine is too slow for the last operations.
EXAMPLES = 4


def generated(address: str, folder: Path, *options: str) -> dict[str, dict[str, set[int]]]:
    """Run it and expect no fault; the statuses that it was answered, by phase and operation."""
    report = folder / "report.ndjson"
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{address}/openapi.json",
            f"--header=Authorization: Bearer {ADMIN_KEY}",
            f"--checks={','.join(CHECKS)}",
            "--seed=20261121",
            "--generation-allow-x00=true",
            "--continue-on-failure",
            "--no-color",
            f"--report-ndjson-path={report}",
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8_000:]
    found: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for line in report.read_text().splitlines():
        for told in (event for kind, event in json.loads(line).items() if kind == "ScenarioFinished"):
            for exchange in told["recorder"].get("interactions", {}).values():
                if exchange.get("response"):
                    found[told["phase"]][told["recorder"]["label"]].add(exchange["response"]["status_code"])
    return found


@pytest.fixture
def operations(address: str) -> set[str]:
    """Every operation but the one that is called apart."""
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    found = {f"{method.upper()} {path}": each for path in paths for method, each in paths[path].items()}
    assert [label for label, each in found.items() if each["operationId"] == REVOKES] == ["DELETE /v1/keys/{key_id}"]
    return found.keys() - {"DELETE /v1/keys/{key_id}"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("phase", "options"),
    [
        ("coverage", ("--phases=coverage,fuzzing", f"--max-examples={EXAMPLES}", f"--max-time={SECONDS}")),
        ("fuzzing", ("--phases=examples,fuzzing", f"--max-examples={EXAMPLES}")),
    ],
)
def test_generated_requests_find_no_fault_and_nothing_undocumented(
    address: str, operations: set[str], tmp_path: Path, phase: str, options: tuple[str, ...]
) -> None:
    found = generated(address, tmp_path, f"--exclude-operation-id={REVOKES}", *options)[phase]
    # Every operation was called, and by one whose key is good.
    assert found.keys() == operations
    assert [label for label, statuses in found.items() if statuses <= {401, 403}] == []


def test_generated_requests_that_revoke_keys_find_no_fault_either(address: str, tmp_path: Path) -> None:
    options = ("--phases=coverage,fuzzing", "--max-examples=10", f"--include-operation-id={REVOKES}")
    assert generated(address, tmp_path, *options).keys() == {"coverage", "fuzzing"}
