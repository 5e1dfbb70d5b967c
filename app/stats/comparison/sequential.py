"""Intervals that stay right however often they are looked at: the default for anything that is watched."""

import math

from app.stats.comparison.difference import Difference
from app.stats.estimate import Estimate, StatsError, check_level

TUNING = 5000
"""The number of customers, of both arms together, at which the interval is about as narrow as it can be."""


def always_valid(difference: Difference, *, level: float = 0.95, tuning: float = TUNING) -> Estimate:
    r"""Give an interval of a confidence sequence: all of them together hold the truth at the stated level.

    Robbins' normal mixture in its asymptotic form: with n customers, standard error se and
    :math:`\rho^2 = (-2 \ln \alpha + \ln(1 - 2 \ln \alpha)) / n^*`, the half width is
    :math:`se \sqrt{2 \frac{n \rho^2 + 1}{n \rho^2} \ln \frac{\sqrt{n \rho^2 + 1}}{\alpha}}`. One may stop whenever one
    likes; the price is a wider interval, about one and a half times the ordinary one at `tuning` customers. Asymptotic: valid from
    the sample sizes on at which means are nearly normal, not from the first customer.

    Parameters
    ----------
    difference : Difference
        Effect or lift as of now.
    level : float, default 0.95
        Confidence level of the whole sequence, in (0, 1).
    tuning : float, default 5000
        n*, the number of customers to be most exact at. Set before the first look. Above 0.

    Returns
    -------
    Estimate
        ``method="confidence_sequence"``; without an interval (``zero_variance``) where the standard error is 0.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1) or `tuning` is not positive.

    References
    ----------
    Waudby-Smith, I., Arbour, D., Sinha, R., Kennedy, E. H. and Ramdas, A. (2021). Time-uniform central limit theory and
    asymptotic confidence sequences. arXiv:2103.06476 (the asymptotic sequence; its appendix on tuning).
    Howard, S. R., Ramdas, A., McAuliffe, J. and Sekhon, J. (2021). Time-uniform, nonparametric, nonasymptotic confidence
    sequences. Annals of Statistics 49(2), 1055-1080.
    Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals of Mathematical
    Statistics 41, 1397-1409.

    Examples
    --------
    >>> spend = Difference(0.76982716, 0.14524656, 36686.0, 42613, "welch")
    >>> found = always_valid(spend)
    >>> round(found.low, 4), round(found.high, 4)
    (0.3021, 1.2376)
    """
    information = _information(difference, level=level, tuning=tuning)
    if difference.standard_error == 0.0:
        return Estimate(difference.value, None, None, level, "confidence_sequence", difference.n, "zero_variance")
    logarithm = math.log1p(information) / 2 - math.log(1 - level)
    half = difference.standard_error * math.sqrt(2 * (information + 1) / information * logarithm)
    low, high = difference.value - half, difference.value + half
    return Estimate(difference.value, low, high, level, "confidence_sequence", difference.n)


def always_valid_p(difference: Difference, *, level: float = 0.95, tuning: float = TUNING) -> float | None:
    r"""Give a p-value that is right whenever the experiment is stopped.

    The reciprocal of the mixture's likelihood ratio, at most 1:
    :math:`\sqrt{n \rho^2 + 1} \exp\left(-\frac{z^2}{2} \frac{n \rho^2}{n \rho^2 + 1}\right)`. It is below 1 - `level`
    exactly where the interval of that level leaves out 0.

    Parameters
    ----------
    difference : Difference
        Effect or lift as of now.
    level : float, default 0.95
        The level that the sequence is tuned for, in (0, 1).
    tuning : float, default 5000
        As in `always_valid`.

    Returns
    -------
    float or None
        In 0..1; None where the standard error is 0.

    Raises
    ------
    StatsError
        As `always_valid`.

    References
    ----------
    Johari, R., Koomen, P., Pekelis, L. and Walsh, D. (2022). Always valid inference: continuous monitoring of A/B tests.
    Operations Research 70(3), 1806-1821 (mixture p-values).

    Examples
    --------
    >>> round(always_valid_p(Difference(0.42441222, 0.13033286, 40001.0, 42693, "welch")), 4)
    0.0446
    """
    information = _information(difference, level=level, tuning=tuning)
    if difference.standard_error == 0.0:
        return None
    z = difference.value / difference.standard_error
    return math.exp(min(0.0, math.log1p(information) / 2 - z * z / 2 * information / (information + 1)))


def _information(difference: Difference, *, level: float, tuning: float) -> float:
    check_level(level)
    if not 0.0 < tuning < math.inf:
        raise StatsError(f"tuning is a number of customers above 0, not {tuning}")
    twice = -2 * math.log(1 - level)
    return max(difference.n, 1) * (twice + math.log1p(twice)) / tuning
