"""How far two shares lie apart: conversions of two arms, treatment of two groups of people."""

import math
from collections.abc import Callable

from scipy.special import ndtr, ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_level

PRECISION = 1e-12
"""Of the logarithm of a ratio, at which its interval's ends are found."""

Share = tuple[float, float]
"""How many of how many; fractions where outcomes were shared out."""


def difference_limits(one: Estimate, other: Estimate) -> tuple[float, float]:
    r"""Give Newcombe's interval of the difference of two independent shares from Wilson's interval of each.

    :math:`d - \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}` to :math:`d + \sqrt{(u_1 - p_1)^2 + (p_2 - l_2)^2}`: it has a width
    where a share is 0 or 1, and stays within -1..1.

    Parameters
    ----------
    one, other : Estimate
        Two shares with their Wilson intervals of one level.

    Returns
    -------
    tuple of float
        Lower and upper end of one - other.

    Raises
    ------
    StatsError
        If one has no interval, or their levels differ.

    References
    ----------
    Newcombe, R. G. (1998). Interval estimation for the difference between independent proportions: comparison of
    eleven methods. Statistics in Medicine 17, 873-890, method 10.

    Examples
    --------
    >>> from app.stats.proportion import proportion_interval
    >>> low, high = difference_limits(proportion_interval(56, 70), proportion_interval(48, 80))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    if one.level != other.level:
        raise StatsError(f"an interval of {one.level} and one of {other.level} do not make one of either")
    if one.low is None or one.high is None or other.low is None or other.high is None:
        raise StatsError("the difference of two shares needs the interval of each")
    effect = one.value - other.value
    low = effect - math.hypot(one.value - one.low, other.high - other.value)
    high = effect + math.hypot(one.high - one.value, other.value - other.low)
    return max(low, -1.0), min(high, 1.0)


def ratio_limits(one: Share, other: Share, *, level: float = 0.95) -> tuple[float, float]:
    r"""Give the score interval of the ratio of two independent shares.

    All ratios :math:`\rho` that Pearson's chi-square, with both shares estimated under :math:`p_1 = \rho p_2`, does
    not refute. It needs no logarithm of a count, so that no one in a group is an ordinary case.

    Parameters
    ----------
    one, other : tuple of float
        How many of how many: 0 <= count <= n, n > 0.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end of :math:`p_1 / p_2`; 0 and infinity where a count is 0.

    Raises
    ------
    StatsError
        If a pair is no share or `level` is outside (0, 1).

    References
    ----------
    Koopman, P. A. R. (1984). Confidence intervals for the ratio of two binomial proportions. Biometrics 40(2),
    513-517.

    Examples
    --------
    >>> low, high = ratio_limits((36, 40), (16, 80))
    >>> round(low, 2), round(high, 2)
    (2.94, 7.15)
    """
    check_level(level)
    for count, n in (one, other):
        if not 0.0 <= count <= n or n <= 0:
            raise StatsError(f"{count} of {n} is no share")
    limit = float(ndtri((1 + level) / 2)) ** 2

    def beyond(log_ratio: float) -> float:
        return _chi_square(one, other, math.exp(log_ratio)) - limit

    if one[0] == 0 and other[0] == 0:
        return 0.0, math.inf
    # A trace stands in for none, only to find a ratio to start from that no level refutes.
    start = math.log(max(one[0], 1e-6) / one[1]) - math.log(max(other[0], 1e-6) / other[1])
    low = 0.0 if one[0] == 0 else math.exp(_root(beyond, start, -1.0))
    high = math.inf if other[0] == 0 else math.exp(_root(beyond, start, 1.0))
    return low, high


def difference(one: Estimate | Undetermined, other: Estimate | Undetermined) -> Estimate | Undetermined:
    """Give one share less another with Newcombe's interval.

    Parameters
    ----------
    one, other : Estimate or Undetermined
        Two shares with their Wilson intervals of one level.

    Returns
    -------
    Estimate or Undetermined
        -1..1; ``method="newcombe"``; n is that of both together. Undetermined for the reason of the share that is.

    Raises
    ------
    StatsError
        If a share has no interval, or their levels differ.

    References
    ----------
    As `difference_limits`.

    Examples
    --------
    >>> from app.stats.proportion import proportion_interval
    >>> round(difference(proportion_interval(56, 70), proportion_interval(48, 80)).value, 4)
    0.2
    >>> difference(proportion_interval(56, 70), proportion_interval(0, 0))
    Undetermined(reason='zero_denominator', n=70)
    """
    n = one.n + other.n
    for share in (one, other):
        if isinstance(share, Undetermined):
            return Undetermined(share.reason, n)
    assert isinstance(one, Estimate)
    assert isinstance(other, Estimate)
    low, high = difference_limits(one, other)
    return Estimate(one.value - other.value, low, high, one.level, "newcombe", n)


def lift(one: Share, other: Share, *, level: float = 0.95) -> Estimate | Undetermined:
    """Give one share as more or less of another: .05 is 5 % more.

    Parameters
    ----------
    one, other : tuple of float
        How many of how many: 0 <= count <= n.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        At least -1; ``method="koopman"``; n is that of both together. ``Undetermined("no_exposures", n)`` where an arm is
        empty, ``("zero_denominator", n)`` where the other share is 0.

    Raises
    ------
    StatsError
        If a pair is no share or `level` is outside (0, 1).

    References
    ----------
    As `ratio_limits`.

    Examples
    --------
    >>> found = lift((36, 40), (16, 80))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (3.5, 1.94, 6.15)
    """
    check_level(level)
    n = int(one[1] + other[1])
    if min(one[1], other[1]) == 0:
        return Undetermined("no_exposures", n)
    if other[0] == 0:
        return Undetermined("zero_denominator", n)
    low, high = ratio_limits(one, other, level=level)
    value = one[0] / one[1] / (other[0] / other[1])
    return Estimate(value - 1, low - 1, high - 1, level, "koopman", n)


def pooled_p_value(one: Share, other: Share) -> float | None:
    r"""Test that two shares are equal.

    Two-sided, of :math:`z = (p_1 - p_2) / \sqrt{p (1 - p) (1 / n_1 + 1 / n_2)}` with p of both together: the square root
    of Pearson's chi-square without continuity correction.

    Parameters
    ----------
    one, other : tuple of float
        How many of how many: 0 <= count <= n.

    Returns
    -------
    float or None
        0..1; None where there is nothing to test: an empty arm, or nobody or everybody in both.

    Raises
    ------
    StatsError
        If a pair is no share.

    References
    ----------
    Fleiss, J. L., Levin, B. and Paik, M. C. (2003). Statistical Methods for Rates and Proportions, 3rd ed., section 3.3.

    Examples
    --------
    >>> round(pooled_p_value((8279, 45489), (8502, 44700)), 8)
    0.00155425
    """
    for count, n in (one, other):
        if not 0.0 <= count <= n:
            raise StatsError(f"{count} of {n} is no share")
    both = one[0] + other[0], one[1] + other[1]
    if min(one[1], other[1]) == 0 or both[0] in (0, both[1]):
        return None
    share = both[0] / both[1]
    error = math.sqrt(share * (1 - share) * (1 / one[1] + 1 / other[1]))
    return 2.0 * float(ndtr(-abs(one[0] / one[1] - other[0] / other[1]) / error))


def _chi_square(one: Share, other: Share, ratio: float) -> float:
    (x1, n1), (x2, n2) = one, other
    middle = ratio * (n1 + x2) + x1 + n2
    # The smaller root, in the form that does not subtract two near numbers.
    root = math.sqrt(max(middle * middle - 4 * ratio * (n1 + n2) * (x1 + x2), 0.0))
    p2 = 2 * (x1 + x2) / (middle + root)
    return _squared_residual(x1, n1, ratio * p2) + _squared_residual(x2, n2, p2)


def _squared_residual(x: float, n: float, p: float) -> float:
    variance = n * p * (1 - p)
    residual = x - n * p
    if variance <= 0.0:
        return 0.0 if abs(residual) <= 1e-9 * n else math.inf
    return residual * residual / variance


def _root(beyond: Callable[[float], float], start: float, direction: float) -> float:
    inside, step = start, direction
    while beyond(inside + step) <= 0.0:
        inside, step = inside + step, 2 * step
    outside = inside + step
    while abs(outside - inside) > PRECISION:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if beyond(middle) <= 0.0 else (inside, middle)
    return inside
