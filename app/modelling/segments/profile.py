"""What the members of each segment have in common: sizes, revenue, medians, a persona without invented facts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.modelling.features.columns import Values
from app.modelling.features.definitions import BY_NAME, Feature
from app.modelling.segments.definitions import SegmentDefinition
from app.modelling.segments.methods import Assignment, Integers

# Read beside the features of a method, so that every segment's share of revenue is known.
REVENUE = "total_spend"
NOT_APPLICABLE = "not_applicable"


def profile_of(
    values: Values, assignment: Assignment, segments: Sequence[SegmentDefinition], features: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """By segment key: size, share of revenue (null when there is none at all), medians of the features, meaning."""
    places = {segment.key: place for place, segment in enumerate(segments)}
    of_outcome = np.array([places[outcome.segment_key] for outcome in assignment.outcomes], dtype=np.int64)
    segment_of = of_outcome[assignment.codes] if assignment.codes.size else assignment.codes
    members = [assignment.positions[segment_of == place] for place in range(len(segments))]
    total = float(values[REVENUE][assignment.positions].sum())
    return {
        segment.key: {
            "size": len(positions),
            "revenue_share": float(values[REVENUE][positions].sum()) / total if total > 0 else None,
            "medians": {name: _median(values, name, positions) for name in features},
            "meaning": segment.meaning,
        }
        for segment, positions in zip(segments, members, strict=True)
    }


def _median(values: Values, name: str, positions: Integers) -> float | None:
    return float(np.median(values[name][positions])) if positions.size else None


def evaluation_of(profile: Mapping[str, Mapping[str, Any]], *, min_segment_share: float) -> dict[str, Any]:
    """How good a segmentation by fixed rules is: its sizes. Distances between clusters mean nothing for it."""
    sizes = [segment["size"] for segment in profile.values()]
    unmeasured = ("silhouette", "davies_bouldin", "calinski_harabasz", "stability")
    return {
        **dict.fromkeys(unmeasured),
        "sizes_ok": min(sizes) >= min_segment_share * sum(sizes),
        "k_table": [],
        "reasons": dict.fromkeys((*unmeasured, "k_table"), NOT_APPLICABLE),
    }


def persona(name: str, members: Mapping[str, Any], *, as_of: str, currency: str) -> dict[str, Any]:
    """A segment in words, from the medians of its members at one evaluation."""
    size, medians = members["size"], {each: members["medians"][each] for each in BY_NAME if each in members["medians"]}
    said = [_said(BY_NAME[each], median, currency) for each, median in medians.items() if median is not None]
    who = "1 customer" if size == 1 else f"{size} customers"
    facts = f"; medians: {', '.join(said)}" if said else ""
    return {
        "description": f"{name}: {members['meaning']}. {who} at {as_of}{facts}.",
        "medians": medians,
        "as_of": as_of,
    }


def _said(feature: Feature, median: float, currency: str) -> str:
    return f"{feature.name} {median:.2f} {currency}" if feature.is_money else f"{feature.name} {median:g}"
