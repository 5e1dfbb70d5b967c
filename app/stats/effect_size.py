"""How large a difference is, in units that can be compared across features: not whether it is significant."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError, Undetermined


def eta_squared(values: ArrayLike, groups: ArrayLike) -> float | Undetermined:
    """Give the share of a feature's variance that lies between groups.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        One feature. Finite.
    groups : array_like of int, shape (n,)
        The group of each value.

    Returns
    -------
    float or Undetermined
        In 0..1. About .01 is small, .06 medium, .14 large (Cohen 1988, 8.2). ``Undetermined("too_few", n)`` where
        there are fewer than two groups or no value more than groups; ``Undetermined("zero_variance", n)`` where all
        values are equal.

    Raises
    ------
    StatsError
        If values and groups differ in length, or values are not one-dimensional or not finite.

    References
    ----------
    Fisher, R. A. (1925). Statistical Methods for Research Workers, section 45. Cohen, J. (1988), 8.2.19.

    Examples
    --------
    >>> eta_squared([1.0, 3.0, 5.0, 7.0], [0, 0, 1, 1])
    0.8
    """
    sample = _sample("values", values)
    labels, codes = np.unique(np.asarray(groups), return_inverse=True)
    if codes.shape != sample.shape:
        raise StatsError(f"{sample.size} values and {codes.size} groups are not of the same things")
    if labels.size < 2 or sample.size <= labels.size:
        return Undetermined("too_few", sample.size)
    deviations = sample - sample.mean()
    total = float((deviations**2).sum())
    if total == 0.0 or sample.min() == sample.max():
        return Undetermined("zero_variance", sample.size)
    between = float((np.bincount(codes, weights=deviations) ** 2 / np.bincount(codes)).sum())
    return min(between / total, 1.0)


def _sample(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise StatsError(f"{name} has one value each, not the shape {array.shape}")
    if not np.isfinite(array).all():
        raise StatsError(f"{name} has values that are not finite numbers")
    return array
