"""Parts of the customers that take turns at being judged, each with the share of outcomes that all have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from app.ml.columns import Integers

FOLDS = 5
# scikit-learn is not typed.
splitter_of: Callable[..., Any] = StratifiedKFold


def folds_of(outcomes: npt.NDArray[np.bool_], seed: int) -> list[tuple[Integers, Integers]]:
    """Split customers into five parts, drawn within each class.

    Parameters
    ----------
    outcomes : ndarray of bool, shape (n,)
        At least five of each class.
    seed : int
        Of the draw.

    Returns
    -------
    list of (ndarray of int64, ndarray of int64)
        Positions to learn from and positions to judge; every customer is judged once.

    Examples
    --------
    >>> [kept.size for _, kept in folds_of(np.repeat([True, False], [10, 40]), 0)]
    [10, 10, 10, 10, 10]
    """
    splitter = splitter_of(n_splits=FOLDS, shuffle=True, random_state=seed % 2**32)
    return [(learned, kept) for learned, kept in splitter.split(np.zeros(outcomes.size), outcomes)]
