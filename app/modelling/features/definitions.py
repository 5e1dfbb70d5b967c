"""Every feature, defined once: the select, the registry over HTTP and the documentation derive from it.

An expression is written over the facts of one customer from one source, all of them strictly before `as_of`. A
window narrows it to the facts at most so many days (of 24 hours) old. Where an expression has no value the policy
`missing` decides: "zero" where nothing happened and that is a figure, otherwise the reason why there is none.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Double, Integer, and_, cast, extract, func

from app.errors import FieldError, UnknownFeature

Source = Literal["transactions", "events"]
DType = Literal["integer", "number"]
Missing = Literal["zero", "no_purchases", "no_events"]
Value = int | float | None

SECONDS_PER_DAY = 86_400
# What stands for the currency in `unit`; answers name the reporting currency itself.
CURRENCY = "currency"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one source as expressions see them, one row each.

    kind: of a transaction purchase or refund, of an event its type. amount: minor units of the reporting currency;
    is_positive: whether the amount was above 0 in its own; day: in the reporting time zone.
    """

    as_of: ColumnElement[Any]
    occurred_at: ColumnElement[Any]
    kind: ColumnElement[Any]
    amount: ColumnElement[Any]
    is_positive: ColumnElement[bool]
    day: ColumnElement[Any]
    minor_per_major: int

    def recent(self, days: int) -> ColumnElement[bool]:
        """Whether a fact is at most so many days old."""
        return self.occurred_at >= self.as_of - timedelta(days=days)

    @property
    def is_purchase(self) -> ColumnElement[bool]:
        return self.kind == "purchase"

    @property
    def is_paid(self) -> ColumnElement[bool]:
        """Purchases of amount 0 are activity, but nothing was bought for money."""
        return and_(self.is_purchase, self.is_positive)


@dataclass(frozen=True, slots=True)
class Feature:
    """One figure about a customer."""

    name: str
    unit: str
    dtype: DType
    source: Source
    missing: Missing
    meaning: str
    expression: Callable[[Facts], ColumnElement[Any]]
    window_days: int | None = None

    @property
    def is_money(self) -> bool:
        return self.unit == CURRENCY

    def shown(self, *, currency: str) -> dict[str, Any]:
        """The feature as the registry answers it."""
        same = ("name", "dtype", "source", "missing", "window_days", "meaning")
        unit = currency if self.is_money else self.unit
        return {**{each: getattr(self, each) for each in same}, "unit": unit}


def _whole_days(facts: Facts, since: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.floor(extract("epoch", facts.as_of - since) / SECONDS_PER_DAY), Integer)


def _major(facts: Facts, minor: ColumnElement[Any]) -> ColumnElement[Any]:
    # One division of two whole numbers: the double nearest to the exact amount, written with exact cents.
    return cast(minor, Double) / facts.minor_per_major


def _gross(facts: Facts) -> ColumnElement[Any]:
    return func.coalesce(func.sum(facts.amount).filter(facts.is_purchase), 0)


def _refunded(facts: Facts) -> ColumnElement[Any]:
    return func.coalesce(func.sum(facts.amount).filter(facts.kind == "refund"), 0)


def _average_order_value(facts: Facts) -> ColumnElement[Any]:
    orders = func.nullif(func.count().filter(facts.is_paid), 0)
    return cast(_gross(facts), Double) / (orders * facts.minor_per_major)


def _count_of_all(_facts: Facts) -> ColumnElement[Any]:
    return func.count()


def _count_of(*kinds: str, days: int) -> Callable[[Facts], ColumnElement[Any]]:
    return lambda facts: func.count().filter(and_(facts.kind.in_(kinds), facts.recent(days)))


FEATURES = (
    Feature(
        "days_since_last_purchase",
        unit="days",
        dtype="integer",
        source="transactions",
        missing="no_purchases",
        meaning="Whole days from the last purchase to as_of. A purchase of amount 0 counts as activity.",
        expression=lambda facts: _whole_days(facts, func.max(facts.occurred_at).filter(facts.is_purchase)),
    ),
    Feature(
        "days_since_first_purchase",
        unit="days",
        dtype="integer",
        source="transactions",
        missing="no_purchases",
        meaning="Tenure: whole days from the first purchase to as_of. A purchase of amount 0 counts as activity.",
        expression=lambda facts: _whole_days(facts, func.min(facts.occurred_at).filter(facts.is_purchase)),
    ),
    Feature(
        "purchase_count",
        unit="purchases",
        dtype="integer",
        source="transactions",
        missing="zero",
        meaning="Purchases with an amount above 0.",
        expression=lambda facts: func.count().filter(facts.is_paid),
    ),
    Feature(
        "purchase_count_90d",
        unit="purchases",
        dtype="integer",
        source="transactions",
        missing="zero",
        meaning="Purchases with an amount above 0 in the last 90 days.",
        expression=lambda facts: func.count().filter(and_(facts.is_paid, facts.recent(90))),
        window_days=90,
    ),
    Feature(
        "purchase_days",
        unit="days",
        dtype="integer",
        source="transactions",
        missing="zero",
        meaning="Distinct days, in the reporting time zone, with a purchase; one of amount 0 counts as activity.",
        expression=lambda facts: func.count(facts.day.distinct()).filter(facts.is_purchase),
    ),
    Feature(
        "total_spend",
        unit=CURRENCY,
        dtype="number",
        source="transactions",
        missing="zero",
        meaning="Sum of purchases, refunds not taken off, in the reporting currency.",
        expression=lambda facts: _major(facts, _gross(facts)),
    ),
    Feature(
        "total_spend_90d",
        unit=CURRENCY,
        dtype="number",
        source="transactions",
        missing="zero",
        meaning="Sum of purchases in the last 90 days, refunds not taken off, in the reporting currency.",
        expression=lambda facts: _major(
            facts, func.coalesce(func.sum(facts.amount).filter(and_(facts.is_purchase, facts.recent(90))), 0)
        ),
        window_days=90,
    ),
    Feature(
        "refund_total",
        unit=CURRENCY,
        dtype="number",
        source="transactions",
        missing="zero",
        meaning="Sum of refunds, a positive figure, in the reporting currency.",
        expression=lambda facts: _major(facts, _refunded(facts)),
    ),
    Feature(
        "net_spend",
        unit=CURRENCY,
        dtype="number",
        source="transactions",
        missing="zero",
        meaning="total_spend minus refund_total; below 0 where more was returned than bought.",
        expression=lambda facts: _major(facts, _gross(facts) - _refunded(facts)),
    ),
    Feature(
        "average_order_value",
        unit=CURRENCY,
        dtype="number",
        source="transactions",
        missing="no_purchases",
        meaning="total_spend / purchase_count. Undefined without a purchase above 0.",
        expression=_average_order_value,
    ),
    Feature(
        "days_since_last_event",
        unit="days",
        dtype="integer",
        source="events",
        missing="no_events",
        meaning="Whole days from the last event of any type to as_of.",
        expression=lambda facts: _whole_days(facts, func.max(facts.occurred_at)),
    ),
    Feature(
        "event_count",
        unit="events",
        dtype="integer",
        source="events",
        missing="zero",
        meaning="Events of any type.",
        expression=_count_of_all,
    ),
    Feature(
        "visit_count_90d",
        unit="events",
        dtype="integer",
        source="events",
        missing="zero",
        meaning="Events of type visit in the last 90 days.",
        expression=_count_of("visit", days=90),
        window_days=90,
    ),
    Feature(
        "email_open_count_90d",
        unit="events",
        dtype="integer",
        source="events",
        missing="zero",
        meaning="Events of type email_open in the last 90 days.",
        expression=_count_of("email_open", days=90),
        window_days=90,
    ),
    Feature(
        "click_count_90d",
        unit="events",
        dtype="integer",
        source="events",
        missing="zero",
        meaning="Events of type click or email_click in the last 90 days.",
        expression=_count_of("click", "email_click", days=90),
        window_days=90,
    ),
)

BY_NAME: Mapping[str, Feature] = {feature.name: feature for feature in FEATURES}


def features_named(names: Iterable[str]) -> tuple[Feature, ...]:
    """The features of these names, in this order. Raises UnknownFeature, naming each that does not exist."""
    names = list(names)
    unknown = [(place, name) for place, name in enumerate(names) if name not in BY_NAME]
    if unknown:
        raise UnknownFeature(
            f"Unknown: {', '.join(name for _, name in unknown)}; known are {', '.join(BY_NAME)}",
            errors=[
                FieldError(f"/features/{place}", "unknown_feature", f"{name!r} is not a feature")
                for place, name in unknown
            ],
        )
    return tuple(BY_NAME[name] for name in names)
