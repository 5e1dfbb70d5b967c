"""What customers and days brought before and after a start, as exact sums: for evidence without a lot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Numeric,
    Subquery,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
)

from app.clock import start_of_day
from app.db.engine import Session
from app.errors import FieldError, MissingRates
from app.measurement.kpis.question import Reporting
from app.measurement.roi.definitions import Value
from app.stats.comparison.sums import Sums
from app.tables.campaigns import HOLDOUT, campaign_assignments
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.customers import customer_aliases
from app.tables.predictions import clv_scores, predictive_models
from app.tables.transactions import transactions

_t, _a, _x = transactions.c, campaign_assignments.c, customer_aliases.c
# Purchases in the time before that make customers comparable: none, one, two, three and more.
MOST_PURCHASES = 3


@dataclass(frozen=True, slots=True)
class Treatment:
    """Whom campaigns treated, over which time [start, end), and in what their worth is counted."""

    campaign_ids: Sequence[str]
    start: datetime
    end: datetime
    value: Value

    @property
    def length(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Stratum:
    """Customers with as many purchases in the time before, all of them treated or none.

    change: what they brought after the start, beside as long before; trend: as long before, beside the time before that.
    """

    is_treated: bool
    purchases_before: int
    change: Sums
    trend: Sums
    unpriced: int


async def strata(session: Session, treatment: Treatment, *, reporting: Reporting) -> list[Stratum]:
    """One per group and number of purchases before, of customers who had bought before the start.

    Those held out by lot are in neither group. unpriced: transactions that do not say their margin, where that counts.
    Raises MissingRates.
    """
    treated, held = _assigned(treatment, holdout=False), _assigned(treatment, holdout=True)
    bought = (
        select(_t.customer_id)
        .where(
            _t.customer_id.is_not(None), _t.kind == "purchase", _t.amount_minor > 0, _t.occurred_at < treatment.start
        )
        .distinct()
        .cte("bought")
    )
    did = _by_customer(treatment, reporting)
    is_treated = treated.c.customer_id.is_not(None)
    purchases = func.least(func.coalesce(did.c.purchases, 0), MOST_PURCHASES, type_=Integer)
    after, before, long_before = (
        cast(func.coalesce(did.c[name], 0), Numeric) for name in ("after", "before", "long_before")
    )
    query = (
        select(
            is_treated,
            purchases,
            func.count(),
            *(func.sum(each) for each in _moments(after, before)),
            *(func.sum(each) for each in _moments(before, long_before)),
            func.coalesce(func.sum(did.c.unpriced), 0),
            func.coalesce(func.sum(did.c.unconverted), 0),
        )
        .select_from(
            bought.outerjoin(did, did.c.customer_id == bought.c.customer_id)
            .outerjoin(treated, treated.c.customer_id == bought.c.customer_id)
            .outerjoin(held, held.c.customer_id == bought.c.customer_id)
        )
        .where(held.c.customer_id.is_(None) | is_treated)
        .group_by(is_treated, purchases)
        .order_by(is_treated, purchases)
    )
    rows = (await session.execute(query)).all()
    _refuse(sum(int(row[-1]) for row in rows), reporting.currency)
    return [_stratum(row) for row in rows]


def _stratum(row: Sequence[Any]) -> Stratum:
    n = int(row[2])
    change, trend = (Sums(n, *(int(each) for each in row[at : at + 5])) for at in (3, 8))
    return Stratum(row[0], row[1], change, trend, int(row[13]))


def _moments(own: ColumnElement[Any], beside: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    return own, own * own, beside, beside * beside, own * beside


def _assigned(treatment: Treatment, *, holdout: bool) -> CTE:
    """Customers in a treated arm of one of the campaigns, or in a holdout, by the name that they have today."""
    survivor = func.coalesce(_x.customer_id, _a.customer_id)
    arm = _a.arm == HOLDOUT if holdout else _a.arm != HOLDOUT
    return (
        select(survivor.label("customer_id"))
        .select_from(campaign_assignments.outerjoin(customer_aliases, _x.alias == _a.customer_id))
        .where(_a.campaign_id.in_(treatment.campaign_ids), _a.customer_id.is_not(None), arm)
        .distinct()
        .cte("held_out" if holdout else "treated")
    )


def _by_customer(treatment: Treatment, reporting: Reporting) -> Subquery:
    """What each customer brought in the three stretches of time, and how often they bought in the middle one."""
    start, length = treatment.start, treatment.length
    source, amount, unpriced = _worth(treatment.value, reporting)
    after = _t.occurred_at >= start
    before = and_(_t.occurred_at < start, _t.occurred_at >= start - length)
    bought = and_(before, _t.kind == "purchase", _t.amount_minor > 0)
    return (
        select(
            _t.customer_id,
            func.sum(case((after, amount))).label("after"),
            func.sum(case((before, amount))).label("before"),
            func.sum(case((_t.occurred_at < start - length, amount))).label("long_before"),
            func.count().filter(bought).label("purchases"),
            func.count().filter(unpriced).label("unpriced"),
            func.count().filter(and_(amount.is_(None), ~unpriced)).label("unconverted"),
        )
        .select_from(source)
        .where(_t.customer_id.is_not(None), _t.occurred_at >= start - 2 * length, _t.occurred_at < treatment.end)
        .group_by(_t.customer_id)
        .subquery("did")
    )


def _worth(value: Value, reporting: Reporting) -> tuple[FromClause, ColumnElement[Any], ColumnElement[bool]]:
    """Transactions with their rates, what one is worth in the reporting currency, and whether that is not said."""
    rates = rates_by_day(reporting.currency)
    same = and_(rates.c.currency == _t.currency, rates.c.day == reporting_day(_t.occurred_at, reporting.zone))
    own = _t.amount_minor if value == "revenue" else _t.margin_minor
    signed = case((_t.kind == "purchase", own), else_=-own)
    amount = in_reporting_currency(signed, _t.currency, reporting=reporting.currency, rates=rates)
    return transactions.outerjoin(rates, same), cast(amount, BigInteger), own.is_(None)


def _refuse(unconverted: int, currency: str) -> None:
    if unconverted:
        detail = f"{unconverted} amount(s) have no rate to {currency} on their day; GET /v1/kpis names the days"
        raise MissingRates(detail, errors=[FieldError("currency", "missing_exchange_rate", detail)])


async def daily_totals(
    session: Session, window: tuple[datetime, datetime], *, value: Value, reporting: Reporting
) -> tuple[list[int], int]:
    """What each whole reporting day of [start, end) brought, also those of nothing, in order; and how many transactions
    do not say their margin, where that counts. Raises MissingRates.
    """
    days = _days(*window, reporting)
    if not days:
        return [], 0
    source, amount, unpriced = _worth(value, reporting)
    day = reporting_day(_t.occurred_at, reporting.zone)
    begins, ends = (start_of_day(each, reporting.zone) for each in (days[0], days[-1] + timedelta(days=1)))
    query = (
        select(
            day,
            func.sum(amount),
            func.count().filter(unpriced),
            func.count().filter(and_(amount.is_(None), ~unpriced)),
        )
        .select_from(source)
        .where(_t.occurred_at >= begins, _t.occurred_at < ends)
        .group_by(day)
    )
    rows = (await session.execute(query)).all()
    _refuse(sum(row[3] for row in rows), reporting.currency)
    found = {row[0]: int(row[1] or 0) for row in rows}
    return [found.get(each, 0) for each in days], sum(row[2] for row in rows)


def _days(start: datetime, end: datetime, reporting: Reporting) -> list[date]:
    first = start.astimezone(reporting.zone).date()
    if start_of_day(first, reporting.zone) < start:
        first += timedelta(days=1)
    last = end.astimezone(reporting.zone).date()
    return [first + timedelta(days=day) for day in range((last - first).days)]


async def predicted_value(session: Session, campaign_id: str) -> dict[str, Sums] | None:
    """The predicted lifetime value by arm of customers who had bought when they were assigned; null: no active model.

    Whoever had not bought has no prediction, and who buys later may do so because of the campaign.
    """
    m, s = predictive_models.c, clv_scores.c
    active = await session.scalar(select(m.model_id).where(m.kind == "clv", m.status == "active"))
    if active is None:
        return None
    survivor = func.coalesce(_x.customer_id, _a.customer_id)
    bought = exists().where(
        _t.customer_id == survivor, _t.kind == "purchase", _t.amount_minor > 0, _t.occurred_at < _a.assigned_at
    )
    value = cast(s.clv_minor, Numeric)
    query = (
        select(_a.arm, func.count(), func.sum(value), func.sum(value * value))
        .select_from(
            campaign_assignments.outerjoin(customer_aliases, _x.alias == _a.customer_id).join(
                clv_scores, and_(s.customer_id == survivor, s.model_id == literal(active))
            )
        )
        .where(_a.campaign_id == campaign_id, _a.customer_id.is_not(None), s.clv_minor.is_not(None), bought)
        .group_by(_a.arm)
    )
    return {row[0]: Sums(row[1], int(row[2]), int(row[3])) for row in await session.execute(query)}
