"""Generated requests over the whole OpenAPI document find no 5xx and no undocumented answer."""

import subprocess
import sys
import threading
import time
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


@pytest.mark.timeout(300)
def test_generated_requests_find_no_fault_and_nothing_undocumented(address: str, tmp_path: Path) -> None:
    assert httpx.get(f"{address}/readyz").status_code == 200
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{address}/openapi.json",
            f"--header=Authorization: Bearer {ADMIN_KEY}",
            f"--checks={','.join(CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=10",
            "--seed=20261121",
            "--generation-allow-x00=true",
            "--continue-on-failure",
            "--no-color",
            "--max-time=120",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8_000:]
