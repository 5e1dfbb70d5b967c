"""Folding what has changed into the sums, off the path of those who push: a little after them, and without loss."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import structlog

from app.clock import growing_pause
from app.db.engine import Database, Session
from app.errors import places
from app.measurement.rollups import ledger, repository
from app.measurement.rollups.adding import GROUP
from app.measurement.rollups.concerned import Basis, Concerned, Entry, concerned_by, guest_days
from app.measurement.rollups.contributions import contributions
from app.tables.rollups import cohort_periods, kpi_days

CUSTOMERS_AT_ONCE, ENTRIES_AT_ONCE = 10_000, 1_000
# A fold of one customer takes nearly as long as one of a hundred, so a few at a time are waited for.
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
# Of the time, at most this share: whoever pushes comes first.
SHARE = 0.75

log = structlog.get_logger("tessera.rollups")


async def fold(session: Session, basis: Basis) -> int:
    """Fold the oldest entries of the ledger into the sums; how many. None where another process is folding.

    Entries leave in the same transaction: a failure loses none of them. To fold somebody of whom nothing has changed
    changes nothing, so that an entry may come in later than what it speaks of is seen.
    """
    if not await ledger.try_lock(session):
        return 0
    await ledger.hold_people(session)
    if await ledger.settings(session) != (basis.currency, str(basis.zone)):
        await ledger.begin_anew(session, basis, at_once=CUSTOMERS_AT_ONCE)
        return 1
    entries = _first(await ledger.oldest(session, entries=ENTRIES_AT_ONCE))
    if entries and len(entries[0].customer_ids) > CUSTOMERS_AT_ONCE:
        await ledger.split(session, entries[0], at_once=CUSTOMERS_AT_ONCE)
        return 1
    if entries:
        await _fold_in(session, entries, basis)
    return len(entries)


async def _fold_in(session: Session, entries: Sequence[Entry], basis: Basis) -> None:
    await ledger.forget(session, entries)
    for entry in entries:
        if entry.rates_from is not None:
            await ledger.expand_rates(session, entry, basis, at_once=CUSTOMERS_AT_ONCE)
    concerned = concerned_by(entries)
    if concerned.everybody:
        await _fold_customers(session, concerned, basis)
    days = guest_days(entries, basis.zone)
    if days:
        await repository.replace_guests(session, days, basis)


async def _fold_customers(session: Session, concerned: Concerned, basis: Basis) -> None:
    found = await contributions(session, concerned, basis)
    await repository.add(session, kpi_days, found.days.rows(), key=GROUP)
    await repository.add(session, cohort_periods, found.cohorts.rows(), key=("interval", "cohort", "period"))
    now, folded = found.facts_now, found.facts_folded
    changed = {name: facts for name, facts in now.items() if folded.get(name) != facts}
    await repository.remember_facts(session, changed, gone=sorted(folded.keys() - now.keys()))
    spells, before = set(found.spells_now), set(found.spells_folded)
    pairs = {(each.customer_id, each.segmentation_id) for each in spells ^ before}
    left = {(each.customer_id, each.segmentation_id) for each in spells}
    kept = [each for each in found.spells_now if (each.customer_id, each.segmentation_id) in pairs]
    await repository.remember_spells(session, kept, gone=sorted(pairs - left))


def _first(entries: Sequence[Entry]) -> list[Entry]:
    """As many as name no more customers than are folded at once, but one at least."""
    found, customers = list[Entry](), 0
    for entry in entries:
        customers += len(entry.customer_ids)
        if found and customers > CUSTOMERS_AT_ONCE:
            break
        found.append(entry)
    return found


async def keep_folded(database: Database, *, basis: Basis, stop: asyncio.Event) -> None:
    """Fold until told to stop; failures are logged and tried again, each time a little later."""
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            async with database.write() as session:
                await fold(session, basis)
            failures = 0
        except Exception as error:  # the last handler of this loop: it must outlive whatever goes wrong once
            failures += 1
            log.error("folding failed", error=type(error).__qualname__, at=places(error), failures=failures)
        taken = time.monotonic() - began
        pause = growing_pause(max(PAUSE_SECONDS, taken * (1 / SHARE - 1)), failures, longest=LONGEST_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
