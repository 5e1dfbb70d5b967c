"""Features to one select: the same for everyone, for a range of customers, for some and for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Subquery,
    cast,
    false,
    func,
    null,
    select,
)

from app.modelling.features.attributes import Held, beside, next_holding
from app.modelling.features.derived import Derived
from app.modelling.features.facts import TICK, Feature, Grain
from app.modelling.features.groups import AS_OF, CHANGES_AT, UNCONVERTED, Cut, Reporting, group, within
from app.tables.conversion import rate_applies, reporting_day, reporting_rates
from app.tables.customers import customers
from app.tables.events import events
from app.tables.transactions import transactions

__all__ = [
    "AS_OF",
    "VARYING",
    "Range",
    "Reporting",
    "Scope",
    "feature_select",
    "missing_rates",
    "parameters",
    "within",
]

Groups = Mapping[Grain, Subquery]
# Attributes by the name of their feature.
Values = Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class Range:
    """Customers by identifier, after one and up to another, that one included."""

    after: str
    upto: str


# A range, or these customers by name.
Scope = Range | Sequence[str]


# What parameters() gives, by name.
VARYING = ("as_of", "after", "upto", "customer_ids")


def parameters(scope: Scope, as_of: datetime) -> dict[str, Any]:
    """The values for a compiled select."""
    if isinstance(scope, Range):
        return {"as_of": as_of, "after": scope.after, "upto": scope.upto}
    return {"as_of": as_of, "customer_ids": list(scope)}


@lru_cache(maxsize=256)
def feature_select(
    features: tuple[Feature, ...],
    *,
    reporting: Reporting,
    by_range: bool,
    converting: bool,
    derived: tuple[Derived, ...] = (),
    with_next_change: bool = False,
) -> Select[Any]:
    """One row per existing customer of the scope, in order of identifier.

    Its columns: customer_id, the features, the derived, unconverted and, where asked for, next_change_at. A null
    feature is undefined. Unless converting, amounts are taken as they are, and `unconverted` says that some were in
    another currency, so that the money of this customer means nothing; when converting, it says that for some there
    is no rate. Until next_change_at (null: for ever) everything in the row stays as it is unless something is stored.
    """
    cut = Cut(reporting, by_range=by_range, converting=converting)
    groups = _groups(features, cut, with_changes=with_next_change)
    joined: FromClause = customers
    for each in groups.values():
        joined = joined.outerjoin(each, each.c.customer_id == customers.c.customer_id)
    attributes = [feature.name for feature in features if feature.grain == "attributes"]
    held: Values = {}
    if attributes:
        joined, values = beside(joined, attributes, as_of=AS_OF)
        held = {name: Held(AS_OF, value, reporting.timezone) for name, value in zip(attributes, values, strict=True)}
    paid = groups.get("transactions")
    columns = [
        *(_value(feature, groups, held).label(f"feature_{place}") for place, feature in enumerate(features)),
        *(each.expression.label(f"derived_{place}") for place, each in enumerate(derived)),
        (false() if paid is None else func.coalesce(paid.c[UNCONVERTED], false())).label(UNCONVERTED),
    ]
    if with_next_change:
        ahead = _ahead(features, derived, by_range=by_range)
        for each in ahead:
            joined = joined.outerjoin(each, each.c.customer_id == customers.c.customer_id)
        columns.append(_next_change(features, derived, groups, held, ahead).label("next_change_at"))
    return (
        select(customers.c.customer_id, *columns)
        .select_from(joined)
        .where(within(customers.c.customer_id, by_range=by_range))
        .order_by(customers.c.customer_id)
    )


def _groups(features: Sequence[Feature], cut: Cut, *, with_changes: bool) -> Groups:
    wanted: dict[Grain, list[Feature]] = {}
    for feature in dict.fromkeys(features):
        wanted.setdefault(feature.grain, []).append(feature)
    wanted.pop("attributes", None)
    return {grain: group(grain, some, cut, with_changes=with_changes) for grain, some in wanted.items()}


def _value(feature: Feature, groups: Groups, held: Values) -> ColumnElement[Any]:
    """A customer without any fact of the grain has no row in its group."""
    if feature.name in held:
        return feature.expression(held[feature.name])
    value = groups[feature.grain].c[feature.name]
    return func.coalesce(value, 0) if feature.missing == "zero" else value


def _next_change(
    features: Sequence[Feature], derived: Sequence[Derived], groups: Groups, held: Values, ahead: Sequence[Subquery]
) -> ColumnElement[Any]:
    """The least of everything that is due: by time alone, or because a fact of the future comes to pass."""
    changes: list[ColumnElement[Any]] = [each.c[CHANGES_AT] for each in groups.values() if CHANGES_AT in each.c]
    changes += [each.next_change for each in derived if each.next_change is not None]
    changes += [
        feature.changes_at(held[feature.name]) for feature in features if feature.name in held and feature.changes_at
    ]
    # What derived columns read is theirs to know; it may be anything.
    if held or derived:
        changes.append(next_holding(AS_OF))
    # A fact is in the past an instant after it happened.
    changes += [each.c.first + TICK for each in ahead]
    return func.least(*changes) if changes else cast(null(), DateTime(timezone=True))


def _ahead(features: Sequence[Feature], derived: Sequence[Derived], *, by_range: bool) -> list[Subquery]:
    """For each kind of fact that is read: one row per customer of the scope with facts at or after as_of, the first."""
    sources = {feature.source for feature in features}
    read = []
    if sources & {"transactions", "items"} or derived:
        read.append(transactions)
    if "events" in sources or derived:
        read.append(events)
    return [
        # Together for all of the scope: asking customer by customer costs more.
        select(facts.c.customer_id, func.min(facts.c.occurred_at).label("first"))
        .where(facts.c.customer_id.is_not(None), within(facts.c.customer_id, by_range=by_range))
        .where(facts.c.occurred_at >= AS_OF)
        .group_by(facts.c.customer_id)
        .subquery(f"{facts.name}_ahead")
        for facts in read
    ]


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
