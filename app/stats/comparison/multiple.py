"""Looking at many segments without being fooled by the luckiest: fewer false finds, and estimates drawn to the mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from app.stats.comparison.difference import Difference
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level
from app.stats.scored import Floats


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    r"""Adjust p-values so that calling those below q significant makes at most a share q of the calls wrong.

    :math:`\tilde p_{(i)} = \min_{j \ge i} \min(1, p_{(j)} m / j)`: the false discovery rate is kept on average, for
    independent and positively dependent tests.

    Parameters
    ----------
    p_values : array_like of float, shape (m,)
        In 0..1.

    Returns
    -------
    ndarray of float64, shape (m,)
        In the order given, each at least as large as before.

    Raises
    ------
    StatsError
        If the p-values are not one-dimensional or one lies outside 0..1.

    References
    ----------
    Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. Journal of the Royal Statistical Society
    B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4)
    array([0.04  , 0.0533, 0.0533, 0.5   ])
    """
    array = np.asarray(p_values, dtype=np.float64)
    if array.ndim != 1 or not ((array >= 0) & (array <= 1)).all():
        raise StatsError("p-values are a list of numbers in 0..1")
    order = np.argsort(array)
    ranked = array[order] * array.size / np.arange(1, array.size + 1)
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return adjusted


LEAST = 4
"""Segments that it takes to say how far segments differ."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Differences of several segments, each informed by the others.

    Parameters
    ----------
    mean : Estimate
        The mean of the segments' true differences.
    spread : float
        Standard deviation of the true differences between segments; 0 where chance explains all that is seen.
    each : tuple of Estimate
        The segments in the order given, drawn to the mean the more, the less is known of them.
    """

    mean: Estimate
    spread: float
    each: tuple[Estimate, ...]


def shrunk(differences: Sequence[Difference], *, level: float = 0.95) -> Shrunk | Undetermined:
    r"""Draw the differences of segments towards their mean, as far as chance made them differ.

    Empirical Bayes for :math:`d_i \sim N(\theta_i, v_i)`, :math:`\theta_i \sim N(\mu, \tau^2)`: :math:`\tau^2` by moments,
    :math:`\mu` weighted by :math:`1 / (v_i + \tau^2)`, :math:`\theta_i = d_i - B_i (d_i - \mu)` with
    :math:`B_i = \frac{k - 3}{k - 1} \frac{v_i}{v_i + \tau^2}`. The variance is Morris', which knows that the mean and the
    spread are estimated from the k segments too. What the best of twenty segments shows is mostly luck; this is what it
    will show next time.

    Parameters
    ----------
    differences : sequence of Difference
        One of each segment, in one unit, of disjoint customers.
    level : float, default 0.95
        Of the intervals, in (0, 1).

    Returns
    -------
    Shrunk or Undetermined
        ``method="random_effects"`` and ``"empirical_bayes"``. ``Undetermined("too_few", n)`` for fewer than four
        segments, which do not tell their spread, ``("zero_variance", n)`` where one has a standard error of 0.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1).

    References
    ----------
    DerSimonian, R. and Laird, N. (1986). Meta-analysis in clinical trials. Controlled Clinical Trials 7, 177-188.
    Morris, C. N. (1983). Parametric empirical Bayes inference: theory and applications. Journal of the American
    Statistical Association 78, 47-55, section 5 (shrinkage and variance for unequal variances).

    Examples
    --------
    >>> segments = [Difference(value, 1.0, math.inf, 100, "welch") for value in (0.0, 2.0, 4.0, 6.0)]
    >>> found = shrunk(segments)
    >>> round(found.spread, 4), [round(each.value, 4) for each in found.each]
    (2.3805, [0.15, 2.05, 3.95, 5.85])
    """
    check_level(level)
    n = sum(each.n for each in differences)
    if len(differences) < LEAST:
        return Undetermined("too_few", n)
    if any(each.standard_error == 0.0 for each in differences):
        return Undetermined("zero_variance", n)
    values = np.array([each.value for each in differences])
    variances = np.array([each.standard_error for each in differences]) ** 2
    between = _between(values, variances)
    weights = 1 / (variances + between)
    mean, of_mean = float(weights @ values / weights.sum()), float(1 / weights.sum())
    drawn, uncertain = _drawn(values, variances, mean=mean, between=between)
    z = float(ndtri((1 + level) / 2))

    def estimate(value: float, variance: float, method: str, size: int) -> Estimate:
        half = z * math.sqrt(variance)
        return Estimate(value, value - half, value + half, level, method, size)

    each = tuple(
        estimate(float(value), float(variance), "empirical_bayes", difference.n)
        for value, variance, difference in zip(drawn, uncertain, differences, strict=True)
    )
    return Shrunk(estimate(mean, of_mean, "random_effects", n), math.sqrt(between), each)


def _drawn(values: Floats, variances: Floats, *, mean: float, between: float) -> tuple[Floats, Floats]:
    k, weights = values.size, 1 / (variances + between)
    pull = (k - 3) / (k - 1) * variances * weights
    typical = float(weights @ variances / weights.sum())
    of_pull = 2 / (k - 3) * pull**2 * (typical + between) * weights
    drawn = values - pull * (values - mean)
    return drawn, variances * (1 - (k - 1) / k * pull) + of_pull * (values - mean) ** 2


def _between(values: Floats, variances: Floats) -> float:
    weights = 1 / variances
    mean = weights @ values / weights.sum()
    excess = weights @ (values - mean) ** 2 - (values.size - 1)
    return max(float(excess / (weights.sum() - (weights**2).sum() / weights.sum())), 0.0)
