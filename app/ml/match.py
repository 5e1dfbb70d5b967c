"""Recognises the segments of an earlier fit in a new one, so that a refit renames nobody who stayed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # type: ignore[attr-defined]  # public, but not in its __all__

from app.ml.columns import Floats, Integers

# At a third, two segments of one size share exactly half of their members.
LEAST_OVERLAP = 1 / 3


@dataclass(frozen=True, slots=True)
class Match:
    """How new segments continue old ones.

    Parameters
    ----------
    old_of_new : tuple of (int or None)
        By new label, the old one it continues; None: a new segment.
    overlap : tuple of float
        By new label, the Jaccard index with the old segment it was paired with, 0..1; also where that was too little.
    migration : ndarray of int64, shape (k_old, k_new)
        How many customers went from which old segment to which new one.
    """

    old_of_new: tuple[int | None, ...]
    overlap: tuple[float, ...]
    migration: Integers


def match_segments(old_labels: npt.ArrayLike, new_labels: npt.ArrayLike, *, least: float = LEAST_OVERLAP) -> Match:
    """Pair new segments with old ones so that together they share the most members.

    The assignment that maximises the sum of the Jaccard indices of the pairs. What shares less than `least` with its
    partner is a new segment.

    Parameters
    ----------
    old_labels, new_labels : array_like of int64, shape (n,)
        Labels of the same customers, 0..k-1; who has -1 in either is left out of the comparison of members.
    least : float, default 1/3
        Jaccard index, 0..1, from which on a segment counts as the same.

    Returns
    -------
    Match
        Of k_new segments, the highest label + 1.

    Raises
    ------
    ValueError
        If the labels are not of the same customers.

    References
    ----------
    Kuhn, H. W. (1955). The Hungarian method for the assignment problem. Naval Research Logistics Quarterly 2, 83-97.
    Hennig, C. (2007). Cluster-wise assessment of cluster stability. Computational Statistics and Data Analysis 52,
    258-271 (Jaccard index of clusters).

    Examples
    --------
    >>> match_segments([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 2]).old_of_new
    (1, 0, None)
    """
    old, new = np.asarray(old_labels, dtype=np.int64), np.asarray(new_labels, dtype=np.int64)
    if old.shape != new.shape or old.ndim != 1:
        raise ValueError(f"labels of the shapes {old.shape} and {new.shape} are not of the same customers")
    rows, columns = (int(labels.max(initial=-1)) + 1 for labels in (old, new))
    both = (old >= 0) & (new >= 0)
    migration = np.bincount(old[both] * max(columns, 1) + new[both], minlength=rows * columns).reshape(rows, columns)
    jaccard = _jaccard(migration)
    pairs: dict[int, int] = {int(b): int(a) for a, b in zip(*linear_sum_assignment(-jaccard), strict=True)}
    overlap = [float(jaccard[pairs[label], label]) if label in pairs else 0.0 for label in range(columns)]
    kept: Sequence[int | None] = [
        pairs[label] if label in pairs and overlap[label] >= least and overlap[label] > 0 else None
        for label in range(columns)
    ]
    return Match(tuple(kept), tuple(overlap), migration)


def _jaccard(migration: Integers) -> Floats:
    union = migration.sum(axis=1, keepdims=True) + migration.sum(axis=0, keepdims=True) - migration
    return np.asarray(migration / np.maximum(union, 1), dtype=np.float64)
