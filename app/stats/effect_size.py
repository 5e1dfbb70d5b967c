"""How large a difference is, in units that can be compared across features: not whether it is significant."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError, Undetermined


def hedges_g(group: ArrayLike, rest: ArrayLike) -> float | Undetermined:
    r"""Give the difference of two means in pooled standard deviations, corrected for small samples.

    :math:`g = J(\nu) (\bar x_1 - \bar x_2) / s`, :math:`\nu = n_1 + n_2 - 2`,
    :math:`J(\nu) = \Gamma(\nu / 2) / (\sqrt{\nu / 2}\, \Gamma((\nu - 1) / 2))`, exact. Without J it is Cohen's d.

    Parameters
    ----------
    group, rest : array_like of float, shapes (n1,), (n2,)
        Two samples of one feature, in one unit. Finite.

    Returns
    -------
    float or Undetermined
        Positive where `group` is higher. About 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988).
        ``Undetermined("too_few", n)`` where a sample is empty or both together have fewer than four values;
        ``Undetermined("zero_variance", n)`` where neither sample varies.

    Raises
    ------
    StatsError
        If a sample is not one-dimensional or not finite.

    References
    ----------
    Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and related estimators. Journal of
    Educational Statistics 6(2), 107-128, equations 6e and 7.
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed., 2.2.

    Examples
    --------
    >>> round(hedges_g([3.0, 5.0, 7.0], [1.0, 3.0, 5.0]), 4)
    0.7979
    """
    x, y = _sample("group", group), _sample("rest", rest)
    n = x.size + y.size
    if not x.size or not y.size or n < 4:
        return Undetermined("too_few", n)
    squares = float(((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum())
    if squares == 0.0:
        return Undetermined("zero_variance", n)
    freedom = n - 2
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return correction * float(x.mean() - y.mean()) / math.sqrt(squares / freedom)


def probability_of_superiority(group: ArrayLike, rest: ArrayLike) -> float | Undetermined:
    """Give the probability that a random member of one group is higher than one of the other, ties counting half.

    Fit for skewed features: only the order of values matters. Cliff's delta is twice this less 1.

    Parameters
    ----------
    group, rest : array_like of float, shapes (n1,), (n2,)
        Two samples of one feature, in one unit. Finite.

    Returns
    -------
    float or Undetermined
        In 0..1; 0.5 where neither tends to be higher. ``Undetermined("too_few", n)`` where a sample is empty.

    Raises
    ------
    StatsError
        If a sample is not one-dimensional or not finite.

    References
    ----------
    McGraw, K. O. and Wong, S. P. (1992). A common language effect size statistic. Psychological Bulletin 111(2),
    361-365. Vargha, A. and Delaney, H. D. (2000). Journal of Educational and Behavioral Statistics 25(2), 101-132,
    equation 1 (ties).

    Examples
    --------
    >>> probability_of_superiority([3, 4], [1, 3])
    0.875
    """
    x, y = _sample("group", group), np.sort(_sample("rest", rest))
    if not x.size or not y.size:
        return Undetermined("too_few", x.size + y.size)
    below = int(np.searchsorted(y, x, side="left").sum())
    not_above = int(np.searchsorted(y, x, side="right").sum())
    return (below + not_above) / (2 * x.size * y.size)


def cliffs_delta(group: ArrayLike, rest: ArrayLike) -> float | Undetermined:
    """Give the probability that a member of one group is higher than one of the other, less that it is lower.

    Parameters
    ----------
    group, rest : array_like of float, shapes (n1,), (n2,)
        Two samples of one feature, in one unit. Finite.

    Returns
    -------
    float or Undetermined
        In -1..1, 0 where neither tends to be higher. Undetermined as `probability_of_superiority`.

    Raises
    ------
    StatsError
        If a sample is not one-dimensional or not finite.

    References
    ----------
    Cliff, N. (1993). Dominance statistics: ordinal analyses to answer ordinal questions. Psychological Bulletin
    114(3), 494-509, equation 3.

    Examples
    --------
    >>> cliffs_delta([3, 4], [1, 3])
    0.75
    """
    superiority = probability_of_superiority(group, rest)
    return superiority if isinstance(superiority, Undetermined) else 2.0 * superiority - 1.0


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
