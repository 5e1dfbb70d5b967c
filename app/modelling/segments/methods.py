"""What every segmentation method can do, and the methods there are: fit to customers, assign customers.

A method is pure: columns of features in, plain values out. It knows neither the database nor what happens to its
assignments, so that training, activation, the dirty set and a single customer use the very same two functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import MethodNotAvailable, TooFewCustomers
from app.modelling.features.columns import Floats, Values
from app.modelling.segments.definitions import RFM_SEGMENTS, SegmentDefinition, rfm_segment
from app.stats.rfm import RfmEdges, quintile_edges, rfm_scores

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


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned: the model as plain numbers, its segments in order, what it shows of itself as params."""

    model: Mapping[str, Any]
    segments: Sequence[SegmentDefinition]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to segment: the features it reads, how it learns, how it assigns by what it learned."""

    name: str
    features: tuple[str, ...]
    fit: Callable[[Values], Fitted]
    assign: Callable[[Values, Mapping[str, Any]], Assignment]


# Three scores of 1 to 5 as one number: sorting whole rows costs ten times as much.
_AS_ONE_NUMBER = np.array([36, 6, 1], dtype=np.int64)
RECENCY, FREQUENCY, MONETARY = "days_since_last_purchase", "purchase_count", "total_spend"


def _buyers(values: Values) -> Integers:
    """Positions of customers with a purchase above 0: the others have nothing to be scored by."""
    return np.flatnonzero(values[FREQUENCY] >= 1)


def _fit_rfm(values: Values) -> Fitted:
    buyers = _buyers(values)
    if not buyers.size:
        raise TooFewCustomers("RFM learns from customers with a purchase, and there is none before as_of")
    edges = RfmEdges(**{name: _edges(values[name][buyers]) for name in (RECENCY, FREQUENCY, MONETARY)})
    return Fitted({"edges": edges.to_dict()}, RFM_SEGMENTS, {"edges": edges.to_dict()})


def _edges(sample: Floats) -> tuple[float, ...]:
    # Interpolation may miss a value of the sample by the last bit, and so part customers who are exactly at the edge.
    return tuple(float(f"{edge:.12g}") for edge in quintile_edges(sample))


def _assign_rfm(values: Values, model: Mapping[str, Any]) -> Assignment:
    buyers = _buyers(values)
    recency, frequency, monetary = (values[name][buyers] for name in (RECENCY, FREQUENCY, MONETARY))
    scores = rfm_scores(recency, frequency, monetary, RfmEdges.from_dict(model["edges"]))
    _, first, codes = np.unique(scores @ _AS_ONE_NUMBER, return_index=True, return_inverse=True)
    outcomes = [_rfm_outcome(*map(int, scores[each])) for each in first]
    return Assignment(buyers, codes.astype(np.int64), outcomes)


def _rfm_outcome(recency: int, frequency: int, monetary: int) -> Outcome:
    key = rfm_segment(recency=recency, frequency=frequency, monetary=monetary)
    return Outcome(key, {"recency_score": recency, "frequency_score": frequency, "monetary_score": monetary})


METHODS: Mapping[str, Method] = {
    method.name: method for method in (Method("rfm", (RECENCY, FREQUENCY, MONETARY), _fit_rfm, _assign_rfm),)
}


def method_named(name: str) -> Method:
    """The method of this name. Raises MethodNotAvailable, saying which there are."""
    if name not in METHODS:
        raise MethodNotAvailable(f"The method {name!r} is not available yet; available: {', '.join(METHODS)}")
    return METHODS[name]
