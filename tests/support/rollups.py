"""Answers from the sums beside those from the facts alone, and questions to ask both."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update

from app.clock import Window, format_instant, start_of_day
from app.db.engine import Database, Session
from app.errors import MissingRates
from app.measurement.kpis import ahead, loyalty, repository
from app.measurement.kpis.definitions import named
from app.measurement.kpis.kinds import Customers
from app.measurement.kpis.question import Question, Reporting, Sent
from app.measurement.kpis.repository import Counted
from app.measurement.periods import Interval, cut, first_day_of
from app.measurement.rates import has_rates
from app.measurement.rollups import folding, ledger
from app.measurement.rollups.concerned import Basis
from app.tables.rollups import rollup_entries, rollup_state

# All that is made of kinds of facts that are added up ahead.
SERVED = (
    *("purchases", "buyers", "new_customers", "revenue_gross", "refunds", "revenue_net"),
    *("average_order_value", "repeat_purchase_rate"),
)
PEOPLE = {"buyer", "repeat_buyer", "new_customer"}
INTERVALS: tuple[Interval | None, ...] = (None, "day", "week", "month", "quarter", "year")
CUSTOMERS: tuple[Customers, ...] = ("all", "all", "known", "guest")
CALENDAR: tuple[Interval, ...] = ("week", "month", "quarter", "year")
MICROSECOND = timedelta(microseconds=1)
NO_LIMIT = 10**6


@dataclass(frozen=True)
class Shop:
    """A database, how it reports, and a segmentation to group by."""

    database: Database
    reporting: Reporting
    segmentation_id: UUID | None = None

    @property
    def basis(self) -> Basis:
        return Basis(self.reporting.currency, self.reporting.zone)

    async def fold(self) -> int:
        async with self.database.write() as session:
            return await folding.fold(session, self.basis)

    async def fold_all(self) -> int:
        """Until nothing waits; how many entries there were."""
        folded = 0
        while more := await self.fold():
            folded += more
        return folded

    async def waiting(self) -> int:
        async with self.database.read() as session:
            return int((await session.execute(select(func.count()).select_from(rollup_entries))).scalar_one())


async def either_way(
    shop: Shop, ask: Callable[[Session], Awaitable[Any]], *, finds_missing_rates: bool = True
) -> tuple[Any, Any]:
    """What is answered as things stand, and what would be were nothing added up; a refusal is an answer."""

    async def answer(session: Session) -> Any:
        try:
            return await ask(session)
        except MissingRates as refusal:
            assert finds_missing_rates
            return refusal.detail, refusal.errors

    async with shop.database.read() as session:
        now = await answer(session)
    async with shop.database.engine.connect() as session, session.begin() as transaction:
        await session.execute(update(rollup_state).values(currency=None, zone=None))
        raw = await answer(session)
        await transaction.rollback()
    return now, raw


async def assert_sums_are_right(shop: Shop, question: Question) -> frozenset[str]:
    """Every statistic that the sums give equals that of the facts; which kinds they gave."""
    async with shop.database.read() as session:
        await repository.plan_for_these_values(session)
        horizon = await ledger.horizon(session, shop.basis)
        asked = replace(question, horizon=horizon)
        kinds, found = await ahead.counted(session, asked)
        raw = await _counted(session, question)
    expected = [each for each in raw if each.kind in kinds and each.sums.n]
    summed, counted = Counter(found), Counter(expected)
    assert (summed - counted, counted - summed) == (Counter(), Counter()), asked
    return frozenset(kinds)


async def _counted(session: Session, question: Question) -> list[Counted]:
    """The same from the facts, by the selects that answered before there were sums."""
    converted = await has_rates(session, question.reporting.currency)
    found = await repository.transaction_sums(session, question, converted=converted, at_most=NO_LIMIT)
    if question.customers != "guest":
        found += await loyalty.repeat_buyers(session, question, at_most=NO_LIMIT)
        found += await repository.new_customers(session, question, at_most=NO_LIMIT)
    return found


def a_question(rng: random.Random, shop: Shop, instants: list[datetime]) -> Question:
    """About everything that is added up, in any window, cut and grouped anyhow."""
    customers = rng.choice(CUSTOMERS)
    interval = rng.choice(INTERVALS)
    window = a_window(rng, instants, shop.reporting.zone, interval)
    periods = cut(window, interval, shop.reporting.zone, at_most=NO_LIMIT)
    assert periods is not None
    by_segment = shop.segmentation_id is not None and rng.random() < 0.5
    guests_have = ("purchases", "revenue_gross", "refunds", "revenue_net", "average_order_value")
    return Question(
        kpis=named(guests_have if customers == "guest" else SERVED),
        window=window,
        periods=periods,
        group_by=("segment",) if by_segment else (),
        segmentation_id=shop.segmentation_id if by_segment else None,
        customers=customers,
        reporting=shop.reporting,
        interval=interval,
    )


def a_window(rng: random.Random, instants: list[datetime], zone: ZoneInfo, interval: Interval | None) -> Window:
    """Whole days, as a rule; whole calendar periods often; at times one cut by instants, or one that holds all facts."""
    first, last = min(instants), max(instants)
    days = [each.astimezone(zone).date() for each in instants]
    one, other = sorted((rng.choice(days), rng.choice(days)))
    kind = rng.randrange(6)
    if kind == 0:
        start, end = sorted((rng.choice(instants), rng.choice(instants)))
        return Window(start, end + MICROSECOND)
    if kind == 1:
        return Window(start_of_day(first.astimezone(zone).date(), zone), last + rng.choice((MICROSECOND, timedelta(9))))
    if kind in (2, 3):
        # Of this calendar interval or another: who bought is counted once in each.
        calendar = rng.choice(CALENDAR) if interval is None else interval
        one = first_day_of(calendar, one)
    if kind == 4:
        one, other = min(days) - timedelta(days=rng.randrange(40)), max(days) + timedelta(days=rng.randrange(40))
    start = start_of_day(one, zone)
    end = start_of_day(other + timedelta(days=rng.randrange(1, 9)), zone)
    # In a zone that skipped days these may be none.
    return Window(start, end if end > start else start + timedelta(days=1))


def a_sent(rng: random.Random, shop: Shop, instants: list[datetime]) -> Sent:
    """The same as a caller sends it: of some figures, at times in the default window or beside another one."""
    question = a_question(rng, shop, instants)
    window: dict[str, Any] = {}
    if rng.random() < 0.7:
        window |= {"from_": format_instant(question.window.start)}
    if rng.random() < 0.7:
        window |= {"to": format_instant(question.window.end)}
    if len(window) == 2 and rng.random() < 0.3:
        before = question.window.start - (question.window.end - question.window.start)
        window |= {"compare_from": format_instant(before), "compare_to": format_instant(question.window.start)}
    return Sent(
        metrics=tuple(rng.sample(SERVED, rng.choice((1, 2, len(SERVED))))),
        group_by=question.group_by,
        segmentation_id=question.segmentation_id,
        interval=question.interval,
        customers=question.customers,
        **window,
    )
