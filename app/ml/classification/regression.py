"""Fits a logistic regression to prepared features; scoring folds it into one dot product."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from app.ml.columns import Kind, Values
from app.ml.preparation import learn
from app.ml.threads import repeatable
from app.ml.transform import Transform

# Columns of variance 1, so that the penalty treats all alike; unknown numbers are the median, and known to be unknown.
PREPARED: Mapping[str, Any] = {"winsorise": True, "log": "auto", "scale": "standard", "missing_indicator": True}
# scikit-learn is not typed.
regression_of: Callable[..., Any] = LogisticRegression


def learn_logistic(
    values: Values, outcomes: npt.NDArray[np.bool_], kinds: Mapping[str, Kind], _seed: int
) -> dict[str, Any]:
    """Fit by penalised maximum likelihood, L2 with variance 1.

    Nobody is drawn twice, left out or weighted for the sake of rare outcomes: the probabilities stay what they are.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features.
    outcomes : ndarray of bool, shape (n,)
        Both must occur.
    kinds : mapping of str to Kind
        The features to use, in order.

    Returns
    -------
    dict
        ``preparation``, ``weights`` of the scaled columns, ``bias``, ``middle`` (mean of the unscaled columns) and
        ``warnings``.

    Raises
    ------
    TooFewCustomers
        If no feature tells these customers apart.

    References
    ----------
    Hastie, T., Tibshirani, R. and Friedman, J. (2009). The Elements of Statistical Learning, 4.4.4.
    """
    chosen = {name: values[name] for name in kinds}
    learned = learn(chosen, kinds, PREPARED)
    transform = Transform.of(learned.stored)
    points = transform.points(chosen)
    with repeatable():
        model = regression_of(C=1.0, solver="newton-cholesky", max_iter=200).fit(points, outcomes)
    return {
        "preparation": learned.stored,
        "weights": np.asarray(model.coef_[0], dtype=np.float64),
        "bias": float(model.intercept_[0]),
        "middle": points.mean(axis=0) * transform.scale[:, 0] + transform.centre[:, 0],
        "warnings": learned.warnings,
    }
