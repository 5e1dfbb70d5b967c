"""Features to one select: the same for everyone, for a range of customers, for some and for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Subquery,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    false,
    func,
    literal,
    null,
    select,
)

from app.modelling.features.definitions import Facts, Feature, Source
from app.money import exponent
from app.tables.conversion import in_reporting_currency, rate_applies, reporting_day, reporting_rates
from app.tables.customers import customers
from app.tables.events import events
from app.tables.transactions import transactions

AS_OF = bindparam("as_of", type_=DateTime(timezone=True))
_TEXT = Text(collation="C")


@dataclass(frozen=True, slots=True)
class Reporting:
    """How money and days are cut."""

    currency: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Range:
    """Customers by identifier, after one and up to another, that one included."""

    after: str
    upto: str


# A range, or these customers by name.
Scope = Range | Sequence[str]


def parameters(scope: Scope, as_of: datetime) -> dict[str, Any]:
    """The values for a compiled select."""
    if isinstance(scope, Range):
        return {"as_of": as_of, "after": scope.after, "upto": scope.upto}
    return {"as_of": as_of, "customer_ids": list(scope)}


def within(customer_id: ColumnElement[Any], *, by_range: bool) -> ColumnElement[bool]:
    """The condition that a row belongs to a customer of the scope."""
    if by_range:
        return and_(customer_id > bindparam("after", type_=_TEXT), customer_id <= bindparam("upto", type_=_TEXT))
    return customer_id == any_(bindparam("customer_ids", type_=ARRAY(_TEXT)))


@lru_cache(maxsize=256)
def feature_select(
    features: tuple[Feature, ...], *, reporting: Reporting, by_range: bool, converting: bool
) -> Select[Any]:
    """One row per existing customer of the scope, in order of identifier: customer_id, the features, unconverted.

    A null feature is undefined. Unless converting, amounts are taken as they are, and `unconverted` says that some
    were in another currency, so that the money of this customer means nothing; when converting, it says that for
    some there is no rate.
    """
    groups = {
        source: _group(source, wanted, reporting=reporting, by_range=by_range, converting=converting)
        for source in ("transactions", "events")
        if (wanted := [feature for feature in features if feature.source == source])
    }
    joined: FromClause = customers
    for group in groups.values():
        joined = joined.outerjoin(group, group.c.customer_id == customers.c.customer_id)
    values = [_filled(feature, groups[feature.source].c[feature.name]) for feature in features]
    paid = groups.get("transactions")
    unconverted = false() if paid is None else func.coalesce(paid.c.unconverted, false())
    return (
        select(customers.c.customer_id, *values, unconverted.label("unconverted"))
        .select_from(joined)
        .where(within(customers.c.customer_id, by_range=by_range))
        .order_by(customers.c.customer_id)
    )


def _filled(feature: Feature, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A customer without any fact of the source has no row in its group."""
    return (func.coalesce(value, 0) if feature.missing == "zero" else value).label(feature.name)


def _group(
    source: Source, features: Sequence[Feature], *, reporting: Reporting, by_range: bool, converting: bool
) -> Subquery:
    """One row per customer with facts: the features of one source."""
    rows, facts, unconverted = (
        _event_facts() if source == "events" else _transaction_facts(reporting, converting=converting)
    )
    owner = (events if source == "events" else transactions).c.customer_id
    has_money = any(feature.is_money for feature in features)
    return (
        select(
            owner,
            *(feature.expression(facts).label(feature.name) for feature in features),
            (func.bool_or(unconverted) if has_money else false()).label("unconverted"),
        )
        .select_from(rows)
        .where(owner.is_not(None), within(owner, by_range=by_range), facts.occurred_at < AS_OF)
        .group_by(owner)
        .subquery(source)
    )


def _transaction_facts(reporting: Reporting, *, converting: bool) -> tuple[FromClause, Facts, ColumnElement[bool]]:
    t = transactions.c
    day = reporting_day(t.occurred_at, reporting.timezone)
    rows: FromClause = transactions
    amount: ColumnElement[Any] = t.amount_minor
    unconverted: ColumnElement[bool] = t.currency != reporting.currency
    if converting:
        rates = reporting_rates(reporting.currency)
        rows = transactions.outerjoin(rates, rate_applies(rates, t.currency, day))
        amount = in_reporting_currency(t.amount_minor, t.currency, reporting=reporting.currency, rates=rates)
        unconverted = amount.is_(None)
    facts = Facts(
        as_of=AS_OF,
        occurred_at=t.occurred_at,
        kind=t.kind,
        amount=amount,
        is_positive=t.amount_minor > 0,
        day=day,
        minor_per_major=10 ** exponent(reporting.currency),
    )
    return rows, facts, unconverted


def _event_facts() -> tuple[FromClause, Facts, ColumnElement[bool]]:
    e = events.c
    nothing = cast(null(), BigInteger)
    facts = Facts(
        as_of=AS_OF,
        occurred_at=e.occurred_at,
        kind=e.type,
        amount=nothing,
        is_positive=literal(False, Boolean),
        day=nothing,
        minor_per_major=1,
    )
    return events, facts, false()


def missing_rates(reporting: Reporting, *, by_range: bool) -> Select[Any]:
    """One row per currency of which some amount of the scope has no rate: currency, first such day, how many."""
    t = transactions.c
    day = reporting_day(t.occurred_at, reporting.timezone)
    rates = reporting_rates(reporting.currency)
    return (
        select(t.currency, func.min(day).label("first_day"), func.count().label("amounts"))
        .select_from(transactions.outerjoin(rates, rate_applies(rates, t.currency, day)))
        .where(
            t.currency != reporting.currency,
            rates.c.factor.is_(None),
            within(t.customer_id, by_range=by_range),
            t.occurred_at < AS_OF,
        )
        .group_by(t.currency)
        .order_by(t.currency)
    )
