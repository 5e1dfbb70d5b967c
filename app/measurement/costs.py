"""The cost ledger, read: what was spent in a window, spread evenly over the days of each cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Numeric,
    Select,
    and_,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
    union_all,
)

from app.db.engine import Session
from app.errors import FieldError, MissingRates
from app.tables.conversion import rate_applies, reporting_rates
from app.tables.money import costs

Dimension = Literal["campaign", "channel", "initiative"]
COLUMNS = {"campaign": costs.c.campaign_id, "channel": costs.c.channel, "initiative": costs.c.initiative_id}
SHOWN_DAYS = 5


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent on one group in one category, in minor units of the reporting currency."""

    group: tuple[str | None, ...]
    category: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which costs are meant: those of days [start, end), of an initiative or its campaigns, of channels, of a category; null: all."""

    start: date
    end: date
    initiative_id: str | None = None
    campaign_ids: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    category: str | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        c = costs.c
        conditions = [c.starts_on < self.end, c.ends_on > self.start]
        # What an initiative costs is booked on itself or on one of its campaigns.
        named = []
        if self.initiative_id is not None:
            named.append(c.initiative_id == self.initiative_id)
        if self.campaign_ids is not None:
            named.append(c.campaign_id.in_(self.campaign_ids))
        if named:
            conditions.append(or_(*named))
        if self.category is not None:
            conditions.append(c.category == self.category)
        if self.channels is not None:
            conditions.append(c.channel.in_(self.channels))
        return and_(*conditions)


async def spent(session: Session, ledger: Ledger, *, currency: str, by: Sequence[Dimension] = ()) -> list[Spent]:
    """One row per group and category with a cost, in their order; each sum rounded half away from zero.

    Costs in other currencies are converted day by day at that day's rate. Raises MissingRates, naming the days.
    """
    found = await spent_by_period(session, ledger, starts=[ledger.start], currency=currency, by=by)
    return [each for _, each in found]


async def spent_by_period(
    session: Session, ledger: Ledger, *, starts: Sequence[date], currency: str, by: Sequence[Dimension] = ()
) -> list[tuple[int, Spent]]:
    """As `spent`, beside the number from 1 of the period: the first begins with the ledger, each ends with the next."""
    groups = [COLUMNS[dimension].label(dimension) for dimension in by]
    periods = _periods(starts, ledger.end)
    keys = [periods.c.period, *groups, costs.c.category]
    parts = union_all(_native(ledger, periods, keys, currency), _foreign(ledger, periods, keys, currency)).subquery()
    named = [parts.c[each.name] for each in keys]
    query = (
        select(*named, func.round(func.sum(parts.c.amount)), func.sum(parts.c.unconverted))
        .group_by(*named)
        .order_by(*named)
    )
    rows = (await session.execute(query)).all()
    if any(row[-1] for row in rows):
        raise await _refusal(session, ledger, currency)
    return [(row[0], Spent(tuple(row[1 : 1 + len(groups)]), row[-3], int(row[-2]))) for row in rows]


def _periods(starts: Sequence[date], end: date) -> FromClause:
    """Numbered from 1, each [first, past); one that is no day long has no costs."""
    days = ARRAY(Date)
    edges = (bindparam(None, list(starts), days), bindparam(None, [*starts[1:], end], days))
    columns = (column("first", Date), column("past", Date))
    return func.unnest(*edges).table_valued(*columns, with_ordinality="period").render_derived("periods")


def _overlap(periods: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[bool]]:
    """The first day and the end of what a cost and a period share, and whether they share a day at all."""
    c, p = costs.c, periods.c
    shared = and_(c.starts_on < p.past, c.ends_on > p.first, p.first < p.past)
    return func.greatest(c.starts_on, p.first, type_=Date), func.least(c.ends_on, p.past, type_=Date), shared


def _native(ledger: Ledger, periods: FromClause, keys: Sequence[ColumnElement[Any]], currency: str) -> Select[Any]:
    c = costs.c
    first, end, shared = _overlap(periods)
    share = cast(end - first, Numeric) / cast(c.ends_on - c.starts_on, Numeric)
    parts = select(*keys, (c.amount_minor * share).label("amount"), cast(0, Integer).label("unconverted"))
    return parts.join_from(costs, periods, shared).where(ledger.condition, c.currency == currency)


def _by_day(periods: FromClause, currency: str) -> tuple[Any, ColumnElement[Any], ColumnElement[Any]]:
    """Foreign costs day by day beside their rates: the rows, the day, the factor, null where there is no rate."""
    first, end, shared = _overlap(periods)
    later = func.generate_series(0, end - first - 1).table_valued("value").render_derived().lateral("later")
    day = first + later.c.value
    rates = reporting_rates(currency)
    joined = (
        costs.join(periods, shared)
        .join(later, later.c.value >= 0)
        .outerjoin(rates, rate_applies(rates, costs.c.currency, day))
    )
    return joined, day, rates.c.factor


def _foreign(ledger: Ledger, periods: FromClause, keys: Sequence[ColumnElement[Any]], currency: str) -> Select[Any]:
    c = costs.c
    joined, _, factor = _by_day(periods, currency)
    amount = func.sum(c.amount_minor * factor / cast(c.ends_on - c.starts_on, Numeric))
    return (
        select(*keys, amount.label("amount"), cast(func.count().filter(factor.is_(None)), Integer).label("unconverted"))
        .select_from(joined)
        .where(ledger.condition, c.currency != currency)
        .group_by(*keys)
    )


async def _refusal(session: Session, ledger: Ledger, currency: str) -> MissingRates:
    joined, day, factor = _by_day(_periods([ledger.start], ledger.end), currency)
    missing = (
        select(costs.c.currency, day.label("day"))
        .select_from(joined)
        .where(ledger.condition, costs.c.currency != currency, factor.is_(None))
        .distinct()
        .subquery()
    )
    m = missing.c
    query = select(m.currency, func.count(), func.array_agg(m.day.distinct())[1:SHOWN_DAYS]).group_by(m.currency)
    found = (await session.execute(query.order_by(m.currency))).all()
    errors = [
        FieldError(
            "currency",
            "missing_exchange_rate",
            f"no rate from {code} to {currency} for {days} day(s) with costs; first {', '.join(map(str, first))}",
        )
        for code, days, first in found
    ]
    codes = ", ".join(row[0] for row in found)
    return MissingRates(f"Costs in {codes} have no rate to {currency} on some days", errors=errors)
