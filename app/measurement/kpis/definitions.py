"""Every key figure, defined once: the selects, the estimates, the documentation and the list of names derive from it.

A key figure is a numerator, or a numerator over a denominator. Both are measures: signed sums over kinds of facts. The
repository turns each kind into sufficient statistics (n, sum, sum of squares) by group and period, which add up over
groups, periods and kinds; `estimates` turns those into a value with its interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import FieldError, UnknownMetric

Unit = Literal["money", "count", "ratio"]
Direction = Literal["higher_is_better", "lower_is_better"]
# What the repository can count: each kind is a grain of its own, one row per ...
Kind = Literal[
    "purchase",  # ... purchase with an amount above 0
    "refund",  # ... refund with an amount above 0, on the day of the refund
    "buyer",  # ... known customer with such a purchase
    "new_customer",  # ... known customer whose first such purchase ever it is
]
Dimension = Literal["segment", "channel", "campaign"]
Customers = Literal["all", "known", "guest"]

TRANSACTION_KINDS: frozenset[Kind] = frozenset({"purchase", "refund"})
# Guests cannot be told apart, so facts of this kind do not exist for them: not 0, but unknown.
KINDS_OF_KNOWN_CUSTOMERS: frozenset[Kind] = frozenset({"buyer", "new_customer"})


@dataclass(frozen=True, slots=True)
class Measure:
    """A sum over facts: of their amounts in the reporting currency, or of ones; each kind with its sign."""

    name: str
    signs: Mapping[Kind, int]
    money: bool = False

    @property
    def needs_customers(self) -> bool:
        return not KINDS_OF_KNOWN_CUSTOMERS.isdisjoint(self.signs)


@dataclass(frozen=True, slots=True)
class Kpi:
    """A key figure: `numerator`, or `numerator` / `denominator`; with `interval` where its uncertainty is known."""

    name: str
    unit: Unit
    direction: Direction
    numerator: Measure
    meaning: str
    denominator: Measure | None = None
    interval: Literal["student_t"] | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(kind for measure in self.measures for kind in measure.signs)

    @property
    def needs_customers(self) -> bool:
        return any(measure.needs_customers for measure in self.measures)


PURCHASES = Measure("purchases", {"purchase": 1})
BUYERS = Measure("buyers", {"buyer": 1})
NEW_CUSTOMERS = Measure("new_customers", {"new_customer": 1})
REVENUE_GROSS = Measure("revenue_gross", {"purchase": 1}, money=True)
REFUNDS = Measure("refunds", {"refund": 1}, money=True)
REVENUE_NET = Measure("revenue_net", {"purchase": 1, "refund": -1}, money=True)

KPIS = (
    Kpi(
        "purchases",
        unit="count",
        direction="higher_is_better",
        numerator=PURCHASES,
        meaning="Purchases with an amount above 0.",
    ),
    Kpi(
        "buyers",
        unit="count",
        direction="higher_is_better",
        numerator=BUYERS,
        meaning="Distinct known customers with such a purchase; guests cannot be told apart and are left out.",
    ),
    Kpi(
        "new_customers",
        unit="count",
        direction="higher_is_better",
        numerator=NEW_CUSTOMERS,
        meaning="Known customers whose first such purchase ever lies in the period.",
    ),
    Kpi(
        "revenue_gross",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_GROSS,
        meaning="Sum of purchases in the reporting currency, each at the rate of its day.",
    ),
    Kpi(
        "refunds",
        unit="money",
        direction="lower_is_better",
        numerator=REFUNDS,
        meaning="Sum of refunds, a positive figure, on the day of the refund and not of the purchase.",
    ),
    Kpi(
        "revenue_net",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_NET,
        meaning="Gross revenue minus refunds.",
    ),
    Kpi(
        "average_order_value",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_GROSS,
        denominator=PURCHASES,
        interval="student_t",
        meaning="Gross revenue per purchase, with the interval of a sample mean.",
    ),
)

BY_NAME: Mapping[str, Kpi] = {kpi.name: kpi for kpi in KPIS}

# Names of the contract whose facts this version does not count yet: a caller who asks for one is told so.
ANNOUNCED = frozenset(
    {
        "conversion_rate",
        "cltv",
        "cost_per_acquisition",
        "repeat_purchase_rate",
        "retention_rate",
        "churn_rate",
        "click_through_rate",
        "open_rate",
        "csat",
        "nps",
        "roas",
        "revenue_growth",
    }
)


def named(names: Sequence[str]) -> tuple[Kpi, ...]:
    """The key figures of these names, in their order, each once; all names that are none are refused together."""
    flaws = [_flaw(name) for name in dict.fromkeys(names) if name not in BY_NAME]
    if flaws:
        raise UnknownMetric(f"Available are {', '.join(BY_NAME)}", errors=flaws)
    return tuple(BY_NAME[name] for name in dict.fromkeys(names))


def _flaw(name: str) -> FieldError:
    if name in ANNOUNCED:
        return FieldError("metric", "metric_not_available", f"{name} is not available in this version")
    return FieldError("metric", "unknown_metric", f"{name!r} is not the name of a metric")
