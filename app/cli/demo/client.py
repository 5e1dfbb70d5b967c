"""The demo as a client of the public API: nothing that it does could not be done from outside."""

import http.client
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from app.cli.failures import CommandFailed

ANSWER_SECONDS = 120
# A web process that died is back within seconds; what is sent again changes nothing.
PATIENCE_SECONDS, PAUSE_SECONDS = 30.0, 0.3
JOB_PAUSE_SECONDS, JOB_SECONDS = 0.1, 300.0
UNAVAILABLE = 503


class KeyRefused(CommandFailed):
    """The service does not let our key in (any more)."""


class AlreadyThere(CommandFailed):
    """What was to be made exists."""


REFUSALS: dict[int, type[CommandFailed]] = {401: KeyRefused, 409: AlreadyThere}


class Stopping(Exception):
    """The demo is asked to stop: nothing more is sent."""


class Api:
    """Calls with one key, over one connection, until `is_stopping`."""

    def __init__(self, url: str, key: str, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.url, self.key, self._is_stopping = url, key, is_stopping
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_SECONDS)

    def with_key(self, key: str) -> Self:
        """The same service, called with another key."""
        return type(self)(self.url, key, is_stopping=self._is_stopping)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def call(self, method: str, path: str, *, body: Any = None) -> Any:
        """The answer as Python values. A service that is away or busy is waited for, for a while."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        sent = None if body is None else orjson.dumps(body)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_stopping():
            try:
                status, answer = self._exchange(method, path, body=sent, headers=headers)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if time.monotonic() > deadline:
                    raise CommandFailed(f"{method} {path}: the service does not answer ({error})") from error
            else:
                if status != UNAVAILABLE or time.monotonic() > deadline:
                    return _understood(method, path, status=status, answer=answer)
            time.sleep(PAUSE_SECONDS)
        raise Stopping

    def _exchange(self, method: str, path: str, *, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        with self._connection.getresponse() as response:
            return response.status, response.read()

    def finished(self, job_id: str) -> dict[str, Any]:
        """The result of a job, once it is over."""

        def over() -> dict[str, Any] | None:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}")
            if job["status"] in ("failed", "cancelled"):
                reason = (job["error"] or {}).get("detail", job["status"])
                raise CommandFailed(f"the job {job['kind']} ended without success: {reason}")
            return job if job["status"] == "succeeded" else None

        return dict(self.eventually(over, what=f"the job {job_id}")["result"] or {})

    def eventually(self, find: Callable[[], dict[str, Any] | None], *, what: str) -> dict[str, Any]:
        """What is found in the end, asking again and again."""
        deadline = time.monotonic() + JOB_SECONDS
        while (found := find()) is None:
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"{what} is not there after {JOB_SECONDS:.0f} s",
                    remedy="run the demo again: it goes on where it stopped",
                )
            time.sleep(JOB_PAUSE_SECONDS)
        return found


def _understood(method: str, path: str, *, status: int, answer: bytes) -> Any:
    try:
        value = orjson.loads(answer) if answer else None
    except ValueError:
        value = None
    if status < http.client.BAD_REQUEST:
        return value
    problem = value if isinstance(value, dict) else {}
    said = f"{method} {path}: {status} {problem.get('detail') or http.client.responses.get(status, '')}"
    raise REFUSALS.get(status, CommandFailed)(said)
