"""Once per reporting day everybody is scored again, what was predicted is looked at, and what is due is learned anew."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

import structlog
from sqlalchemy import text

from app.clock import Clock, start_of_day
from app.db.engine import Database, Session
from app.errors import places
from app.jobs.queue import enqueue
from app.modelling.predictions import repository
from app.modelling.predictions.repository import Kind, PredictiveModel

# Serialises the workers that look whether it is night.
NIGHTLY_LOCK = 7_355_608_006
# The day that has ended is complete by then, with what is pushed late in the evening.
AFTER_MIDNIGHT = timedelta(hours=2)
LOOKED_FOR_EVERY_SECONDS = 60.0
LIFE: Mapping[Kind, tuple[str, ...]] = {"clv": ("score_clv",), "churn": ("score_churn", "watch_churn")}

log = structlog.get_logger("tessera.nightly")


async def keep_nightly(database: Database, *, clock: Clock, zone: tzinfo, stop: asyncio.Event) -> None:
    """Queue the work of each night until told to stop; a night that nobody was awake in is made up for at once."""
    while not stop.is_set():
        try:
            async with database.write() as session:
                await enqueue_due(session, now=clock.now(), zone=zone)
        except Exception as error:  # the last handler of this loop: it must outlive whatever goes wrong once
            log.error("nightly work was not queued", error=type(error).__qualname__, at=places(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOKED_FOR_EVERY_SECONDS)


async def enqueue_due(session: Session, *, now: datetime, zone: tzinfo) -> list[str]:
    """Queue what this night has not had yet, by kind of model; the kinds of job that were queued."""
    await session.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": NIGHTLY_LOCK})
    today = now.astimezone(zone).date()
    midnight = start_of_day(today, zone)
    if now < midnight + AFTER_MIDNIGHT:
        return []
    queued = []
    for kind, jobs in LIFE.items():
        model = await repository.active(session, kind)
        if model is None or model.scored_at is None or model.scored_at >= midnight:
            continue
        wanted = [*jobs, *([f"retrain_{kind}_model"] if _is_outdated(model, now) else [])]
        night = today.isoformat()
        done = await repository.kinds_queued(session, wanted, night=night)
        for job in wanted:
            if job not in done:
                await enqueue(session, job, arguments={"model_id": str(model.model_id), "night": night})
                queued.append(job)
    return queued


def _is_outdated(model: PredictiveModel, now: datetime) -> bool:
    """Whether it was asked for with a date of renewal, and that is over."""
    every_days = (model.request.get("retrain") or {}).get("every_days")
    return bool(every_days and model.trained_at and now >= model.trained_at + timedelta(days=every_days))
