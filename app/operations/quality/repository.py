"""What came in over a window, counted in SQL: one pass over the rows of each kind, whatever is asked of them.

Nothing orders facts by when they came in: such an index would cost every write to serve a question asked once a day.
"""

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, true, tuple_

from app.clock import Window
from app.db.engine import Session
from app.operations.quality.definitions import CLOCKS_DIFFER_BY, LATENESS, Records
from app.tables.conversion import rate_applies, reporting_day, reporting_rates
from app.tables.intake import rejections
from app.tables.transactions import transactions

SHOWN_SOURCES, SHOWN_CURRENCIES, SHOWN_CODES = 200, 50, 200


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows received; by field how many lack it, of how many that should have it."""

    received: int
    missing: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Feed:
    """What one source sent: newest facts, days with rows, the most days from one such day to the next (null: one)."""

    source: str
    received: int
    newest_occurred_at: datetime
    newest_received_at: datetime
    days: int
    last_day: date
    longest_pause: int | None


@dataclass(frozen=True, slots=True)
class FactCounts:
    """The same of facts, how many fell into each class of LATENESS, how many came before they happened, and feeds."""

    counts: Counts
    late: tuple[int, ...]
    ahead: int
    sources: int
    feeds: list[Feed]


def _in_window(records: Records, window: Window) -> ColumnElement[bool]:
    return and_(records.received_at >= window.start, records.received_at < window.end)


def _counted(records: Records) -> list[ColumnElement[Any]]:
    """Rows, and for each field those that lack it and those that should have it."""
    counted: list[ColumnElement[Any]] = [func.count().label("received")]
    for place, each in enumerate(records.fields):
        among = true() if each.among is None else each.among
        counted.append(func.count().filter(among, each.is_missing).label(f"missing_{place}"))
        counted.append(func.count().filter(among).label(f"among_{place}"))
    return counted


def _read(records: Records, row: Any) -> Counts:
    missing = {
        each.field: (int(row[f"missing_{place}"] or 0), int(row[f"among_{place}"] or 0))
        for place, each in enumerate(records.fields)
    }
    return Counts(int(row["received"] or 0), missing)


async def counts(session: Session, records: Records, window: Window) -> Counts:
    """One row over everything that came in."""
    query = select(*_counted(records)).where(_in_window(records, window))
    return _read(records, (await session.execute(query)).mappings().one())


async def fact_counts(session: Session, records: Records, window: Window, *, zone: tzinfo) -> FactCounts:
    """The same with lateness, and by source; the SHOWN_SOURCES that sent most, in this order."""
    rows = list((await session.execute(_by_source(records, window, zone=zone))).mappings())
    whole = rows[0]
    feeds = [
        Feed(
            row["source"],
            int(row["received"]),
            row["newest_occurred_at"],
            row["newest_received_at"],
            row["days"],
            row["last_day"],
            row["longest_pause"],
        )
        for row in rows[1:]
    ]
    late = tuple(int(whole[f"late_{place}"] or 0) for place in range(len(LATENESS)))
    return FactCounts(_read(records, whole), late, int(whole["ahead"] or 0), whole["sources"], feeds)


def _by_source(records: Records, window: Window, *, zone: tzinfo) -> Select[Any]:
    """By source and day first, so that pauses can be told; then by source, and all of it as the first row."""
    sums = [*_counted(records), *_lateness(records)]
    c, day = records.table.c, reporting_day(records.received_at, zone).label("day")
    newest = (
        func.max(c.occurred_at).label("newest_occurred_at"),
        func.max(records.received_at).label("newest_received_at"),
    )
    daily = (
        select(c.source, day, *newest, *sums).where(_in_window(records, window)).group_by(c.source, day).cte("daily")
    )
    pause = daily.c.day - func.lag(daily.c.day).over(partition_by=daily.c.source, order_by=daily.c.day)
    d = select(daily, pause.label("pause")).subquery("with_pauses").c
    is_whole = func.grouping(d.source)
    return (
        select(
            d.source,
            *(func.max(d[each.name]).label(each.name) for each in newest),
            *(func.sum(d[each.name]).label(each.name) for each in sums),
            func.count().label("days"),
            func.count(d.source.distinct()).label("sources"),
            func.max(d.day).label("last_day"),
            func.max(d.pause).label("longest_pause"),
        )
        .group_by(func.grouping_sets(tuple_(), tuple_(d.source)))
        .order_by(is_whole.desc(), func.sum(d.received).desc(), d.source)
        .limit(1 + SHOWN_SOURCES)
    )


def _lateness(records: Records) -> list[ColumnElement[Any]]:
    after = records.received_at - records.table.c.occurred_at
    is_ahead = after < literal(-CLOCKS_DIFFER_BY)
    found: list[ColumnElement[Any]] = [func.count().filter(is_ahead).label("ahead")]
    before = None
    for place, upto in enumerate(LATENESS):
        later = ~is_ahead if before is None else after > literal(before)
        within = later if upto is None else and_(later, after <= literal(upto))
        found.append(func.count().filter(within).label(f"late_{place}"))
        before = upto
    return found


async def sources(session: Session, records: Records) -> list[str]:
    """Everybody who ever sent such facts, in order; at most SHOWN_SOURCES + 1. Leaps through the key."""
    source = records.table.c.source
    first = select(func.min(source).label("source")).cte("leaps", recursive=True)
    following = select(func.min(source)).where(source > first.c.source).scalar_subquery()
    leaps = first.union_all(select(following).where(first.c.source.is_not(None)))
    query = select(leaps.c.source).where(leaps.c.source.is_not(None)).limit(SHOWN_SOURCES + 1)
    return list(await session.scalars(query))


async def possible_duplicates(session: Session, records: Records, window: Window) -> int:
    """Rows that say the same of the same customer as another one under another identifier, both in the window."""
    known = records.table.c.customer_id.is_not(None)
    groups = (
        select((func.count() - 1).label("more"))
        .where(_in_window(records, window), known)
        .group_by(*records.same)
        .having(func.count() > 1)
        .subquery()
    )
    return int((await session.execute(select(func.coalesce(func.sum(groups.c.more), 0)))).scalar_one())


async def unrated(session: Session, window: Window, *, currency: str, zone: tzinfo) -> list[dict[str, Any]]:
    """Per foreign currency, most rows first: transactions whose day has no rate, on how many days, first and last."""
    t = transactions.c
    day = reporting_day(t.occurred_at, zone).label("day")
    days = (
        select(t.currency, day, func.count().label("rows"))
        .where(t.received_at >= window.start, t.received_at < window.end, t.currency != currency)
        .group_by(t.currency, day)
        .subquery()
        .c
    )
    rates = reporting_rates(currency)
    rows = func.sum(days.rows)
    query = (
        select(
            days.currency,
            rows.label("rows"),
            func.count().label("days"),
            func.min(days.day).label("first_on"),
            func.max(days.day).label("last_on"),
        )
        .outerjoin_from(days.currency.table, rates, rate_applies(rates, days.currency, days.day))
        .where(rates.c.factor.is_(None))
        .group_by(days.currency)
        .order_by(rows.desc(), days.currency)
        .limit(SHOWN_CURRENCIES)
    )
    return [{**row, "rows": int(row["rows"])} for row in (await session.execute(query)).mappings()]


async def refused(session: Session, window: Window) -> list[dict[str, Any]]:
    """Per kind of record and code, most rows first: refused rows that are still open, and those stored since."""
    r = rejections.c
    query = (
        select(
            r.kind,
            r.code,
            func.count().filter(r.status == "open").label("open"),
            func.count().filter(r.status == "resolved").label("resolved"),
        )
        .where(r.received_at >= window.start, r.received_at < window.end)
        .group_by(r.kind, r.code)
        .order_by(func.count().desc(), r.kind, r.code)
        .limit(SHOWN_CODES)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]
