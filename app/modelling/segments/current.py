"""Keeping memberships current: whoever was touched, or is due by time alone, is evaluated again, soon and without loss."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from app.clock import Clock, growing_pause
from app.db.engine import Database, Session
from app.errors import places
from app.modelling.features.compiler import Reporting
from app.modelling.segments import assignments, due, repository
from app.modelling.segments.evaluation import AT_ONCE, chunks, evaluate_known
from app.modelling.segments.working import Assigners

BATCHES_AT_ONCE = 500
PAUSE_SECONDS = 1.0
RATES_LOOKED_FOR_EVERY = timedelta(hours=1)
LONGEST_PAUSE_SECONDS = 15.0

log = structlog.get_logger("tessera.memberships")


async def drain(session: Session, *, now: datetime, reporting: Reporting, assigners: Assigners) -> int:
    """Evaluate the customers of the oldest dirty batches, and those who are due, by everything active; how many.

    They are taken out in the same transaction: a failure loses none of them.
    """
    await assignments.lock_memberships(session)
    await assignments.hold_people(session)
    customer_ids = await assignments.take_dirty(session, batches=BATCHES_AT_ONCE, customers_at_most=AT_ONCE)
    if customer_ids:
        await due.note_facts(session, customer_ids, now=now)
    if len(customer_ids) < AT_ONCE and not await due.is_silent(session, now=now):
        waiting = await due.take_due(session, now=now, at_most=AT_ONCE - len(customer_ids))
        customer_ids = sorted({*customer_ids, *waiting})
    await evaluate_now(session, customer_ids, now=now, reporting=reporting, assigners=assigners)
    return len(customer_ids)


async def evaluate_now(
    session: Session, customer_ids: Sequence[str], *, now: datetime, reporting: Reporting, assigners: Assigners
) -> None:
    """Bring these customers up to date by everything active. Needs lock_memberships and hold_people."""
    versions = await repository.active_versions(session) if customer_ids else []
    working = await assigners.of_all(session, versions)
    for some in chunks(customer_ids) if working else ():
        unrated = await evaluate_known(session, working, customer_ids=some, now=now, reporting=reporting)
        if unrated:
            log.warning("customers left as they are: an exchange rate is missing", customers=len(unrated))
            # Nothing says when a rate arrives.
            await due.set_due(session, sorted(unrated), [now + RATES_LOOKED_FOR_EVERY] * len(unrated), whole=False)


async def keep_current(
    database: Database, *, clock: Clock, reporting: Reporting, assigners: Assigners, stop: asyncio.Event
) -> None:
    """Drain until told to stop; failures are logged and tried again, each time a little later."""
    failures = 0
    while not stop.is_set():
        try:
            async with database.write() as session:
                drained = await drain(session, now=clock.now(), reporting=reporting, assigners=assigners)
            failures = 0
        except Exception as error:  # the last handler of this loop: it must outlive whatever goes wrong once
            failures += 1
            drained = 0
            log.error("draining failed", error=type(error).__qualname__, at=places(error), failures=failures)
        if not drained:
            pause = growing_pause(PAUSE_SECONDS, failures, longest=LONGEST_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
