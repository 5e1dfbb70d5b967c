"""What a feature is, and the facts that its expression is written over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Double, Integer, and_, cast, extract, func, not_, select

Source = Literal["transactions", "items", "events", "attributes"]
# What an expression sees as rows: facts as they are stored, or one row per customer and purchase, channel, quarter or gap.
Grain = Literal[
    "transactions", "gaps", "quarters", "channels", "baskets", "products", "events", "answers", "attributes"
]
SOURCES: dict[Grain, Source] = {
    "transactions": "transactions",
    "gaps": "transactions",
    "quarters": "transactions",
    "channels": "transactions",
    "baskets": "items",
    "products": "items",
    "events": "events",
    "answers": "events",
    "attributes": "attributes",
}
Kind = Literal["money", "count", "days", "share", "number", "category"]
DType = Literal["integer", "number", "category", "date"]
Missing = Literal[
    "zero",
    "no_purchases",
    "too_few_purchase_days",
    "no_spend",
    "no_recent_purchases",
    "no_margins",
    "no_channels",
    "no_items",
    "no_events",
    "no_visits",
    "no_email_opens",
    "no_emails_sent",
    "no_answers",
    "unknown",
]
Value = int | float | str | None

SECONDS_PER_DAY = 86_400
DAY = timedelta(days=1)
# The resolution of instants: what lies strictly after one begins here.
TICK = timedelta(microseconds=1)
# What stands for the currency in `unit`; answers name the reporting currency itself.
CURRENCY = "currency"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one source as expressions see them, one row each.

    kind: of a transaction purchase or refund, of an event its type. amount, margin: minor units of the reporting
    currency; is_positive: whether the amount was above 0 in its own; day: in the reporting time zone.
    """

    as_of: ColumnElement[Any]
    occurred_at: ColumnElement[Any]
    kind: ColumnElement[Any]
    amount: ColumnElement[Any]
    margin: ColumnElement[Any]
    is_positive: ColumnElement[bool]
    day: ColumnElement[Any]
    minor_per_major: int

    def recent(self, days: int) -> ColumnElement[bool]:
        """Whether a fact is at most so many days old."""
        # As a subquery the edge of the window is worked out once, not for every row.
        return self.occurred_at >= select(self.as_of - timedelta(days=days)).scalar_subquery()

    @property
    def is_purchase(self) -> ColumnElement[bool]:
        return self.kind == "purchase"

    @property
    def is_paid(self) -> ColumnElement[bool]:
        """Purchases of amount 0 are activity, but nothing was bought for money."""
        return and_(self.is_purchase, self.is_positive)


# Over Facts, or over the columns that the grain has instead.
Expression = Callable[[Any], ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Feature:
    """One figure about a customer, told from others by name and type.

    changes_at: the first instant after as_of at which the value may be another although nothing happened; null, or
    None for all customers: never. adds_amounts: it is no money but made of it, so that rates matter to it.
    """

    name: str
    dtype: DType
    unit: str = field(compare=False)
    kind: Kind = field(compare=False)
    grain: Grain = field(compare=False)
    missing: Missing = field(compare=False)
    meaning: str = field(compare=False)
    expression: Expression = field(compare=False)
    changes_at: Expression | None = field(default=None, compare=False)
    window_days: int | None = field(default=None, compare=False)
    adds_amounts: bool = field(default=False, compare=False)

    @property
    def source(self) -> Source:
        return SOURCES[self.grain]

    @property
    def is_money(self) -> bool:
        return self.unit == CURRENCY

    @property
    def needs_rates(self) -> bool:
        return self.is_money or self.adds_amounts

    def shown(self, *, currency: str) -> dict[str, Any]:
        """The feature as the registry answers it."""
        same = ("name", "dtype", "kind", "source", "missing", "window_days", "meaning")
        unit = currency if self.is_money else self.unit
        return {**{each: getattr(self, each) for each in same}, "unit": unit}


def whole_days(facts: Facts, since: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.floor(extract("epoch", facts.as_of - since) / SECONDS_PER_DAY), Integer)


def next_day(facts: Facts, since: ColumnElement[Any]) -> ColumnElement[Any]:
    """When whole_days grows by one."""
    return since + DAY * (whole_days(facts, since) + 1)


def leaves(facts: Facts, condition: ColumnElement[bool], *, days: int, after_days: int = 0) -> ColumnElement[Any]:
    """When the first fact leaves the stretch from so many to so many days before as_of."""
    inside = and_(condition, facts.recent(days))
    if after_days:
        inside = and_(inside, not_(facts.recent(after_days)))
    # A fact exactly so many days old still counts; it is gone an instant later.
    return func.min(facts.occurred_at).filter(inside) + (timedelta(days=days) + TICK)


def major(facts: Facts, minor: ColumnElement[Any]) -> ColumnElement[Any]:
    # One division of two whole numbers: the double nearest to the exact amount, written with exact cents.
    return cast(minor, Double) / facts.minor_per_major


def ratio(numerator: ColumnElement[Any], denominator: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of two exact figures, as one division of doubles; null where the denominator is 0."""
    return cast(numerator, Double) / cast(func.nullif(denominator, 0), Double)
