"""Gain against cost: return on investment, when it pays back, and what it takes to break even."""

import math

from scipy.special import stdtr

from app.stats.comparison.difference import Difference
from app.stats.estimate import Estimate, StatsError, Undetermined


def return_on_investment(gain: Estimate | Undetermined, cost: float) -> Estimate | Undetermined:
    """Give (gain - cost) / cost.

    The cost is booked and certain, the gain is estimated: the interval is that of the gain, moved and scaled.

    Parameters
    ----------
    gain : Estimate or Undetermined
        In money, before the cost is taken off.
    cost : float
        In the same money, at least 0.

    Returns
    -------
    Estimate or Undetermined
        3.5 is 350 %. ``Undetermined("zero_denominator", n)`` where nothing was spent; else undetermined as the gain is.

    Raises
    ------
    StatsError
        If the cost is negative or not finite.

    References
    ----------
    Phillips, J. J. (2003). Return on Investment in Training and Performance Improvement Programs, 2nd ed. (ROI as net
    benefits over costs).

    Examples
    --------
    >>> gain = Estimate(540_000.0, 480_000.0, 600_000.0, 0.95, "welch", 2_000)
    >>> found = return_on_investment(gain, 120_000.0)
    >>> found.value, found.low, found.high
    (3.5, 3.0, 4.0)
    >>> return_on_investment(gain, 0.0)
    Undetermined(reason='zero_denominator', n=2000)
    """
    _check_cost(cost)
    if isinstance(gain, Undetermined):
        return gain
    if cost == 0.0:
        return Undetermined("zero_denominator", gain.n)
    value, low, high = (None if end is None else (end - cost) / cost for end in (gain.value, gain.low, gain.high))
    assert value is not None, "an estimate has a value"
    return Estimate(value, low, high, gain.level, gain.method, gain.n, gain.reason)


def probability_of_profit(gain: Difference | Undetermined, cost: float) -> float | Undetermined:
    """Give the probability that the gain exceeds the cost.

    The posterior of the gain under a flat prior: Student's t around the estimate.

    Parameters
    ----------
    gain : Difference or Undetermined
        In money.
    cost : float
        In the same money, at least 0.

    Returns
    -------
    float or Undetermined
        0..1; 0 or 1 where the gain does not vary.

    Raises
    ------
    StatsError
        If the cost is negative or not finite.

    References
    ----------
    Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis, section 2.5 (Behrens' problem;
    with Welch's degrees of freedom in place of its exact law).

    Examples
    --------
    >>> gain = Difference(540_000.0, 210_000.0, math.inf, 2_000, "welch")
    >>> round(probability_of_profit(gain, 120_000.0), 4)
    0.9772
    """
    _check_cost(cost)
    if isinstance(gain, Undetermined):
        return gain
    if gain.standard_error == 0.0:
        return float(gain.value > cost)
    return float(stdtr(gain.degrees_of_freedom, (gain.value - cost) / gain.standard_error))


def break_even_margin(revenue: float, cost: float) -> float | Undetermined:
    """Give the share of additional revenue that has to be margin for the cost to be earned back.

    Parameters
    ----------
    revenue : float
        Additional revenue.
    cost : float
        In the same money, at least 0.

    Returns
    -------
    float or Undetermined
        At least 0; above 1 it cannot be earned back by this revenue. ``Undetermined("no_gain", 0)`` where there is no
        additional revenue.

    Raises
    ------
    StatsError
        If the cost is negative or not finite.

    Examples
    --------
    >>> round(break_even_margin(540_000.0, 120_000.0), 4)
    0.2222
    """
    _check_cost(cost)
    if revenue <= 0.0:
        return Undetermined("no_gain", 0)
    return cost / revenue


def payback_days(gain: float, cost: float, *, days: float) -> float | Undetermined:
    """Give after how many days the cost has been earned back, if the gain comes in evenly.

    Parameters
    ----------
    gain : float
        What came in over `days`.
    cost : float
        In the same money, at least 0.
    days : float
        Over how many days, above 0.

    Returns
    -------
    float or Undetermined
        Days from the beginning; beyond `days` it supposes that the gain goes on. ``Undetermined("no_gain", 0)`` where
        nothing is gained and so nothing is ever paid back.

    Raises
    ------
    StatsError
        If the cost or the days are no such numbers.

    Examples
    --------
    >>> payback_days(540_000.0, 120_000.0, days=90)
    20.0
    """
    _check_cost(cost)
    if not 0.0 < days < math.inf:
        raise StatsError(f"a gain comes in over some days, not over {days}")
    if gain <= 0.0:
        return Undetermined("no_gain", 0)
    return cost * days / gain


def _check_cost(cost: float) -> None:
    if not 0.0 <= cost < math.inf:
        raise StatsError(f"a cost is a finite amount, at least 0, not {cost}")
