"""What to mind about a segmentation: segments nobody can tell apart, too small ones, more of them than needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.features.columns import Floats, Values
from app.modelling.features.definitions import Feature
from app.modelling.segments.judgement.effects import SMALL, Effect, Groups, Integers, effects_of, magnitude

LEAST_SHARE = 0.05
# Of twenty segments there are 190 pairs; whoever merges the first few looks again.
MOST_PAIRS = 10

Booleans = npt.NDArray[np.bool_]


def warnings_of(
    values: Values,
    labels: Integers,
    *,
    features: Sequence[Feature],
    least_share: float = LEAST_SHARE,
    k: int | None = None,
) -> list[dict[str, Any]]:
    """Warnings, each with code, detail and the labels of the segments it is about; none where all is well.

    least_share: below this share of everyone a segment is too small. Two segments are told apart by a feature where
    its effect is at least .33, medium (Romano et al. 2006, see effects).
    """
    groups = Groups.of(labels, k)
    full = np.flatnonzero(groups.sizes > 0).tolist()
    difference = _differences(effects_of(values, groups, list(dict.fromkeys(features))), groups.k)
    return [
        *_empty(groups),
        *_small(groups, least_share),
        *_alike(difference, full),
        *_needed(difference, full, groups),
    ]


def _warning(code: str, detail: str, segments: Sequence[int]) -> dict[str, Any]:
    return {"code": code, "detail": detail, "segments": list(segments)}


def _empty(groups: Groups) -> list[dict[str, Any]]:
    empty = np.flatnonzero(groups.sizes == 0).tolist()
    return [_warning("empty_segments", f"{_segments(len(empty))} without any member", empty)] if empty else []


def _small(groups: Groups, least_share: float) -> list[dict[str, Any]]:
    everyone = groups.labels.size
    small = np.flatnonzero((groups.sizes > 0) & (groups.sizes < least_share * everyone)).tolist()
    if not small:
        return []
    shares = ", ".join(f"{groups.sizes[label] / everyone:.2%}" for label in small)
    detail = f"{_segments(len(small))} below {least_share:.2%} of the customers: {shares}"
    return [_warning("segments_too_small", detail, small)]


@dataclass(frozen=True, slots=True)
class _Difference:
    """Of each pair of segments the largest effect of any feature, and the place of that feature."""

    most: Floats
    by: Integers
    features: tuple[Feature, ...]

    @property
    def is_seen(self) -> Booleans:
        return self.most >= SMALL


def _differences(effects: Sequence[Effect], k: int) -> _Difference:
    # Where it is known of nobody in one of them a feature tells nothing.
    sizes = np.array([np.nan_to_num(effect.pairs) for effect in effects] or [np.zeros((k, k))])
    by = sizes.argmax(axis=0)
    return _Difference(sizes.max(axis=0), by.astype(np.int64), tuple(effect.feature for effect in effects))


def _alike(difference: _Difference, full: Sequence[int]) -> list[dict[str, Any]]:
    """The pairs that are most alike first."""
    pairs = [(one, other) for one in full for other in full if one < other and not difference.is_seen[one, other]]
    pairs.sort(key=lambda pair: (float(difference.most[pair]), pair))
    return [_warning("indistinct_segments", _likeness(difference, pair), pair) for pair in pairs[:MOST_PAIRS]]


def _likeness(difference: _Difference, pair: tuple[int, int]) -> str:
    if not difference.features:
        return "no feature is known by which they could differ"
    feature, most = difference.features[int(difference.by[pair])], float(difference.most[pair])
    return f"they differ most in {feature.name}, and there by {most:.2f} only, a {magnitude(most)} effect"


def _needed(difference: _Difference, full: Sequence[int], groups: Groups) -> list[dict[str, Any]]:
    """Whether fewer would do: from the largest on, a segment is needed that is told apart from all needed before."""
    needed: list[int] = []
    for label in sorted(full, key=lambda label: (-groups.sizes[label], label)):
        if all(difference.is_seen[label, other] for other in needed):
            needed.append(label)
    if len(needed) == len(full):
        return []
    spare = [label for label in full if label not in needed]
    detail = f"of {_segments(len(full))} {len(needed)} can be told apart from each other; the others add none"
    return [_warning("more_segments_than_needed", detail, spare)]


def _segments(count: int) -> str:
    return "1 segment" if count == 1 else f"{count} segments"
