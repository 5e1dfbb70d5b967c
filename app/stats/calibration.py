"""Whether a probability means what it says: of those given 30 %, does it happen to three in ten."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit, ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_level
from app.stats.logistic import coefficients
from app.stats.proportion import proportion_interval
from app.stats.scored import Floats, mean_of, predicted

# Log loss: the surprise of what was called impossible is that of one rounding, not infinite.
LEAST = float(np.finfo(np.float64).eps)
# Log odds to be recalibrated: no more certain than one in a billion, or a single certain error outweighs all others.
LEAST_ODDS = 1e-9


def brier_score(probabilities: ArrayLike, outcomes: ArrayLike, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Give the mean squared distance of a probability from what happened.

    :math:`\frac{1}{n} \sum (p_i - y_i)^2`, with Student's t interval of the mean over customers.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        0 (certain and right) to 1; ``method="student_t"``, without an interval for one customer (``too_few``) or
        where all are equally far off (``zero_variance``). ``Undetermined("zero_denominator", 0)`` for none.

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes, or `level` is outside (0, 1).

    References
    ----------
    Brier, G. W. (1950). Verification of forecasts expressed in terms of probability. Monthly Weather Review 78(1), 1-3,
    equation 2 (half of it: one class counted).

    Examples
    --------
    >>> round(brier_score([0.1, 0.9, 0.8, 0.3], [False, True, True, False]).value, 4)
    0.0375
    """
    chances, happened = predicted(probabilities, outcomes)
    return mean_of((chances - happened) ** 2, level=level)


def log_loss(probabilities: ArrayLike, outcomes: ArrayLike, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Give the mean surprise: minus the natural logarithm of the probability of what happened.

    Probabilities are kept at least 2.2e-16 (one rounding) away from 0 and 1, so that what was called impossible and
    happened costs 36.04 rather than infinity.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        In nats, at least 0; .6931 is a coin's; ``method="student_t"``. Undetermined as `brier_score`.

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes, or `level` is outside (0, 1).

    References
    ----------
    Good, I. J. (1952). Rational decisions. Journal of the Royal Statistical Society B 14(1), 107-114.

    Examples
    --------
    >>> round(log_loss([0.1, 0.9, 0.8, 0.35], [False, True, True, False]).value, 4)
    0.2162
    """
    chances, happened = predicted(probabilities, outcomes)
    of_what_happened = np.where(happened == 1.0, chances, 1.0 - chances)
    return mean_of(-np.log(of_what_happened.clip(LEAST, 1.0 - LEAST)), level=level)


def brier_skill(
    probabilities: ArrayLike, outcomes: ArrayLike, *, base_rate: float | None = None, level: float = 0.95
) -> Estimate | Undetermined:
    r"""Say which part of the base rate's Brier score the probabilities save.

    :math:`1 - \sum (p_i - y_i)^2 / \sum (b - y_i)^2` for a base rate b, with a normal interval from the delta method
    for a ratio of means over the same customers.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    base_rate : float, optional
        The rate known beforehand (that of the training data), in 0..1. By default the rate of `outcomes`, which no one
        could have known and which is the harder rival.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        1 is perfect, 0 no better than the base rate, negative worse; ``method="delta"``, without an interval for fewer
        than two customers. ``Undetermined("zero_denominator", 0)`` for none, ``("one_class", n)`` where the base rate
        makes no error.

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes, or `base_rate` or `level` is no such share.

    References
    ----------
    Murphy, A. H. (1973). A new vector partition of the probability score. Journal of Applied Meteorology 12, 595-600.

    Examples
    --------
    >>> round(brier_skill([0.1, 0.9, 0.8, 0.3], [False, True, True, False]).value, 4)
    0.85
    """
    check_level(level)
    chances, happened = predicted(probabilities, outcomes)
    n = int(chances.size)
    if base_rate is not None and not 0.0 <= base_rate <= 1.0:
        raise StatsError(f"a base rate is a share in 0..1, not {base_rate}")
    if n == 0:
        return Undetermined("zero_denominator", 0)
    losses = (chances - happened) ** 2
    rivals = ((happened.mean() if base_rate is None else base_rate) - happened) ** 2
    if not rivals.any():
        return Undetermined("one_class", n)
    ratio = float(losses.mean() / rivals.mean())
    if n < 2:
        return Estimate(1 - ratio, None, None, level, "delta", n, "too_few")
    half = _z(level) * float((losses - ratio * rivals).std(ddof=1) / rivals.mean()) / math.sqrt(n)
    return Estimate(1 - ratio, 1 - ratio - half, 1 - ratio + half, level, "delta", n)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Customers of about one probability, and what happened to them.

    Parameters
    ----------
    low, high : float
        The lowest and the highest probability among them, 0..1.
    n : int
        Number of customers.
    mean_probability : float
        What was expected of them on average, 0..1.
    observed : Estimate or Undetermined
        The share to whom it happened, with Wilson's interval.
    """

    low: float
    high: float
    n: int
    mean_probability: float
    observed: Estimate | Undetermined


def reliability(
    probabilities: ArrayLike, outcomes: ArrayLike, *, bins: int = 10, level: float = 0.95
) -> list[ReliabilityBin]:
    """Set what was expected beside what happened, for groups of customers of about one probability.

    Groups are cut at quantiles, so that each holds about as many customers and none is empty; customers of one
    probability are never parted, so that there are fewer groups where many share one.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    bins : int, default 10
        Number of groups aimed at, at least 1.
    level : float, default 0.95
        Confidence level of each group's interval, in (0, 1).

    Returns
    -------
    list of ReliabilityBin
        From the lowest probability up; empty for no customer.

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes, `bins` is below 1 or `level` is outside (0, 1).

    References
    ----------
    Broecker, J. and Smith, L. A. (2007). Increasing the reliability of reliability diagrams. Weather and Forecasting
    22, 651-661 (groups of equal size).

    Examples
    --------
    >>> low, high = reliability([0.1, 0.2, 0.8, 0.9], [False, True, True, True], bins=2)
    >>> round(low.mean_probability, 2), low.observed.value, round(high.mean_probability, 2), high.observed.value
    (0.15, 0.5, 0.85, 1.0)
    """
    check_level(level)
    if bins < 1:
        raise StatsError(f"a reliability table has at least one group, not {bins}")
    chances, happened = predicted(probabilities, outcomes)
    order = np.argsort(chances, kind="stable")
    chances, happened = chances[order], happened[order]
    ends = _ends(chances, bins)
    table = []
    for start, end in pairwise([0, *ends]):
        n = end - start
        observed = proportion_interval(float(happened[start:end].sum()), n, level=level)
        middle = float(chances[start:end].mean())
        table.append(ReliabilityBin(float(chances[start]), float(chances[end - 1]), n, middle, observed))
    return table


def expected_calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, *, bins: int = 10) -> float:
    r"""Give the mean distance between what was expected and what happened, over groups of equal size.

    :math:`\sum_g \frac{n_g}{n} |\bar p_g - \bar y_g|` over the groups of `reliability`. It is never quite 0: chance alone
    leaves about :math:`\sqrt{2 \bar y (1 - \bar y) g / (\pi n)}` for g groups.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1, at least one.
    outcomes : array_like of bool, shape (n,)
        What happened.
    bins : int, default 10
        Number of groups aimed at, at least 1.

    Returns
    -------
    float
        0..1.

    Raises
    ------
    StatsError
        If there is no customer, the arrays are no probabilities and outcomes, or `bins` is below 1.

    References
    ----------
    Naeini, M. P., Cooper, G. F. and Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian
    binning. AAAI, 2901-2907 (groups of equal size here).

    Examples
    --------
    >>> round(expected_calibration_error([0.1, 0.2, 0.8, 0.9], [False, True, True, True], bins=2), 2)
    0.25
    """
    table = reliability(probabilities, outcomes, bins=bins)
    if not table:
        raise StatsError("of no customers there is no calibration error")
    off = [
        row.n * abs(row.mean_probability - row.observed.value) for row in table if isinstance(row.observed, Estimate)
    ]
    return math.fsum(off) / sum(row.n for row in table)


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """What turns the stated log odds into those that would have fitted.

    Parameters
    ----------
    intercept, slope : Estimate or Undetermined
        Of log odds(outcome) = intercept + slope x log odds(stated), 0 and 1 when calibrated. A slope below 1 says that
        the probabilities are too extreme (the mark of overfitting), above 1 that they are too timid.
    in_the_large : Estimate or Undetermined
        The intercept with the slope held at 1: below 0 where too much was expected, above where too little.
    """

    intercept: Estimate | Undetermined
    slope: Estimate | Undetermined
    in_the_large: Estimate | Undetermined


def calibration_line(probabilities: ArrayLike, outcomes: ArrayLike, *, level: float = 0.95) -> CalibrationLine:
    r"""Fit the line that recalibrates: intercept and slope on the scale of the log odds.

    Logistic regression of the outcome on :math:`\operatorname{logit} p`, by Newton's method, with normal intervals from
    the observed information. Probabilities are kept 1e-9 away from 0 and 1.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    CalibrationLine
        ``method="wald"``. All Undetermined with ``zero_denominator`` for no customer and ``one_class`` where everyone or
        no one had the outcome; intercept and slope also with ``zero_variance`` where all probabilities are one, and
        ``not_converged`` where they part the classes without an error (the slope is infinite).

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes, or `level` is outside (0, 1).

    References
    ----------
    Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika 45, 562-565.
    Miller, M. E., Hui, S. L. and Tierney, W. M. (1991). Validation techniques for logistic regression models.
    Statistics in Medicine 10, 1213-1226.

    Examples
    --------
    Of those given 20 % and 80 %, it happened to 40 % and 60 %: the slope is logit(.6) / logit(.8):

    >>> line = calibration_line([0.2] * 5 + [0.8] * 5, [1, 1, 0, 0, 0, 1, 1, 1, 0, 0])
    >>> round(line.slope.value, 4), abs(round(line.intercept.value, 4))
    (0.2925, 0.0)
    """
    check_level(level)
    chances, happened = predicted(probabilities, outcomes)
    n = int(chances.size)
    if n == 0 or happened.min() == happened.max():
        nothing = Undetermined("one_class" if n else "zero_denominator", n)
        return CalibrationLine(nothing, nothing, nothing)
    odds = logit(chances.clip(LEAST_ODDS, 1 - LEAST_ODDS))
    constant = np.ones((n, 1))
    (in_the_large,) = coefficients(constant, odds, happened, level=level)
    if odds.min() == odds.max():
        none = Undetermined("zero_variance", n)
        return CalibrationLine(none, none, in_the_large)
    intercept, slope = coefficients(np.column_stack((constant, odds)), np.zeros(n), happened, level=level)
    return CalibrationLine(intercept, slope, in_the_large)


def _ends(chances: Floats, bins: int) -> list[int]:
    """Give the end of each group in sorted probabilities: at the quantiles, moved up past equal probabilities."""
    n = int(chances.size)
    wanted = -(-n * np.arange(1, bins + 1) // bins)
    ends = np.searchsorted(chances, chances[wanted - 1], side="right") if n else wanted[:0]
    return [int(end) for end in np.unique(ends)]


def _z(level: float) -> float:
    return float(ndtri((1 + level) / 2))
