"""What goes into a model: features of customers as columns, each of a kind that says how it may be treated."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from app.errors import FieldError, InvalidInput

Kind = Literal["money", "count", "days", "share", "number", "category"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Kinds whose distances are ratios rather than differences as soon as they are skewed.
RATIO_KINDS = ("money", "count", "days")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# float64 with NaN where undefined, or for a category an object array of str | None; all in one order of customers.
Values = Mapping[str, npt.NDArray[Any]]


def customers_in(values: Values, names: Sequence[str]) -> int:
    """Count the customers of columns that must all be there and equally long.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        One array per feature.
    names : sequence of str
        The features that are needed; others may be there and are ignored.

    Returns
    -------
    int
        n, at least 0; 0 where no feature is needed.

    Raises
    ------
    InvalidInput
        If a feature is missing, not one-dimensional, or shorter or longer than the others.

    Examples
    --------
    >>> customers_in({"total_spend": np.array([10.0, 20.0])}, ["total_spend"])
    2
    """
    absent = [name for name in names if name not in values]
    if absent:
        raise InvalidInput(
            f"the model reads features that are not given: {', '.join(absent)}",
            errors=[FieldError(name, "missing_feature", "the model reads this feature") for name in absent],
        )
    shapes = {values[name].shape for name in names} or {(0,)}
    shape = shapes.pop()
    if shapes or len(shape) != 1:
        raise InvalidInput(f"features are columns of one length, not of the shapes {sorted({shape, *shapes})}")
    return int(shape[0])


def taken(values: Values, names: Sequence[str], positions: Integers) -> Values:
    """Give the features of the customers at some positions.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        One array per feature.
    names : sequence of str
        The features to take.
    positions : ndarray of int64, shape (m,)
        Positions in 0..n-1.

    Returns
    -------
    mapping of str to ndarray, shape (m,)
        The named features in the order of `positions`.

    Examples
    --------
    >>> taken({"total_spend": np.array([10.0, 20.0, 30.0])}, ["total_spend"], np.array([2, 0]))["total_spend"].tolist()
    [30.0, 10.0]
    """
    return {name: values[name][positions] for name in names}
