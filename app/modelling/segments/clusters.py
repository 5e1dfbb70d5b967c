"""Segments that an algorithm found: how a fitted model of the pure floor assigns customers and gives its reasons."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from app.ml.assign import Prepared, prepare
from app.ml.assign import assign as assigned_by
from app.ml.why import Driver, drivers, explain_one
from app.modelling.features.columns import Values
from app.modelling.features.definitions import Feature, feature_of, features_named
from app.modelling.segments.assigning import Assigner, Assignment, Integers, Outcome
from app.modelling.segments.rfm import FREQUENCY, buyers

# Customers in no dense region are a segment of their own, so that they can be counted, listed and written to.
UNASSIGNED_KEY, UNASSIGNED_NAME = "unassigned", "Unassigned"
# Who is segmented at all: those who bought, or everybody.
BUYERS, EVERYBODY = "buyers", "everybody"


def read_by(features: Sequence[Feature], population: str) -> tuple[Feature, ...]:
    """These features, and what tells who belongs to the population."""
    if population != BUYERS or any(each.name == FREQUENCY for each in features):
        return tuple(features)
    return (*features, *features_named([FREQUENCY]))


def eligible(values: Values, population: str) -> Integers:
    """Positions of the customers who belong to the population."""
    return buyers(values) if population == BUYERS else np.arange(len(next(iter(values.values()))))


def assigner(document: Mapping[str, Any], _segmentation_id: UUID) -> Assigner:
    features = tuple(feature_of(each["name"], each["dtype"]) for each in document["features"])
    names = [each.name for each in features]
    keys = tuple(each["key"] for each in document["segments"])
    prepared, population = prepare(document["fitted"]), document["population"]

    def assign(values: Values) -> Assignment:
        positions = eligible(values, population)
        theirs = _of(values, names, positions)
        found = assigned_by(theirs, prepared, detail=True)
        why = drivers(theirs, prepared, found)
        in_one = _in_a_segment(found.labels, keys)
        outcomes = [_outcome(keys, each.segment, each.runner_up, each.drivers, each.rule) for each in why.outcomes]
        confidence = None if found.confidence is None else found.confidence[in_one]
        return Assignment(positions[in_one], why.codes[in_one], outcomes, confidence)

    def explain(values: Values) -> dict[str, Any]:
        if not eligible(values, population).size:
            return {"because": "no purchase above 0 so far"}
        return explanation(_of(values, names, np.array([0])), prepared, keys)

    read = read_by(features, population)
    return Assigner(keys, read, assign, explain, only_tells_buyers=len(read) > len(features))


def _of(values: Values, names: Sequence[str], positions: Integers) -> Values:
    whole = positions.size == len(next(iter(values.values())))
    return {name: values[name] if whole else values[name][positions] for name in names}


def _in_a_segment(labels: Integers, keys: Sequence[str]) -> Integers:
    return np.flatnonzero(labels >= 0) if UNASSIGNED_KEY not in keys else np.arange(labels.size)


def _outcome(
    keys: Sequence[str], segment: int, runner_up: int, named: Sequence[Driver], rule: Sequence[str]
) -> Outcome:
    """The reason that is kept: the same for many customers, so that a history does not move with every purchase."""
    if segment < 0:
        return Outcome(UNASSIGNED_KEY, {"because": "in no dense region"})
    reason: dict[str, Any] = {"because": list(rule) if rule else [spoken(each) for each in named]}
    if runner_up >= 0:
        reason["next"] = keys[runner_up]
    return Outcome(keys[segment], reason)


def spoken(driver: Driver) -> str:
    """A driver in words: `total_spend high`."""
    direction = driver.direction.replace("_", " ")
    return f"{driver.feature} {direction}" if driver.level is None else f"{driver.feature} {direction} {driver.level}"


def explanation(values: Values, prepared: Prepared, keys: Sequence[str]) -> dict[str, Any]:
    """Why one customer is where they are, feature by feature."""
    found = explain_one(values, prepared)

    def key(label: int) -> str | None:
        return keys[label] if label >= 0 else None

    features = [
        {
            "feature": each.driver.feature,
            "value": plain(values[each.driver.feature][0]),
            "direction": each.driver.direction,
            "contribution": each.value,
        }
        for each in found.contributions
    ]
    return {
        "next": key(found.runner_up),
        "margin": found.margin,
        "confidence": found.confidence,
        "features": features,
        "rule": list(found.rule),
        **({"because": "in no dense region"} if found.segment < 0 else {}),
    }


def plain(value: Any) -> Any:
    """A value of a feature as JSON has it; null where it is undefined."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if np.isnan(number) else number
