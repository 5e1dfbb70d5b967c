"""Grows forests and boosted trees with scikit-learn and takes them out of it as plain arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from app.ml.classification.rows import Rows
from app.ml.columns import Floats, Kind, Values
from app.ml.preparation import learn
from app.ml.threads import repeatable

Flags = npt.NDArray[np.bool_]
# Trees compare, they do not measure: numbers stay in their unit, and the unknown go where a split sends them.
IN_OWN_UNITS: Mapping[str, Any] = {"winsorise": False, "log": False, "scale": "none", "missing_indicator": False}
# Slow and shallow: what a shop with some thousand customers can carry.
BOOSTING: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 8,
    "max_iter": 150,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "early_stopping": True,
    "validation_fraction": 0.1,
    "n_iter_no_change": 15,
}
# A depth of 6 keeps 64 leaves at most, which is what one machine word can tell apart.
FOREST: Mapping[str, Any] = {"n_estimators": 100, "max_depth": 6, "min_samples_leaf": 10, "max_features": 0.3}
# So many give each of 64 leaves hundreds: more make a tree slower and no better.
MOST_PER_TREE = 20_000
# Contributions are measured against this many customers; their standard error is a tenth of the spread among them.
BACKGROUND = 100
LEAF = -1
# scikit-learn is not typed.
boosting_of: Callable[..., Any] = HistGradientBoostingClassifier
forest_of: Callable[..., Any] = RandomForestClassifier


def learn_gradient_boosting(values: Values, outcomes: Flags, kinds: Mapping[str, Kind], seed: int) -> dict[str, Any]:
    """Boost shallow trees: learning rate .05, 8 leaves, at most 150 of them, fewer where a tenth kept aside says so.

    Categories are one column per level, as for every algorithm here; nobody is weighted for the sake of rare outcomes.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features.
    outcomes : ndarray of bool, shape (n,)
        Both must occur.
    kinds : mapping of str to Kind
        The features to use, in order.
    seed : int
        Of the tenth kept aside.

    Returns
    -------
    dict
        Plain, for `ensemble.Ensemble`.

    Raises
    ------
    TooFewCustomers
        If no feature tells these customers apart.

    References
    ----------
    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29(5),
    1189-1232. Ke, G. et al. (2017). LightGBM: a highly efficient gradient boosting decision tree. NIPS 30.
    """
    prepared, rows = _prepared(values, kinds)
    with repeatable():
        model = boosting_of(**BOOSTING, random_state=seed % 2**32).fit(rows.T, outcomes)
    trees = [of_iteration[0].nodes for of_iteration in model._predictors]
    exported = [
        {
            "column": np.where(nodes["is_leaf"], LEAF, nodes["feature_idx"]),
            "threshold": nodes["num_threshold"],
            "unknown_left": nodes["missing_go_to_left"] != 0,
            "left": np.where(nodes["is_leaf"], LEAF, nodes["left"].astype(np.int64)),
            "right": np.where(nodes["is_leaf"], LEAF, nodes["right"].astype(np.int64)),
            "value": nodes["value"],
        }
        for nodes in trees
    ]
    bias = float(np.asarray(model._baseline_prediction).ravel()[0])
    return {**prepared, **_joined(exported), "bias": bias, "background": _background(rows, seed)}


def learn_random_forest(values: Values, outcomes: Flags, kinds: Mapping[str, Kind], seed: int) -> dict[str, Any]:
    """Grow 100 trees of depth 6 on bootstrap samples of at most 20,000; the score is the mean of the shares in their leaves.

    Parameters
    ----------
    values, outcomes, kinds
        As for `learn_gradient_boosting`.
    seed : int
        Of the bootstrap samples and of the features that each split may look at.

    Returns
    -------
    dict
        Plain, for `ensemble.Ensemble`.

    Raises
    ------
    TooFewCustomers
        If no feature tells these customers apart.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32.
    """
    prepared, rows = _prepared(values, kinds)
    with repeatable():
        model = forest_of(
            **FOREST, max_samples=min(outcomes.size, MOST_PER_TREE), random_state=seed % 2**32, n_jobs=1
        ).fit(rows.T.astype(np.float32), outcomes)
    some_unknown = np.asarray(np.isnan(rows).any(axis=1))
    exported = [_of_forest(each.tree_, some_unknown, len(model.estimators_)) for each in model.estimators_]
    return {**prepared, **_joined(exported), "bias": 0.0, "background": _background(rows, seed)}


def _prepared(values: Values, kinds: Mapping[str, Kind]) -> tuple[dict[str, Any], Floats]:
    chosen = {name: values[name] for name in kinds}
    learned = learn(chosen, kinds, IN_OWN_UNITS)
    n = next(iter(chosen.values())).size
    rows = Rows.of(learned.stored).as_they_are(chosen, 0, n)
    return {"preparation": learned.stored, "warnings": learned.warnings}, rows


def _of_forest(tree: Any, some_unknown: Flags, trees: int) -> dict[str, Any]:
    inner = tree.children_left != LEAF
    column = np.where(inner, tree.feature, LEAF)
    larger_left = tree.n_node_samples[tree.children_left] >= tree.n_node_samples[tree.children_right]
    # Where nobody learned from was unknown, the unknown go with the many.
    unknown_left = np.where(some_unknown[column], tree.missing_go_to_left != 0, larger_left)
    shares = tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1)
    return {
        "column": column,
        "threshold": tree.threshold,
        "unknown_left": unknown_left,
        "left": tree.children_left,
        "right": tree.children_right,
        "value": shares / trees,
    }


def _joined(trees: list[dict[str, Any]]) -> dict[str, Any]:
    sizes = [each["column"].size for each in trees]
    roots = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
    return {
        "roots": roots,
        "column": np.concatenate([each["column"] for each in trees]).astype(np.int64),
        "threshold": np.concatenate([each["threshold"] for each in trees]).astype(np.float64),
        "unknown_left": np.concatenate([each["unknown_left"] for each in trees]).astype(np.bool_),
        "left": _moved([each["left"] for each in trees], roots),
        "right": _moved([each["right"] for each in trees], roots),
        "value": np.concatenate([each["value"] for each in trees]).astype(np.float64),
    }


def _moved(children: list[npt.NDArray[Any]], roots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    moved = [
        np.where(each == LEAF, LEAF, each.astype(np.int64) + root) for each, root in zip(children, roots, strict=True)
    ]
    return np.concatenate(moved)


def _background(rows: Floats, seed: int) -> Floats:
    n = rows.shape[1]
    return rows[:, np.sort(np.random.default_rng(seed).permutation(n)[:BACKGROUND])]
