"""Segments that people wrote: rules at work, with what was decided by hand."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import numpy as np

from app.modelling.features.columns import Values
from app.modelling.features.definitions import feature_of
from app.modelling.rules.evaluation import evaluate, reasons
from app.modelling.rules.grammar import parse
from app.modelling.rules.history import by_hand
from app.modelling.rules.requirements import derived, segments
from app.modelling.rules.tracing import trace
from app.modelling.segments.assigning import Assigner, Assignment, Outcome


def assigner(document: Mapping[str, Any], segmentation_id: UUID) -> Assigner:
    ruleset = parse(document["fitted"]["rules"])
    features = tuple(feature_of(each["name"], each["dtype"]) for each in document["features"])
    columns, hand = derived(ruleset), by_hand(segmentation_id)
    keys = tuple(rule.key for rule in ruleset.rules)
    outcomes = [Outcome(reason["rule"], reason) for reason in reasons(ruleset)]
    read = [*(each.name for each in features), *(each.name for each in columns)]

    def assign(values: Values) -> Assignment:
        decided = values[hand.name]
        asked = {name: values[name] for name in read} or {hand.name: decided}
        codes = evaluate(ruleset, asked, by_hand=decided)
        positions = np.flatnonzero(codes >= 0)
        return Assignment(positions, codes[positions], outcomes)

    def explain(values: Values) -> dict[str, Any]:
        return trace(ruleset, values, 0, by_hand=values[hand.name])

    return Assigner(keys, features, assign, explain, (*columns, hand), segments(ruleset))
