"""Key figures in SQL: sufficient statistics by kind, group and period, one select for each grain."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Numeric,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on

from app.db.engine import Session
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.facts import bought_by_known, counted, facts
from app.measurement.kpis.grid import Group, Segment
from app.measurement.kpis.kinds import TRANSACTION_KINDS, Kind
from app.measurement.kpis.question import Question
from app.tables.conversion import reporting_day
from app.tables.events import events
from app.tables.segments import segmentation_versions, segmentations, segments
from app.tables.transactions import transactions

# The largest whole number whose square is a bigint; numeric arithmetic takes far longer.
SAFE_TO_SQUARE = 3_037_000_499
SORTING = ("enable_sort", "enable_mergejoin")
ALL = true()
SHOWN_DAYS, SHOWN_CURRENCIES, SHOWN_SEGMENTATIONS = 5, 20, 10


@dataclass(frozen=True, slots=True)
class Counted:
    """Statistics of one kind in one group and period (from 1). Facts without a rate are in `n` only."""

    kind: Kind
    period: int
    group: Group
    sums: Sums
    unconverted: int = 0


async def plan_for_these_values(session: Session) -> None:
    """Have the statements of this transaction planned for their own window: a plan for any window suits none.

    And without nested loops: right after a first load the planner knows no sizes yet, and looking through all
    memberships once for every transaction took minutes where a hash join takes milliseconds.
    """
    await session.execute(text("set local plan_cache_mode = force_custom_plan"))
    await session.execute(text("set local enable_nestloop = off"))


@asynccontextmanager
async def _hashing(session: Session) -> AsyncIterator[None]:
    """Have facts meet rates and groups in hash tables.

    The planner knows neither how few periods there are nor how few rates, and would sort all facts for both.
    """
    await session.execute(_for_this_transaction("off"))
    yield
    await session.execute(_for_this_transaction("on"))


def _for_this_transaction(value: str) -> Select[Any]:
    return select(*(func.set_config(name, value, true()) for name in SORTING))


async def first_event_at(session: Session) -> datetime | None:
    """The first occurred_at of all events; null when there are none."""
    found: datetime | None = await session.scalar(select(func.min(events.c.occurred_at)))
    return found


async def horizon(session: Session) -> tuple[datetime | None, datetime | None]:
    """The first occurred_at and the newest received_at of all transactions; nulls when there are none."""
    t = transactions.c
    first, newest = (await session.execute(select(func.min(t.occurred_at), func.max(t.received_at)))).one()
    return first, newest


async def transaction_sums(
    session: Session, question: Question, *, converted: bool, at_most: int, only: ColumnElement[bool] = ALL
) -> list[Counted]:
    """One per kind, group and period with a transaction of an asked kind; no order; at most `at_most`."""
    asked = _transactions_asked(question, of=question.kinds)
    f = facts(question, transactions, *asked, only, converted=converted).c
    keys = (f.kind, f.period, *(f[dimension] for dimension in question.group_by))
    sums: list[ColumnElement[Any]] = [literal(0)] * 3
    if question.priced_kinds:
        squares = sum_of_squares(f.amount, converted=converted) if question.needs_squares else literal(0)
        sums = [func.sum(f.amount), squares, func.count().filter(f.amount.is_(None))]
    query = select(*keys, func.count(), *sums).group_by(*keys).limit(at_most)
    async with _hashing(session):
        rows = await session.execute(query)
    return [
        Counted(kind, period, tuple(group), Sums(n, int(total or 0), int(squared or 0)), unconverted)
        for kind, period, *group, n, total, squared, unconverted in rows
    ]


async def buyers(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """One per group and period with a purchase of a known customer; no order; at most `at_most`.

    Who bought in two groups or periods counts in both.
    """
    f = facts(question, transactions, counted(question, transactions), bought_by_known(transactions)).c
    keys = [f.period, *(f[dimension] for dimension in question.group_by)]
    # Distinct first, then counted: count(distinct ...) would sort all facts.
    each = select(*keys, f.customer_id).distinct().subquery()
    return await _customers(session, "buyer", [each.c[key.name] for key in keys], at_most=at_most)


async def new_customers(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """One per group and period in which a known customer bought for the first time; no order; at most `at_most`."""
    f = facts(question, _first_purchases(question)).c
    keys = [f.period, *(f[dimension] for dimension in question.group_by)]
    return await _customers(session, "new_customer", keys, at_most=at_most)


async def _customers(
    session: Session, kind: Kind, keys: Sequence[ColumnElement[Any]], *, at_most: int
) -> list[Counted]:
    rows = await session.execute(select(*keys, func.count()).group_by(*keys).limit(at_most))
    return [Counted(kind, period, tuple(group), Sums(n, n, n)) for period, *group, n in rows]


async def missing_rates(
    session: Session, question: Question, *, converted: bool, only: ColumnElement[bool] = ALL
) -> list[tuple[str, int, list[date]]]:
    """Per currency, in order: how many reporting days have transactions but no rate, and the first of these days."""
    asked = _transactions_asked(question, of=question.priced_kinds)
    f = facts(question, transactions, *asked, only, converted=converted).c
    day = reporting_day(f.occurred_at, question.reporting.zone).label("day")
    days = select(f.currency, day).where(f.amount.is_(None)).distinct().subquery().c
    in_order = func.array_agg(aggregate_order_by(days.day, days.day), type_=ARRAY(Date))
    query = select(days.currency, func.count(), in_order[1:SHOWN_DAYS]).group_by(days.currency).order_by(days.currency)
    return [(row[0], row[1], row[2]) for row in await session.execute(query.limit(SHOWN_CURRENCIES))]


async def active_segmentations(session: Session) -> list[tuple[UUID, str]]:
    """Identifier and name of segmentations with an active version, by name; at most SHOWN_SEGMENTATIONS + 1."""
    s, v = segmentations.c, segmentation_versions.c
    active = exists().where(v.segmentation_id == s.segmentation_id, v.status == "active")
    query = select(s.segmentation_id, s.name).where(active).order_by(s.name).limit(SHOWN_SEGMENTATIONS + 1)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def segments_of(session: Session, segmentation_id: UUID) -> list[Segment]:
    """The segments of a segmentation in their order, whichever version they are from."""
    s = segments.c
    query = select(s.segment_id, s.key, s.name).where(s.segmentation_id == segmentation_id)
    return [Segment(*row) for row in await session.execute(query.order_by(s.position, s.key))]


def _transactions_asked(question: Question, *, of: frozenset[Kind]) -> list[ColumnElement[bool]]:
    kinds = of & TRANSACTION_KINDS
    conditions = [counted(question, transactions)]
    if kinds != TRANSACTION_KINDS:
        conditions.append(transactions.c.kind.in_(sorted(kinds)))
    return conditions


def sum_of_squares(amount: ColumnElement[Any], *, converted: bool) -> ColumnElement[Any]:
    """The exact sum of squares of amounts in minor units."""
    if converted:  # numeric by then
        return func.sum(amount * amount)
    safe = amount <= SAFE_TO_SQUARE
    quick = func.sum(case((safe, amount * amount)))
    exact = func.sum(case((~safe, sql_cast(amount, Numeric) * amount)))
    return func.coalesce(quick, 0) + func.coalesce(exact, 0)


def _first_purchases(question: Question) -> Subquery:
    """One row per known customer whose first purchase ever lies in the window: that purchase.

    Of several at the same instant the one first by source and identifier.
    """
    t, window = transactions.c, question.window
    earliest = func.min(t.occurred_at).label("occurred_at")
    firsts = (
        select(t.customer_id, earliest)
        .where(bought_by_known(transactions), t.occurred_at < window.end)
        .group_by(t.customer_id)
        .having(earliest >= window.start)
        .subquery()
    )
    if {"channel", "campaign"}.isdisjoint(question.group_by):
        return firsts
    same = and_(t.customer_id == firsts.c.customer_id, t.occurred_at == firsts.c.occurred_at)
    return (
        select(t.customer_id, t.occurred_at, t.channel, t.campaign_id)
        .ext(distinct_on(t.customer_id))
        .join_from(firsts, transactions, same)
        .where(bought_by_known(transactions))
        .order_by(t.customer_id, t.source, t.transaction_id)
        .subquery()
    )
