"""Gives segments their numbers by what they are worth, so that another seed that finds the same calls it the same."""

from typing import Any

import numpy as np

from app.ml.columns import Floats, Integers, Kind, Values


def ranking(values: Values, kinds: dict[str, Kind], labels: Integers, k: int) -> Integers:
    """Order segments by the mean of the first money feature, the highest first; without money by size.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features.
    kinds : dict of str to Kind
        Their kinds, in order.
    labels : ndarray of int64, shape (n,)
        0..k-1, or -1.
    k : int
        Number of segments.

    Returns
    -------
    ndarray of int64, shape (m,), m <= k
        Labels, the first first; those of nobody are left out. Ties go by size, then by label.

    Examples
    --------
    >>> spend = {"total_spend": np.array([10.0, 12.0, 90.0, np.nan])}
    >>> ranking(spend, {"total_spend": "money"}, np.array([0, 0, 1, 1]), 3).tolist()
    [1, 0]
    """
    inside = labels >= 0
    sizes = np.bincount(labels[inside], minlength=k).astype(np.float64)
    money = next((name for name, kind in kinds.items() if kind == "money"), None)
    worth = np.zeros(k) if money is None else _means(values[money], labels, k)
    order = np.lexsort((np.arange(k), -sizes, -worth))
    return order[sizes[order] > 0]


def _means(column: Floats, labels: Integers, k: int) -> Floats:
    usable = np.isfinite(column) & (labels >= 0)
    sums = np.bincount(labels[usable], weights=column[usable], minlength=k)
    return np.asarray(sums / np.maximum(np.bincount(labels[usable], minlength=k), 1), dtype=np.float64)


def reordered(parts: dict[str, Any], order: Integers) -> dict[str, Any]:
    """Give the parts of a solution with its segments in another order.

    Parameters
    ----------
    parts : dict
        From a solution.
    order : ndarray of int64, shape (m,)
        From `ranking`.

    Returns
    -------
    dict
        Of m segments. Nobody changes segment, for only those of nobody are gone.
    """
    if "places" in parts:
        # -1, the last, stays what it is.
        new = np.full(parts["reach"].size + 1, -1, dtype=np.int64)
        new[order] = np.arange(order.size)
        return {**parts, "labels": new[parts["labels"]], "reach": parts["reach"][order]}
    return {name: np.ascontiguousarray(part[order]) for name, part in parts.items()}
