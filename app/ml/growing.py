"""Grows a decision tree that predicts given labels, with thresholds that people can read."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from app.errors import TooFewCustomers
from app.ml.columns import Floats, Integers, Kind, Values, customers_in, taken
from app.ml.preparation import learn
from app.ml.threads import repeatable
from app.ml.transform import Transform
from app.ml.tree import LEAF

MOST_GROWN_FROM = 100_000
# A tree compares, it does not measure: features stay in their own units, and being unknown can be a condition.
IN_OWN_UNITS: Mapping[str, Any] = {"winsorise": False, "log": False, "scale": "none", "missing_indicator": True}
# scikit-learn is not typed.
classifier_of: Callable[..., Any] = DecisionTreeClassifier


def grow(
    values: Values, kinds: Mapping[str, Kind], labels: Integers, *, params: Mapping[str, Any], seed: int
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Grow a tree by the Gini impurity from at most 100,000 customers whose label is known.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features. An unknown number counts as the median, besides being known to be unknown.
    kinds : mapping of str to Kind
        The features to use, in order.
    labels : ndarray of int64, shape (n,)
        0..k-1; -1: unknown.
    params : mapping
        ``max_depth``, ``min_leaf_share`` and, optionally, ``max_leaves``.
    seed : int
        Of the sample and of ties between equally good features.

    Returns
    -------
    model : dict
        Plain, for `assign`.
    warnings : list of dict

    Raises
    ------
    TooFewCustomers
        If fewer than two customers have a label, or no feature tells them apart.

    References
    ----------
    Breiman, L., Friedman, J. H., Olshen, R. A. and Stone, C. J. (1984). Classification and Regression Trees, ch. 4.
    """
    customers_in(values, list(kinds))
    chosen = _labelled(labels, seed)
    sample, k = taken(values, list(kinds), chosen), int(labels.max()) + 1
    learned = learn(sample, kinds, IN_OWN_UNITS)
    rows, _ = Transform.of(learned.stored).columns(sample, 0, chosen.size)
    model = {
        "algorithm": "decision_tree",
        "k": k,
        "features": [{"name": name, "kind": kind} for name, kind in kinds.items()],
        "preparation": learned.stored,
        "components": None,
        "parts": _arrays(_fitted(rows, labels[chosen], params, seed), rows, k),
    }
    return model, learned.warnings


def _labelled(labels: Integers, seed: int) -> Integers:
    """Positions of customers whose label is known, a sample of them where they are many."""
    chosen = np.flatnonzero(labels >= 0)
    if chosen.size < 2:
        raise TooFewCustomers("a tree learns from customers whose label is known, and needs at least two")
    if chosen.size > MOST_GROWN_FROM:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, size=MOST_GROWN_FROM, replace=False))
    return chosen


def _fitted(rows: Floats, wanted: Integers, params: Mapping[str, Any], seed: int) -> Any:
    classifier = classifier_of(
        max_depth=params["max_depth"],
        min_samples_leaf=max(1, math.ceil(float(params["min_leaf_share"]) * wanted.size)),
        max_leaf_nodes=params.get("max_leaves"),
        random_state=seed % 2**32,
    )
    with repeatable():
        classifier.fit(rows.T.astype(np.float32), wanted)
    return classifier


def _arrays(classifier: Any, rows: Floats, k: int) -> dict[str, Any]:
    tree = classifier.tree_
    column = np.where(tree.children_left == LEAF, LEAF, tree.feature).astype(np.int64)
    shares = np.zeros((column.size, k))
    shares[:, classifier.classes_] = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
    left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
    threshold = np.where(column == LEAF, 0.0, tree.threshold)
    waiting = [(0, np.arange(rows.shape[1]))]
    while waiting:
        node, members = waiting.pop()
        if column[node] == LEAF:
            continue
        inside = rows[column[node], members]
        # scikit-learn compared in single precision; the new threshold parts the same customers in double.
        goes_left = inside.astype(np.float32) <= tree.threshold[node]
        threshold[node] = readable_between(float(inside[goes_left].max()), float(inside[~goes_left].min()))
        waiting += [(int(left[node]), members[goes_left]), (int(right[node]), members[~goes_left])]
    return {"column": column, "threshold": threshold, "left": left, "right": right, "shares": shares}


def readable_between(low: float, high: float) -> float:
    """Give the number with the fewest digits that is at least `low` and below `high`.

    Parameters
    ----------
    low, high : float
        low < high.

    Returns
    -------
    float
        A multiple of the largest power of ten not above the gap, or `low` where rounding allows none.

    Examples
    --------
    >>> readable_between(3.0, 4.0), readable_between(12345.0, 12999.0), readable_between(0.251, 0.262)
    (3.0, 12900.0, 0.26)
    """
    power = math.floor(math.log10(high - low))
    # Above and below 1 in different words, so that 0.26 is 26 / 100 and not 26 * 0.01 = 0.26000000000000001.
    multiple = math.floor(high / 10.0**power) if power >= 0 else math.floor(high * 10.0**-power)
    for candidate in (multiple, multiple - 1):
        found = candidate * 10.0**power if power >= 0 else candidate / 10.0**-power
        if low <= found < high:
            return found
    return low
