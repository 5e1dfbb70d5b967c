"""The loop that takes jobs from the queue, beats its heart, and picks up what dead workers left."""

import asyncio
import contextlib
from uuid import UUID

import procrastinate
import psycopg
import structlog
from sqlalchemy import make_url

from app.errors import Unavailable
from app.jobs.queue import QUEUE_NAME, TASK_NAME
from app.jobs.runtime import Runner

HEARTBEAT_SECONDS = 2.0
# A worker that missed this many seconds of heartbeats is dead, and its jobs are taken over.
STALLED_AFTER_SECONDS = 8.0
POLLING_SECONDS = 2.0
RETRIES = procrastinate.RetryStrategy(max_attempts=20, wait=2, retry_exceptions={Unavailable})

log = structlog.get_logger("tessera.worker")


def conninfo(url: str) -> str:
    """A SQLAlchemy URL as libpq reads it."""
    parsed = make_url(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return psycopg.conninfo.make_conninfo(**arguments)


def queue_app(url: str, runner: Runner) -> procrastinate.App:
    connector = procrastinate.PsycopgConnector(
        conninfo=conninfo(url), kwargs={"options": "-c timezone=UTC"}, min_size=1, max_size=4
    )
    app = procrastinate.App(connector=connector)

    @app.task(name=TASK_NAME, queue=QUEUE_NAME, retry=RETRIES)
    async def run(job_id: str) -> None:
        try:
            await runner.run(UUID(job_id))
        except asyncio.CancelledError:
            # The worker is being stopped: the job is not at fault and goes on elsewhere.
            raise Unavailable("The worker is stopping") from None

    # The seconds are the sixth field, after the day of the week: every fifth second.
    @app.periodic(cron="* * * * * */5")
    @app.task(name="tessera.retry_stalled", queue=QUEUE_NAME, queueing_lock="tessera.retry_stalled", pass_context=True)
    async def retry_stalled(context: procrastinate.JobContext, timestamp: int) -> None:
        manager = context.app.job_manager
        silent_for = STALLED_AFTER_SECONDS
        for job in await manager.get_stalled_jobs(task_name=TASK_NAME, seconds_since_heartbeat=silent_for):
            log.warning("taking over a job of a dead worker", queue_job=job.id, scheduled_for=timestamp)
            await manager.retry_job(job)

    return app


async def work(app: procrastinate.App, stop: asyncio.Event, *, concurrency: int = 2) -> None:
    """Run jobs until told to stop; then let the running ones end, for a while. Ends early without a database."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(app.open_async())
        except procrastinate.exceptions.ConnectorException:
            log.warning("the queue cannot be opened; trying again")
            return
        running = asyncio.create_task(
            app.run_worker_async(
                queues=[QUEUE_NAME],
                concurrency=concurrency,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=STALLED_AFTER_SECONDS,
                fetch_job_polling_interval=POLLING_SECONDS,
                shutdown_graceful_timeout=10,
                install_signal_handlers=False,
                delete_jobs=procrastinate.jobs.DeleteJobCondition.SUCCESSFUL.value,
            )
        )
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not running.done():
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError, procrastinate.exceptions.ConnectorException):
            await running
