"""The mean with its interval, for every figure that is an average: order value, revenue per customer, cost."""

import math
from fractions import Fraction
from operator import index

from scipy.special import stdtrit

from app.stats.estimate import Estimate, Reason, StatsError, Undetermined, check_count, check_level


def mean_interval(
    n: int, total: int | Fraction, sum_of_squares: int | Fraction, *, level: float = 0.95
) -> Estimate | Undetermined:
    r"""Say what the mean of a sample is and how far the mean of its population may lie from it.

    The two-sided Student t interval :math:`\bar{x} \pm t_{(1 + level) / 2,\, n - 1}\, s / \sqrt{n}` with
    :math:`s^2 = (\sum x^2 - (\sum x)^2 / n) / (n - 1)`. The subtraction, which loses every digit in floating point
    when the mean is large against the spread, is done in exact integers; one rounding follows. The interval is exact
    for independent normal observations and approximate, by the central limit theorem, for others.

    Parameters
    ----------
    n : int
        Number of observations, at least 0.
    total : int or Fraction
        Sum of the observations, in their unit (money: minor units).
    sum_of_squares : int or Fraction
        Sum of the squared observations, in their unit squared.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        The mean in the unit of the observations, ``method="student_t"``. Without an interval where one observation
        (``reason="too_few"``) or only equal ones (``reason="zero_variance"``) say nothing about the spread.
        ``Undetermined("zero_denominator", 0)`` when there is no observation.

    Raises
    ------
    StatsError
        If `n` is negative, `level` is outside (0, 1), a sum is a float (its rounding is the error to be avoided), or
        no `n` real numbers have these sums.

    References
    ----------
    Student (1908). The probable error of a mean. Biometrika 6(1), 1-25.
    Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for computing the sample variance: analysis and
    recommendations. The American Statistician 37(3), 242-247, equation 1.3 (exact here, so its warning does not bite).

    Examples
    --------
    Three orders of 10.00, 12.00 and 14.00 in minor units; t(0.975, 2) = 4.303 and s / sqrt(3) = 115.47:

    >>> aov = mean_interval(3, 1000 + 1200 + 1400, 1000**2 + 1200**2 + 1400**2)
    >>> aov.value, round(aov.low, 2), round(aov.high, 2)
    (1200.0, 703.17, 1696.83)
    >>> mean_interval(1, 1000, 1000**2).reason
    'too_few'
    >>> mean_interval(0, 0, 0)
    Undetermined(reason='zero_denominator', n=0)
    """
    check_count(n)
    check_level(level)
    spread = _spread(n, total, sum_of_squares)
    if n == 0:
        return Undetermined("zero_denominator", n=0)
    value = float(_exact(total) / n)
    if spread == 0:
        reason: Reason = "too_few" if n == 1 else "zero_variance"
        return Estimate(value, None, None, level, "student_t", n, reason)
    half_width = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(spread / (n * n * (n - 1)))
    return Estimate(value, value - half_width, value + half_width, level, "student_t", n)


def _spread(n: int, total: int | Fraction, sum_of_squares: int | Fraction) -> Fraction:
    """n times the sum of squared deviations from the mean, exactly; refuses what no n real numbers add up to."""
    exact_total, exact_squares = _exact(total), _exact(sum_of_squares)
    spread = n * exact_squares - exact_total**2
    if spread < 0 or (n == 0 and exact_squares != 0):
        raise StatsError(f"no {n} numbers have the sum {total} and the sum of squares {sum_of_squares}")
    if n == 1 and spread != 0:
        raise StatsError(f"the square of {total} is not {sum_of_squares}")
    return spread


def _exact(number: int | Fraction) -> Fraction:
    if isinstance(number, Fraction):
        return number
    try:
        # index() also takes NumPy integers, whose own products would overflow without a word.
        return Fraction(index(number))
    except TypeError:
        raise StatsError(f"exact sums are integers or fractions, not {type(number).__name__}") from None
