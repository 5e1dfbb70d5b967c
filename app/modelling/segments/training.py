"""Learning from everybody, as one pure call that runs in a niced process of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.modelling.features.columns import Values
from app.modelling.segments.definitions import SegmentDefinition
from app.modelling.segments.methods import Fitted, method_named
from app.modelling.segments.profile import evaluation_of, profile_of


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted model, what its segments are like, how good it is, from how many customers."""

    fitted: Fitted
    profile: Mapping[str, Mapping[str, Any]]
    evaluation: Mapping[str, Any]
    customers: int


def learn(method_name: str, values: Values, min_segment_share: float) -> Learned:
    """Fit a method to these customers and describe the segments it makes of them. Raises TooFewCustomers."""
    method = method_named(method_name)
    fitted = method.fit(values)
    assignment = method.assign(values, fitted.model)
    profile = profile_of(values, assignment, fitted.segments, method.features)
    evaluation = evaluation_of(profile, min_segment_share=min_segment_share)
    return Learned(fitted, profile, evaluation, len(assignment.positions))


def describe(
    method_name: str, values: Values, model: Mapping[str, Any], segments: Sequence[SegmentDefinition]
) -> dict[str, dict[str, Any]]:
    """What the segments of a fitted model are like for these customers."""
    method = method_named(method_name)
    return profile_of(values, method.assign(values, model), segments, method.features)
