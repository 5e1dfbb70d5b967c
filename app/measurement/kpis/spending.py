"""What was spent and what it was spent on: costs by group and period, and which sales are tagged with media costs."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select

from app.clock import start_of_day
from app.db.engine import Session
from app.measurement.costs import Dimension, Ledger, spent_by_period
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.kinds import Kind
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted
from app.tables.money import costs
from app.tables.transactions import transactions

MEDIA = "media"


async def costs_of(session: Session, question: Question, kind: Kind) -> list[Counted]:
    """One per group and period with a cost, in order. Raises MissingRates.

    A day's costs are those of the period that the day begins in. Costs know no segments: by segment there are none.
    """
    if "segment" in question.group_by:
        return []
    starts, end = days_of(question)
    if starts[0] >= end:
        return []
    by: list[Dimension] = [dimension for dimension in question.group_by if dimension != "segment"]
    ledger = Ledger(starts[0], end, category=MEDIA if kind == "media_cost" else None)
    found = await spent_by_period(session, ledger, starts=starts, currency=question.reporting.currency, by=by)
    totals: dict[tuple[int, tuple[str | None, ...]], int] = {}
    for period, each in found:
        totals[period, each.group] = totals.get((period, each.group), 0) + each.amount_minor
    return [Counted(kind, period, group, Sums(1, total, 0)) for (period, group), total in totals.items()]


def days_of(question: Question) -> tuple[list[date], date]:
    """The first day that begins in each period or after it, and the one after the last that begins in the window."""
    zone = question.reporting.zone
    starts = (max(period.start, question.window.start) for period in question.periods)
    return [_first_day(start, zone) for start in starts], _first_day(question.window.end, zone)


def periods_without_a_day(question: Question) -> frozenset[int]:
    """The numbers, from 1, of periods in which no day begins: the ledger says nothing about parts of days."""
    starts, end = days_of(question)
    ends = [*starts[1:], end]
    return frozenset(
        number for number, (first, past) in enumerate(zip(starts, ends, strict=True), start=1) if first >= past
    )


def advertised(question: Question) -> ColumnElement[bool]:
    """Which transactions count as advertised.

    Grouped by campaign or channel, all: each group has its own media costs or none. Else those tagged with a campaign
    or a channel on which media costs were booked for any day of the window.
    """
    starts, end = days_of(question)
    c, t = costs.c, transactions.c
    booked = (c.category == MEDIA, c.starts_on < end, c.ends_on > starts[0])
    return or_(t.campaign_id.in_(select(c.campaign_id).where(*booked)), t.channel.in_(select(c.channel).where(*booked)))


def _first_day(instant: datetime, zone: ZoneInfo) -> date:
    day = instant.astimezone(zone).date()
    return day if start_of_day(day, zone) >= instant else day + timedelta(days=1)
