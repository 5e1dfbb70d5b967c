"""Recency, frequency, monetary value: scores by quintiles, named by cells."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import numpy as np

from app.errors import TooFewCustomers
from app.modelling.features.columns import Floats, Values
from app.modelling.features.definitions import features_named
from app.modelling.segments.assigning import Assigner, Assignment, Integers, Outcome
from app.modelling.segments.definitions import RFM_SEGMENTS, rfm_segment
from app.stats.rfm import RfmEdges, quintile_edges, rfm_scores, rfm_scores_of_one

# Three scores of 1 to 5 as one number: sorting whole rows costs ten times as much.
_AS_ONE_NUMBER = np.array([36, 6, 1], dtype=np.int64)
RECENCY, FREQUENCY, MONETARY = "days_since_last_purchase", "purchase_count", "total_spend"
FEATURES = (RECENCY, FREQUENCY, MONETARY)
_SCORES = ("recency_score", "frequency_score", "monetary_score")


def buyers(values: Values) -> Integers:
    """Positions of customers with a purchase above 0: the others have nothing to be scored by."""
    return np.flatnonzero(values[FREQUENCY] >= 1)


def fit(values: Values) -> dict[str, Any]:
    """The edges of the quintiles. Raises TooFewCustomers."""
    found = buyers(values)
    if not found.size:
        raise TooFewCustomers("RFM learns from customers with a purchase, and there is none before as_of")
    return {"edges": RfmEdges(**{name: _edges(values[name][found]) for name in FEATURES}).to_dict()}


def _edges(sample: Floats) -> tuple[float, ...]:
    # Interpolation may miss a value of the sample by the last bit, and so part customers who are exactly at the edge.
    return tuple(float(f"{edge:.12g}") for edge in quintile_edges(sample))


def assigner(document: Mapping[str, Any], _segmentation_id: UUID) -> Assigner:
    edges = RfmEdges.from_dict(document["fitted"]["edges"])

    def assign(values: Values) -> Assignment:
        # Rows that are not of the store may lack a figure: without all three there is no score.
        found = buyers(values)
        found = found[~np.isnan(values[RECENCY][found] + values[MONETARY][found])]
        recency, frequency, monetary = (values[name][found] for name in FEATURES)
        scores = rfm_scores(recency, frequency, monetary, edges)
        _, first, codes = np.unique(scores @ _AS_ONE_NUMBER, return_index=True, return_inverse=True)
        return Assignment(found, codes.astype(np.int64), [_outcome(*map(int, scores[each])) for each in first])

    def alone(values: Mapping[str, Any]) -> Outcome | None:
        recency, frequency, monetary = (values[name] for name in FEATURES)
        if recency is None or monetary is None or frequency is None or frequency < 1:
            return None
        return _outcome(*rfm_scores_of_one(recency, frequency, monetary, edges))

    def explain(values: Values) -> dict[str, Any]:
        found = assign(values)
        if not found.positions.size:
            return {"because": "no purchase above 0 so far"}
        scores = found.outcomes[0].reason
        return {
            "scores": dict(scores),
            "features": [
                {"feature": name, "value": float(values[name][0]), "score": scores[score], "edges": list(limits)}
                for name, score, limits in zip(FEATURES, _SCORES, edges.to_dict().values(), strict=True)
            ],
        }

    keys = tuple(each.key for each in RFM_SEGMENTS)
    return Assigner(keys, features_named(FEATURES), assign, explain, alone=alone)


def _outcome(recency: int, frequency: int, monetary: int) -> Outcome:
    key = rfm_segment(recency=recency, frequency=frequency, monetary=monetary)
    return Outcome(key, dict(zip(_SCORES, (recency, frequency, monetary), strict=True)))
