"""Readable rules for any segmentation, by a small tree that imitates it, and how far they can be believed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from app.errors import TooFewCustomers
from app.ml.surrogate import Rule, surrogate
from app.modelling.features.columns import Values
from app.modelling.features.definitions import Feature
from app.modelling.segments.judgement.effects import Integers


def rules_of(values: Values, labels: Integers, *, features: Sequence[Feature], seed: int = 0) -> dict[str, Any]:
    """Rules by segment, -1 for those in none; fidelity: the share of customers whom the rules put where they are.

    Null with a reason where there is nothing to tell apart: one_segment, or too_few customers or features.
    """
    if np.unique(labels).size < 2:
        return {"fidelity": None, "reason": "one_segment", "rules": []}
    kinds = {feature.name: feature.kind for feature in features}
    try:
        found = surrogate(values, kinds, labels, seed=seed)
    except TooFewCustomers:
        return {"fidelity": None, "reason": "too_few", "rules": []}
    return {"fidelity": found.fidelity, "rules": [_shown(rule) for rule in found.rules]}


def _shown(rule: Rule) -> dict[str, Any]:
    same = ("segment", "text", "customers", "purity", "coverage")
    conditions = [asdict(condition) for condition in rule.conditions]
    return {**{each: getattr(rule, each) for each in same}, "conditions": conditions}
