"""Scores beside what then happened: the one check that every judgement of a classifier begins with."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri, stdtrit

from app.stats.estimate import Estimate, Reason, StatsError, Undetermined, check_level

Floats = NDArray[np.float64]


def scored(scores: ArrayLike, outcomes: ArrayLike) -> tuple[Floats, Floats]:
    """Take scores and outcomes as arrays, or say why they are none.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Any finite numbers.
    outcomes : array_like of bool, shape (n,)
        What happened; 0 and 1 will do.

    Returns
    -------
    tuple of ndarray of float64, shape (n,)
        The scores, and the outcomes as 0.0 and 1.0.

    Raises
    ------
    StatsError
        If they are not one-dimensional, differ in length, a score is not finite or an outcome is neither 0 nor 1.

    Examples
    --------
    >>> scored([0.25, 3], [True, False])
    (array([0.25, 3.  ]), array([1., 0.]))
    """
    numbers, happened = _line(scores, "scores"), _line(outcomes, "outcomes")
    if numbers.size != happened.size:
        raise StatsError(f"{numbers.size} scores cannot be judged by {happened.size} outcomes")
    if not np.isfinite(numbers).all():
        raise StatsError("scores are finite numbers")
    if not ((happened == 0) | (happened == 1)).all():
        raise StatsError("an outcome happened or did not: it is true or false, 1 or 0")
    return numbers, happened


def predicted(probabilities: ArrayLike, outcomes: ArrayLike) -> tuple[Floats, Floats]:
    """Take probabilities and outcomes as arrays, or say why they are none.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened; 0 and 1 will do.

    Returns
    -------
    tuple of ndarray of float64, shape (n,)
        The probabilities, and the outcomes as 0.0 and 1.0.

    Raises
    ------
    StatsError
        As in `scored`, and if a probability lies outside 0..1.

    Examples
    --------
    >>> predicted([0.25, 1.5], [True, False])
    Traceback (most recent call last):
    app.stats.estimate.StatsError: a probability lies in 0..1
    """
    numbers, happened = scored(probabilities, outcomes)
    if numbers.size and not 0.0 <= numbers.min() <= numbers.max() <= 1.0:
        raise StatsError("a probability lies in 0..1")
    return numbers, happened


def mean_of(values: Floats, *, level: float) -> Estimate | Undetermined:
    """Give the mean of measured values with Student's t interval: `mean_interval` for what is no exact money.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Independent observations in one unit. Finite.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        ``method="student_t"``; without an interval for one value (``too_few``) or equal ones (``zero_variance``).
        ``Undetermined("zero_denominator", 0)`` when there is no value.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1).

    Examples
    --------
    t(0.975, 2) = 4.303 and s / sqrt(3) = 0.57735:

    >>> loss = mean_of(np.array([1.0, 2.0, 3.0]), level=0.95)
    >>> loss.value, round(loss.high, 3)
    (2.0, 4.484)
    """
    check_level(level)
    n = int(values.size)
    if n == 0:
        return Undetermined("zero_denominator", 0)
    mean = float(values.mean())
    if n == 1 or values.min() == values.max():
        reason: Reason = "too_few" if n == 1 else "zero_variance"
        return Estimate(mean, None, None, level, "student_t", n, reason)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(float(values.var(ddof=1)) / n)
    return Estimate(mean, mean - half, mean + half, level, "student_t", n)


def logit_interval(value: float, variance: float, *, level: float, method: str, n: int) -> Estimate:
    r"""Put an interval around a share so that it stays within 0..1: normal on the scale of the log odds.

    :math:`\operatorname{expit}(\operatorname{logit}(v) \pm z \sqrt{\mathrm{var}} / (v (1 - v)))`, the delta method.

    Parameters
    ----------
    value : float
        The share, in 0..1.
    variance : float
        Of `value`, at least 0.
    level : float
        Confidence level, in (0, 1).
    method : str
        Where the variance comes from.
    n : int
        Number of observations.

    Returns
    -------
    Estimate
        Without an interval (``zero_variance``) at 0 and 1, where log odds are infinite, and without variance.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1).

    References
    ----------
    Pepe, M. S. (2003). The Statistical Evaluation of Medical Tests for Classification and Prediction, 5.2.

    Examples
    --------
    >>> area = logit_interval(0.5, 0.01, level=0.95, method="delong", n=40)
    >>> round(area.low, 4), round(area.high, 4)
    (0.3135, 0.6865)
    """
    check_level(level)
    if not 0.0 < value < 1.0 or variance <= 0.0:
        return Estimate(value, None, None, level, method, n, "zero_variance")
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance) / (value * (1 - value))
    middle = float(logit(value))
    return Estimate(value, float(expit(middle - half)), float(expit(middle + half)), level, method, n)


def _line(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values)
    if array.ndim != 1:
        raise StatsError(f"{name} are a list of numbers, one for each customer, not an array of shape {array.shape}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise StatsError(f"{name} are numbers, not {array.dtype}") from None
