"""What every fitted version can do, whatever its method: say what it reads of customers, assign them, give its reasons.

An assigner is pure: columns of features in, plain values out. It knows neither the database nor what happens to its
assignments, so that training, activation, the dirty set and a single customer use the very same function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.features.columns import Floats, Values
from app.modelling.features.definitions import Feature
from app.modelling.features.derived import Derived
from app.modelling.rules.conditions import InSegment

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can become of a customer: the segment, and why."""

    segment_key: str
    reason: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The customers that qualify, by position in the columns given, each with one of the outcomes.

    Customers at no position qualify for no segment. confidence: 0..1 per position; None where a method is certain.
    """

    positions: Integers
    codes: Integers
    outcomes: Sequence[Outcome]
    confidence: Floats | None = None

    def labels(self, keys: Sequence[str], customers: int) -> Integers:
        """For each customer the place of the segment's key, -1 for none."""
        places = {key: place for place, key in enumerate(keys)}
        of_outcome = np.array([places.get(outcome.segment_key, -1) for outcome in self.outcomes], dtype=np.int64)
        labels = np.full(customers, -1, dtype=np.int64)
        if self.positions.size:
            labels[self.positions] = of_outcome[self.codes]
        return labels


# What becomes of one customer by plain values; null: they qualify for nothing.
Alone = Callable[[Mapping[str, Any]], Outcome | None]


@dataclass(frozen=True, slots=True, eq=False)
class Assigner:
    """A fitted version at work.

    keys: of its segments, in order. explain: why a single customer, the only one in the columns given, is where they
    are. asks: segments of other segmentations that it reads. only_tells_buyers: purchase_count is read for nothing but
    to know who has bought. alone: the same as assign for one customer, by plain values, null where a feature is
    undefined; for methods by which columns of a single row would take longer than the method itself.
    """

    keys: tuple[str, ...]
    features: tuple[Feature, ...]
    assign: Callable[[Values], Assignment]
    explain: Callable[[Values], Mapping[str, Any]]
    derived: tuple[Derived, ...] = ()
    asks: tuple[InSegment, ...] = ()
    only_tells_buyers: bool = False
    alone: Alone | None = None
