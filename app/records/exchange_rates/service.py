"""Storing exchange rates: what is put replaces what stood."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio

from app.db.engine import Session
from app.records.exchange_rates import repository
from app.records.exchange_rates.columns import Pair, Rate, columns_of, take
from app.records.exchange_rates.schemas import RATES, RateIn
from app.records.intake.bulk import SMALL_BODY, Intake, Kind, check
from app.records.intake.bulk import store as store_checked
from app.records.intake.outcome import Flaw, Outcome

_TWICE = "this day and pair stand in the body with another rate already; which one is meant?"


async def put(session: Session, body: bytes, *, intake: Intake) -> Outcome:
    """Take in one body of rates.

    A body that was put before is put again: other rates may have replaced its own since.
    """
    small = len(body) <= SMALL_BODY
    checked = check(RATE_KIND, body) if small else await anyio.to_thread.run_sync(check, RATE_KIND, body)
    outcome, _ = await store_checked(session, RATE_KIND, checked, intake=intake)
    return outcome


async def store(session: Session, _source: str, rates: Sequence[Rate], **_people: object) -> tuple[Outcome, list[Flaw]]:
    """Store what is new or another than before. Needs lock_intake. Flaws name positions of the rates given."""
    wanted: dict[Pair, Decimal] = {}
    flaws = []
    for position, each in enumerate(rates):
        if wanted.setdefault(each.pair, each.rate) != each.rate:
            flaws.append(Flaw(position, "conflict", "rate", _TWICE))
    stored = await repository.rates_of(session, list(wanted))
    changed = {pair: rate for pair, rate in wanted.items() if stored.get(pair) != rate}
    if changed:
        await repository.put(session, changed)
    updated = len(changed.keys() & stored.keys())
    created = len(changed) - updated
    return Outcome(created=created, updated=updated, duplicates=len(rates) - len(flaws) - len(changed)), flaws


RATE_KIND: Kind[RateIn, Sequence[Rate]] = Kind("exchange_rates", RATES, columns_of, take, store)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A stored rate as it is answered."""
    rate: Decimal = row["rate"]
    text = f"{rate:f}".rstrip("0").rstrip(".")
    return {"on": row["on_day"], "from": row["from_currency"], "to": row["to_currency"], "rate": text}
