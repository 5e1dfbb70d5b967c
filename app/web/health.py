"""Whether the process is up, and whether it can do its work."""

import asyncio
import os
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.db.compatibility import MINIMUM_VERSION, is_supported, server_version
from app.db.engine import Database
from app.db.revisions import current_revision, newest_revision
from app.web.answers import JSONAnswer

ANSWER_WITHIN_SECONDS = 0.8

router = APIRouter(tags=["Health"])


class Readiness:
    """Checks that never pile up: a check that hangs is not started again until it ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._revision = newest_revision()
        self._running: asyncio.Task[dict[str, str]] | None = None

    async def checks(self) -> dict[str, str]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._check())
        done, _ = await asyncio.wait({self._running}, timeout=ANSWER_WITHIN_SECONDS)
        if not done:
            return {"database": f"no answer within {ANSWER_WITHIN_SECONDS:g} seconds"}
        return self._running.result()

    async def _check(self) -> dict[str, str]:
        try:
            async with self._database.read() as session:
                version = await server_version(session)
                revision = await current_revision(session)
        except Exception as error:  # whatever keeps the database away is the answer here, not a failure
            return {"database": f"not reachable ({type(error).__name__})"}
        if not is_supported(version):
            return {"database": f"PostgreSQL {version // 10_000} is too old: {MINIMUM_VERSION} or newer is needed"}
        if revision != self._revision:
            at = f"at revision {revision}" if revision else "empty"
            return {"database": "ok", "schema": f"{at}, this code needs {self._revision}: run tessera migrate"}
        return {"database": "ok", "schema": "ok"}


@router.get("/healthz", operation_id="healthz", summary="Is the process up?")
async def healthz() -> dict[str, str]:
    """Answers as long as the process runs; touches nothing else."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can the service do its work?",
    responses={503: {"description": "Not ready; `checks` says why."}},
)
async def readyz(request: Request) -> Response:
    """Each check with `ok` or the reason why not; 503 unless all are ok. Answers within a second."""
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks()
    ready = set(checks.values()) == {"ok"}
    content: dict[str, Any] = {"status": "ready" if ready else "not ready", "checks": checks}
    return JSONAnswer(content, status_code=200 if ready else 503)


@router.get("/metrics", operation_id="metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Of all web processes together where there are several."""
    measures = [asyncio.ensure_future(measure()) for measure in request.app.state.before_metrics]
    # What cannot be measured in time keeps the figure it had: the others are worth having without it.
    await asyncio.wait(measures, timeout=ANSWER_WITHIN_SECONDS)
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it without types
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
