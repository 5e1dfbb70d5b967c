"""What key figures are made of: kinds of facts that SQL can count, measures that add them up, and the figure itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["money", "count", "ratio"]
Direction = Literal["higher_is_better", "lower_is_better"]
# How the uncertainty of a figure is found; a mean, a share, and a share less another share of the same answers.
IntervalMethod = Literal["student_t", "wilson", "bonett_price"]
# What SQL can count: each kind is a grain of its own, one row per ...
Kind = Literal[
    "purchase",  # ... purchase with an amount above 0
    "refund",  # ... refund with an amount above 0, on the day of the refund
    "buyer",  # ... known customer with such a purchase
    "repeat_buyer",  # ... known customer with two or more of them
    "new_customer",  # ... known customer whose first such purchase ever it is
    "active_before",  # ... known customer with one in the equally long window before
    "still_active",  # ... of these, with one in this window too
    "visitor",  # ... customer with a visit or page view
    "converted_visitor",  # ... of these, who then bought, converted or signed up
    "reached",  # ... customer, campaign and medium with an impression or a mail sent
    "clicked",  # ... of these, with a click
    "mailed",  # ... customer and campaign with a mail sent
    "opened",  # ... of these, with a mail opened
    "csat_answer",  # ... survey answer with csat 1 to 5
    "csat_satisfied",  # ... of these, 4 or 5
    "nps_answer",  # ... survey answer with nps 0 to 10
    "nps_promoter",  # ... of these, 9 or 10
    "nps_detractor",  # ... of these, 0 to 6
    "valued_customer",  # ... customer with a value by the active CLV model
    "cost",  # ... group with costs, pro rata by day
    "media_cost",  # ... group with media costs
    "advertised_purchase",  # ... purchase tagged with what media costs were booked on
    "advertised_refund",  # ... refund tagged so
]
Dimension = Literal["segment", "channel", "campaign"]
Customers = Literal["all", "known", "guest"]
# Any dimension that a figure has no meaning by; `period`: it is a figure of now, not of a window.
Meaningless = frozenset[Literal["segment", "channel", "campaign", "period"]]

TRANSACTION_KINDS: frozenset[Kind] = frozenset({"purchase", "refund"})
ADVERTISED_KINDS: frozenset[Kind] = frozenset({"advertised_purchase", "advertised_refund"})
COST_KINDS: frozenset[Kind] = frozenset({"cost", "media_cost"})
EVENT_KINDS: frozenset[Kind] = frozenset(
    {
        *("visitor", "converted_visitor", "reached", "clicked", "mailed", "opened"),
        *("csat_answer", "csat_satisfied", "nps_answer", "nps_promoter", "nps_detractor"),
    }
)
# Guests cannot be told apart, so facts of this kind do not exist for them: not 0, but unknown.
KINDS_OF_KNOWN_CUSTOMERS: frozenset[Kind] = EVENT_KINDS | {
    *("buyer", "repeat_buyer", "new_customer", "active_before", "still_active", "valued_customer"),
}


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
    """A key figure: `numerator`, or `numerator` / `denominator`; with `interval` where its uncertainty is known.

    `has_no_meaning_by` names groupings that answer null. `of_baseline`: the denominator is that of the window compared
    with. `of_tags`: facts without the tags grouped by have no such figure.
    """

    name: str
    unit: Unit
    direction: Direction
    numerator: Measure
    meaning: str
    denominator: Measure | None = None
    interval: IntervalMethod | None = None
    has_no_meaning_by: Meaningless = frozenset()
    of_baseline: bool = False
    of_tags: bool = False

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(kind for measure in self.measures for kind in measure.signs)

    @property
    def needs_customers(self) -> bool:
        return any(measure.needs_customers for measure in self.measures)
