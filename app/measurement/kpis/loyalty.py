"""Who came back, in SQL: buyers with a second purchase, and buyers of the window before who bought again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, select

from app.clock import Window, start_of_day
from app.db.engine import Session
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.facts import bought_by_known, facts, inside
from app.measurement.kpis.kinds import Kind
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted
from app.measurement.periods import Period, calendar_start_before
from app.tables.transactions import transactions


async def repeat_buyers(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """Two per group and period with a purchase of a known customer: buyers, and those of two or more; no order."""
    f = facts(question, transactions, bought_by_known(transactions), inside(question, transactions)).c
    keys = [f.period, *(f[dimension] for dimension in question.group_by)]
    each = select(*keys, func.count().label("purchases")).group_by(*keys, f.customer_id).subquery()
    named = [each.c[key.name] for key in keys]
    repeated = func.count().filter(each.c.purchases >= 2)
    rows = await session.execute(select(*named, func.count(), repeated).group_by(*named).limit(at_most))
    return _both(rows.all(), ("buyer", "repeat_buyer"))


async def retained(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """Two per group and period before which somebody bought: those who did, and those who bought in it too; no order.

    The group is that of the earlier purchase; the later one may be tagged otherwise.
    """
    found = []
    for offset, part in parts(question):
        rows = await _retained(session, part, at_most=at_most)
        found += [replace(each, period=each.period + offset) for each in rows]
    return found


def parts(question: Question) -> list[tuple[int, Question]]:
    """The question in parts, each after so many periods, whose windows before do not overlap.

    Where the window begins within a calendar period, what is before the rest of it is also in the one before the next.
    """
    first, *rest = question.periods
    if not rest or first.start >= question.window.start:
        return [(0, question)]
    middle = rest[0].start
    return [
        (0, replace(question, window=Window(question.window.start, middle), periods=(first,))),
        (1, replace(question, window=Window(middle, question.window.end), periods=tuple(rest))),
    ]


async def _retained(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    earlier, gap = before(question)
    conditions = [bought_by_known(transactions), inside(earlier, transactions)]
    if gap is not None:
        t = transactions.c.occurred_at
        conditions.append((t < gap.start) | (t >= gap.end))
    b = facts(earlier, transactions, *conditions).c
    keys = [b.period, *(b[dimension] for dimension in question.group_by)]
    active = select(*keys, b.customer_id).distinct().subquery()
    ungrouped = replace(question, group_by=())
    a = facts(ungrouped, transactions, bought_by_known(transactions), inside(question, transactions)).c
    again = select(a.period, a.customer_id).distinct().subquery()
    same = and_(again.c.period == active.c.period, again.c.customer_id == active.c.customer_id)
    named = [active.c[key.name] for key in keys]
    query = select(*named, func.count(), func.count(again.c.period)).join_from(active, again, same, isouter=True)
    rows = await session.execute(query.group_by(*named).limit(at_most))
    return _both(rows.all(), ("active_before", "still_active"))


def before(question: Question) -> tuple[Question, Window | None]:
    """The same question about the window before each period, and the stretch among these windows that is in none.

    Before a whole calendar period lies the calendar period before it; before any other, as many days.
    """
    starts = [max(period.start, question.window.start) for period in question.periods]
    ends = [*starts[1:], question.window.end]
    firsts = [_start_before(question, start, end) for start, end in zip(starts, ends, strict=True)]
    window = Window(firsts[0], starts[-1])
    periods = tuple(Period(None, start) for start in (firsts[0], *starts[:-1]))
    # Only the last period can be cut at its end, so that less than all of the one before it is as long.
    gap = Window(starts[-2], firsts[-1]) if len(starts) > 1 and firsts[-1] > starts[-2] else None
    return replace(question, window=window, periods=periods), gap


def _start_before(question: Question, start: datetime, end: datetime) -> datetime:
    zone = question.reporting.zone
    if question.interval is not None:
        found = calendar_start_before(start, end, question.interval, zone)
        if found is not None:
            return found
    return _as_many_days_before(start, end, zone)


def _as_many_days_before(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    first, past = (instant.astimezone(zone).date() for instant in (start, end))
    if start_of_day(first, zone) == start and start_of_day(past, zone) == end:
        # By the calendar, lest a change of the clocks moves midnight.
        return start_of_day(first - (past - first), zone)
    return start - (end - start)


def _both(rows: Sequence[Any], kinds: tuple[Kind, Kind]) -> list[Counted]:
    return [
        Counted(kind, row[0], tuple(row[1:-2]), Sums(n, n, n))
        for row in rows
        for kind, n in zip(kinds, row[-2:], strict=True)
    ]
