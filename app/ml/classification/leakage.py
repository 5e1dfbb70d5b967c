"""Finds features that know the outcome: one that alone tells it too well was written down after it happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.ml.classification.folds import folds_of
from app.ml.columns import Floats, Kind, Values
from app.ml.transform import MISSING
from app.stats.discrimination import roc_auc
from app.stats.estimate import Undetermined

Flags = npt.NDArray[np.bool_]
By = Literal["value", "category", "missingness"]
# Honest churn models reach .75 to .87; a single feature beyond this is the outcome under another name.
TOO_GOOD = 0.95
# The area of a handful is chance.
LEAST_OF_A_CLASS = 10


@dataclass(frozen=True, slots=True)
class Alone:
    """How well a feature tells the outcome by itself.

    Parameters
    ----------
    feature : str
    auc : float
        Area under the receiver operating characteristic in the better direction, .5..1.
    by : str
        "value" of a number, "category" by the rate of the outcome among others of the level, or "missingness".
    """

    feature: str
    auc: float
    by: By

    @property
    def leaks(self) -> bool:
        """Whether that is too good to be true."""
        return self.auc > TOO_GOOD


def examine(values: Values, outcomes: Flags, kinds: Mapping[str, Kind], *, seed: int) -> list[Alone]:
    """Ask each feature alone, also its being unknown.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features.
    outcomes : ndarray of bool, shape (n,)
        Both must occur.
    kinds : mapping of str to Kind
        The features to examine.
    seed : int
        Of the folds by which the rates of categories are told.

    Returns
    -------
    list of Alone
        One per feature, in order.

    References
    ----------
    Kaufman, S., Rosset, S., Perlich, C. and Stitelman, O. (2012). Leakage in data mining: formulation, detection, and
    avoidance. ACM Transactions on Knowledge Discovery from Data 6(4), 15.

    Examples
    --------
    >>> happened = np.repeat([True, False], 50)
    >>> found = examine({"age": np.arange(100.0)}, happened, {"age": "number"}, seed=0)
    >>> found[0].auc, found[0].leaks
    (1.0, True)
    """
    return [_alone(name, kind, values[name], outcomes, seed) for name, kind in kinds.items()]


def told(found: Alone, *, insisted: bool) -> dict[str, Any]:
    """Put a leak into plain data.

    Parameters
    ----------
    found : Alone
    insisted : bool
        Whether it is kept all the same.

    Returns
    -------
    dict
        ``feature, auc, by, excluded, detail``.
    """
    done = "It was kept because you insist" if insisted else "It was left out"
    what = "whether it is known" if found.by == "missingness" else "it"
    detail = (
        f"{found.feature}: {what} alone tells the outcome with an AUC of {found.auc:.3f}, as only something written "
        f"down afterwards does. {done}."
    )
    return {
        "feature": found.feature,
        "auc": round(found.auc, 6),
        "by": found.by,
        "excluded": not insisted,
        "detail": detail,
    }


def _alone(name: str, kind: Kind, column: npt.NDArray[Any], outcomes: Flags, seed: int) -> Alone:
    if kind == "category":
        unknown = np.fromiter((each is None for each in column.tolist()), dtype=np.bool_, count=column.size)
        by_value = Alone(name, _area(_rates(column, outcomes, seed), outcomes), "category")
    else:
        unknown = ~np.isfinite(column)
        by_value = Alone(name, _either(column[~unknown].astype(np.float64), outcomes[~unknown]), "value")
    by_missing = Alone(name, _either(unknown.astype(np.float64), outcomes), "missingness")
    return by_missing if by_missing.auc > by_value.auc else by_value


def _either(scores: Floats, outcomes: Flags) -> float:
    area = _area(scores, outcomes)
    return max(area, 1.0 - area)


def _area(scores: Floats, outcomes: Flags) -> float:
    positives = int(outcomes.sum())
    if min(positives, outcomes.size - positives) < LEAST_OF_A_CLASS:
        return 0.5
    found = roc_auc(scores, outcomes)
    return 0.5 if isinstance(found, Undetermined) else found.value


def _rates(column: npt.NDArray[Any], outcomes: Flags, seed: int) -> Floats:
    """The rate of the outcome among others of the same level: a level of one customer alone tells nothing."""
    named = np.array([MISSING if each is None else str(each) for each in column.tolist()])
    _, codes = np.unique(named, return_inverse=True)
    found = np.empty(outcomes.size)
    for learned, kept in folds_of(outcomes, seed):
        size = int(codes.max()) + 1
        happened = np.bincount(codes[learned], weights=outcomes[learned], minlength=size)
        counts = np.bincount(codes[learned], minlength=size)
        overall = float(outcomes[learned].mean())
        # One customer of the overall rate is added: what nobody else has is the overall rate.
        found[kept] = ((happened + overall) / (counts + 1.0))[codes[kept]]
    return found
