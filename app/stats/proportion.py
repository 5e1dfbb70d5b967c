"""A share with its interval, for every figure that counts how many of so many: responses, conversions, opens."""

import math

from scipy.special import ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_count, check_level


def proportion_interval(successes: float, n: int, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Say which share of a sample it is, and in which range that of its population may lie.

    Wilson's score interval, without continuity correction: all shares :math:`\pi` with
    :math:`|p - \pi| \le z \sqrt{\pi (1 - \pi) / n}`, that is
    :math:`(2np + z^2 \pm z \sqrt{z^2 + 4np(1 - p)}) / (2(n + z^2))`. It stays within 0..1 and has a width at
    p = 0 and p = 1 too, where the normal interval has none.

    Parameters
    ----------
    successes : float
        How many of the n, in 0..n. A fraction where a mean of shares is treated as one share.
    n : int
        Number of observations, at least 0.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        The share, 0..1, ``method="wilson"``. ``Undetermined("zero_denominator", 0)`` when there is no observation.

    Raises
    ------
    StatsError
        If `n` is negative, `successes` is not in 0..n or `level` is outside (0, 1).

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of the American
    Statistical Association 22(158), 209-212.
    Newcombe, R. G. (1998). Two-sided confidence intervals for the single proportion: comparison of seven methods.
    Statistics in Medicine 17, 857-872, method 3.

    Examples
    --------
    >>> rate = proportion_interval(15, 148)
    >>> round(rate.value, 4), round(rate.low, 4), round(rate.high, 4)
    (0.1014, 0.0624, 0.1605)
    >>> proportion_interval(0, 0)
    Undetermined(reason='zero_denominator', n=0)
    """
    check_count(n)
    check_level(level)
    if not 0.0 <= successes <= n:
        raise StatsError(f"{successes} of {n} is no share")
    if n == 0:
        return Undetermined("zero_denominator", n=0)
    share = successes / n
    z = float(ndtri((1 + level) / 2))
    middle, half = 2 * successes + z * z, z * math.sqrt(z * z + 4 * successes * (1 - share))
    low, high = (middle - half) / (2 * (n + z * z)), (middle + half) / (2 * (n + z * z))
    # At 0 and n the end is the share itself; rounding would put it a hair beside.
    return Estimate(share, min(max(low, 0.0), share), max(min(high, 1.0), share), level, "wilson", n)
