"""The job composition root: settings in, worker out."""

import asyncio
import contextlib
from collections.abc import Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.activation.webhooks.courier import deliver
from app.clock import SystemClock
from app.config import Settings
from app.db.engine import Database
from app.db.revisions import current_revision, newest_revision
from app.jobs.compute import Compute
from app.jobs.runtime import Handler, Runner
from app.jobs.worker import queue_app, work
from app.measurement.rollups.concerned import Basis
from app.measurement.rollups.folding import keep_folded
from app.modelling.churn import jobs as churn_jobs
from app.modelling.churn.scoring import ChurnModels
from app.modelling.clv import jobs as clv_jobs
from app.modelling.features.compiler import Reporting
from app.modelling.predictions.nightly import keep_nightly
from app.modelling.registry.shelf import Models
from app.modelling.segments import jobs as segment_jobs
from app.modelling.segments.current import keep_current
from app.modelling.segments.working import Assigners
from app.records.imports.definitions import JOB_KIND as IMPORT
from app.records.imports.jobs import import_handler

HANDLERS: Mapping[str, Handler] = {}

# A nightly job may take its time over a statement; a request may not.
STATEMENT_TIMEOUT_SECONDS = 3_600.0
RECONNECT_SECONDS = 1.0

log = structlog.get_logger("tessera.worker")


async def run_worker(settings: Settings, *, database_url: str, secret: bytes, stop: asyncio.Event) -> None:
    """Run background jobs until told to stop."""
    database = Database(
        database_url,
        pool_size=settings.pool_size,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
        application="tessera worker",
    )
    compute = Compute(settings.cpu_processes)
    reporting = Reporting(settings.reporting_currency, settings.timezone)
    models = Models(secret)
    assigners = Assigners(models)
    handlers = {
        **HANDLERS,
        IMPORT: import_handler(secret),
        **segment_jobs.handlers(reporting, models, assigners),
        **clv_jobs.handlers(reporting, Models(secret, kind="clv")),
        **churn_jobs.handlers(reporting, ChurnModels(Models(secret, kind="churn"))),
    }
    runner = Runner(database, clock=SystemClock(), compute=compute, handlers=handlers)
    beside = {
        asyncio.create_task(
            keep_current(database, clock=SystemClock(), reporting=reporting, assigners=assigners, stop=stop)
        ),
        asyncio.create_task(
            deliver(database, clock=SystemClock(), secret=secret, allow=settings.webhook_allow, stop=stop)
        ),
        asyncio.create_task(
            keep_folded(database, basis=Basis(settings.reporting_currency, settings.timezone), stop=stop)
        ),
        asyncio.create_task(keep_nightly(database, clock=SystemClock(), zone=settings.timezone, stop=stop)),
    }
    try:
        while not stop.is_set():
            if await _is_ready(database):
                # Ends when told to stop, and when the database went away.
                await work(queue_app(database_url, runner), stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_SECONDS)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        compute.close()
        await database.close()


async def _is_ready(database: Database) -> bool:
    """Whether the database is there and at the schema of this code."""
    try:
        async with database.read() as session:
            revision = await current_revision(session)
    except (SQLAlchemyError, OSError) as error:
        log.warning("waiting for the database", error=type(error).__qualname__)
        return False
    if revision != newest_revision():
        log.warning("waiting for `tessera migrate`", revision=revision, needed=newest_revision())
        return False
    return True
