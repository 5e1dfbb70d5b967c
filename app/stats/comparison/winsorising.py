"""Keeping one whale from deciding an experiment: the largest values are cut back to a common limit."""

import numpy as np
from numpy.typing import ArrayLike

from app.stats.estimate import StatsError, Undetermined
from app.stats.scored import Floats


def upper_limit(values: ArrayLike, *, share: float = 0.999, ignore_zeros: bool = True) -> float | Undetermined:
    """Give the value that a share of those who did anything stay below.

    The limit is found once, over all arms together, and then held: a limit of each arm would cut off what differs
    between them. Most customers of an experiment buy nothing; among all values their zeros would push the quantile down
    to where ordinary buyers are, so that by default it is that of the others.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        The figure of each customer, all arms together. Finite.
    share : float, default 0.999
        The part of values left as they are, in (0, 1).
    ignore_zeros : bool, default True
        Whether the quantile is that of the values other than 0.

    Returns
    -------
    float or Undetermined
        In the unit of the values, between order statistics by linear interpolation. ``Undetermined("zero_denominator",
        n)`` where there is no value to take it from.

    Raises
    ------
    StatsError
        If the values are not one-dimensional and finite or `share` is outside (0, 1).

    References
    ----------
    Tukey, J. W. (1962). The future of data analysis. Annals of Mathematical Statistics 33, 1-67 (Winsorizing).
    Hyndman, R. J. and Fan, Y. (1996). Sample quantiles in statistical packages. The American Statistician 50, 361-365,
    definition 7.

    Examples
    --------
    >>> upper_limit([0, 0, 0, 0, 10, 20, 30], share=0.5)
    20.0
    >>> upper_limit([0, 0])
    Undetermined(reason='zero_denominator', n=2)
    """
    array = _finite(values)
    if not 0.0 < share < 1.0:
        raise StatsError(f"share is a part of all, strictly between 0 and 1, not {share}")
    kept = array[array != 0.0] if ignore_zeros else array
    return float(np.quantile(kept, share)) if kept.size else Undetermined("zero_denominator", int(array.size))


def winsorised(values: ArrayLike, limit: float) -> Floats:
    """Cut values back to a limit.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        The figure of each customer. Finite.
    limit : float
        As `upper_limit` gives it.

    Returns
    -------
    ndarray of float64, shape (n,)
        The smaller of value and limit. What is below stays, refunds above purchases too.

    Raises
    ------
    StatsError
        If the values are not one-dimensional and finite or the limit is NaN.

    Examples
    --------
    >>> winsorised([-5, 10, 900], 100)
    array([ -5.,  10., 100.])
    """
    if np.isnan(limit):
        raise StatsError("a limit is a number")
    return np.minimum(_finite(values), limit)


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise StatsError("values are a list of finite numbers")
    return array
