"""One share less another of the same answers, as in the net promoter score."""

import math

from scipy.special import ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_count, check_level


def net_share_interval(positive: int, negative: int, n: int, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Give the share of one answer less the share of another, and in which range that of everybody may lie.

    The adjusted Wald interval: with :math:`\tilde p_1 = (x_1 + 1) / (n + 2)` and :math:`\tilde p_2 = (x_2 + 1) / (n + 2)`,
    :math:`\tilde p_1 - \tilde p_2 \pm z \sqrt{(\tilde p_1 + \tilde p_2 - (\tilde p_1 - \tilde p_2)^2) / (n + 2)}`, cut at
    -1 and 1. Both shares are of one sample, so they depend on each other; and unlike the interval of a mean of -1, 0 and
    1 it has a width where all gave the same answer.

    Parameters
    ----------
    positive, negative : int
        How many gave the one and the other answer, together at most `n`.
    n : int
        Answers altogether, at least 0.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        -1..1, ``method="bonett_price"``. ``Undetermined("zero_denominator", 0)`` when there is no answer.

    Raises
    ------
    StatsError
        If a count is negative, both together exceed `n`, or `level` is outside (0, 1).

    References
    ----------
    Bonett, D. G. and Price, R. M. (2012). Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data. Journal of Educational and Behavioral Statistics 37(4), 479-488.

    Examples
    --------
    >>> score = net_share_interval(50, 20, 100)
    >>> score.value, round(score.low, 4), round(score.high, 4)
    (0.3, 0.1414, 0.4468)
    >>> net_share_interval(0, 0, 0)
    Undetermined(reason='zero_denominator', n=0)
    """
    for count in (positive, negative, n):
        check_count(count)
    check_level(level)
    if positive + negative > n:
        raise StatsError(f"{positive} and {negative} of {n} are no shares")
    if n == 0:
        return Undetermined("zero_denominator", n=0)
    up, down = (positive + 1) / (n + 2), (negative + 1) / (n + 2)
    half = float(ndtri((1 + level) / 2)) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    value, middle = (positive - negative) / n, up - down
    low, high = min(max(middle - half, -1.0), value), max(min(middle + half, 1.0), value)
    return Estimate(value, low, high, level, "bonett_price", n)
