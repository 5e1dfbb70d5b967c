"""An experiment in which nothing was done: what it finds, it finds by chance, and should as rarely as stated."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_level
from app.stats.proportion import proportion_interval
from app.stats.scored import Floats


def false_positive_rate(
    values: ArrayLike, *, share: float = 0.5, splits: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate | Undetermined:
    """Split customers at random again and again and count how often Welch's test finds a difference.

    Where the interval of the answer lies above 1 - `level`, the figure is too skewed for this number of customers (one
    whale decides which arm wins): winsorise it or wait.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        The figure of each customer, of one arm or before an experiment. Finite.
    share : float, default 0.5
        The part of customers in the first arm, in (0, 1).
    splits : int, default 1000
        How many times, at least 1. Time grows with n times `splits`.
    level : float, default 0.95
        Level of the two-sided tests and of the answer's interval, in (0, 1).
    seed : int, default 0
        Of the splits.

    Returns
    -------
    Estimate or Undetermined
        The share of splits with a significant difference, with Wilson's interval. ``Undetermined("too_few", n)`` where an
        arm would have fewer than two customers, ``("zero_variance", n)`` where all values are one.

    Raises
    ------
    StatsError
        If the values are not one-dimensional and finite, there is no split, or `share` or `level` is outside (0, 1).

    References
    ----------
    Kohavi, R., Tang, D. and Xu, Y. (2020). Trustworthy Online Controlled Experiments, chapter 19: the A/A test.

    Examples
    --------
    >>> found = false_positive_rate(np.random.default_rng(1).normal(size=500), splits=400)
    >>> found.low < 0.05 < found.high
    True
    """
    check_level(level)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or splits < 1 or not 0.0 < share < 1.0:
        raise StatsError("an A/A test splits a list of finite numbers at least once into two shares")
    first = round(share * array.size)
    if min(first, array.size - first) < 2:
        return Undetermined("too_few", int(array.size))
    if array.min() == array.max():
        return Undetermined("zero_variance", int(array.size))
    generator = np.random.default_rng(seed)
    # Around the mean, sums of squares keep their digits.
    centred = array - array.mean()
    z = float(ndtri((1 + level) / 2))
    found = sum(_significant(generator.permutation(centred), first, z=z) for _ in range(splits))
    return proportion_interval(found, splits, level=level)


def _significant(shuffled: Floats, first: int, *, z: float) -> bool:
    one, other = shuffled[:first], shuffled[first:]
    error = math.sqrt(one.var(ddof=1) / one.size + other.var(ddof=1) / other.size)
    return bool(abs(one.mean() - other.mean()) > z * error)
