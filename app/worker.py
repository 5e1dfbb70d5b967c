"""The job composition root: settings in, worker out."""

import asyncio
from collections.abc import Mapping

from app.clock import SystemClock
from app.config import Settings
from app.db.engine import Database
from app.jobs.compute import Compute
from app.jobs.runtime import Handler, Runner
from app.jobs.worker import queue_app, work

HANDLERS: Mapping[str, Handler] = {}

# A nightly job may take its time over a statement; a request may not.
STATEMENT_TIMEOUT_SECONDS = 3_600.0


async def run_worker(settings: Settings, *, database_url: str, stop: asyncio.Event) -> None:
    """Run background jobs until told to stop."""
    database = Database(
        database_url,
        pool_size=settings.pool_size,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
        application="tessera worker",
    )
    compute = Compute(settings.cpu_processes)
    runner = Runner(database, clock=SystemClock(), compute=compute, handlers=HANDLERS)
    try:
        await work(queue_app(database_url, runner), stop)
    finally:
        compute.close()
        await database.close()
