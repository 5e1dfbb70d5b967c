"""What is to be learned from whom, and what was learned: plain values that travel to the process that learns, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.stats.btyd.histories import Histories

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
TimeUnit = Literal["day", "week"]
ValueKind = Literal["revenue", "margin"]
DAYS_PER_UNIT: Mapping[TimeUnit, int] = {"day": 1, "week": 7}


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn. calibration_end: the last day that is learned from; held_out_days: how many after it are known.

    minor_per_major: of the currency; unit: one of `day` and `week`, the unit of time of all parameters.
    """

    family: str
    unit: TimeUnit
    horizon_days: int
    discount_rate_annual: float
    value: ValueKind
    currency: str
    minor_per_major: int
    calibration_end: str
    held_out_days: int
    seed: int

    def units(self, days: float) -> float:
        return days / DAYS_PER_UNIT[self.unit]


@dataclass(frozen=True, slots=True)
class Population:
    """Distinct histories, a row each; days, and money in minor units.

    repeat_purchases, age_at_last_purchase, age, value_days, value_minor as in population_select; days_after,
    older_after and value_after what the same customers did in the days held out; customers: how many have it.
    bought_on: by day after the last one learned from, how many of these customers bought.
    """

    repeat_purchases: Integers
    age_at_last_purchase: Integers
    age: Integers
    value_days: Integers
    value_minor: Integers
    days_after: Integers
    older_after: Integers
    value_after: Integers
    customers: Integers
    bought_on: Mapping[int, int]

    @classmethod
    def of(cls, rows: Integers, bought_on: Mapping[int, int]) -> "Population":
        """From rows as population_select gives them."""
        columns = dict(zip(cls.__slots__, np.ascontiguousarray(rows.T), strict=False))
        return cls(**columns, bought_on=bought_on)

    def histories(self, unit: TimeUnit) -> Histories:
        days = float(DAYS_PER_UNIT[unit])
        return Histories.of(self.repeat_purchases, self.age_at_last_purchase / days, self.age / days, self.customers)

    def histories_after(self, unit: TimeUnit, held_out_days: int) -> Histories:
        """The same customers at the end of what is held out."""
        days = float(DAYS_PER_UNIT[unit])
        return Histories.of(
            self.repeat_purchases + self.days_after,
            (self.age_at_last_purchase + self.older_after) / days,
            (self.age + held_out_days) / days,
            self.customers,
        )

    def mean_value(self, minor_per_major: int) -> Floats:
        """What a purchase day after the first was worth on average, in major units; 0 where there was
        none, or more was returned than bought."""
        worth = np.maximum(self.value_minor, 0) / np.maximum(self.value_days, 1) / minor_per_major
        found: Floats = np.where(self.value_days > 0, worth, 0.0)
        return found


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted model: what is kept of it, what it shows of itself."""

    document: Mapping[str, Any]
    family: str
    evaluation: Mapping[str, Any]
    fingerprint: str
    customers: int
