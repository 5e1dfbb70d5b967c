"""What every statistic answers with: a value with its interval, or an honest reason why there is none."""

import math
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "no_exposures",
    "zero_denominator",
    "uncertain_denominator",
    "too_few",
    "zero_variance",
    "not_converged",
    "baseline_missing",
    "no_active_model",
    "no_repeat_purchases",
    "everyone_active",
    "one_class",
    "too_few_positives",
    "horizon_exceeds_history",
    "no_positive_spend",
    "singular",
    "no_gain",
    "not_measured",
    "margin_unknown",
]


class StatsError(ValueError):
    """A statistic was asked for something that no data can answer: a programming error, not a property of the data."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate and, where the data allow one, its interval.

    Parameters
    ----------
    value : float
        The point estimate, in the unit of the statistic. Finite.
    low, high : float or None
        Lower and upper end of the interval, in the unit of `value`, `low` <= `high`. Both None where the value is
        defined but its uncertainty is not; then `reason` says why.
    level : float
        Confidence or credibility of the interval, in (0, 1). 0.95 is 95 %.
    method : str
        How the interval was made, e.g. ``"student_t"``.
    n : int
        Number of observations behind the estimate, at least 0.
    reason : Reason or None
        Why there is no interval; None exactly when there is one.

    Raises
    ------
    StatsError
        If a number is not finite, the interval is reversed or half missing, or the level is outside (0, 1).

    Examples
    --------
    >>> Estimate(value=0.183, low=0.171, high=0.195, level=0.95, method="welch", n=21307).high
    0.195
    >>> Estimate(value=12.5, low=None, high=None, level=0.95, method="student_t", n=1, reason="too_few").reason
    'too_few'
    """

    value: float
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    reason: Reason | None = None

    def __post_init__(self) -> None:
        """Refuse what would read as an estimate and is none."""
        check_level(self.level)
        check_count(self.n)
        if not all(math.isfinite(number) for number in (self.value, self.low or 0.0, self.high or 0.0)):
            raise StatsError("an estimate is made of finite numbers; what has no value is Undetermined")
        missing = (self.low is None, self.high is None, self.reason is not None)
        if any(missing) and not all(missing):
            raise StatsError("an interval has both ends and no reason, or no ends and a reason")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise StatsError("an interval runs from low to high")


@dataclass(frozen=True, slots=True)
class Undetermined:
    """The answer where no value exists: not an error, not 0 and not NaN.

    Parameters
    ----------
    reason : Reason
        Why there is no value.
    n : int
        Number of observations there were, at least 0.

    Raises
    ------
    StatsError
        If `n` is negative.

    Examples
    --------
    >>> Undetermined("zero_denominator", n=0)
    Undetermined(reason='zero_denominator', n=0)
    """

    reason: Reason
    n: int

    def __post_init__(self) -> None:
        """Refuse a negative number of observations."""
        check_count(self.n)


def check_level(level: float) -> None:
    """Refuse a level that is no probability strictly between 0 and 1.

    Parameters
    ----------
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    StatsError
        If it lies outside.

    Examples
    --------
    >>> check_level(95)
    Traceback (most recent call last):
    app.stats.estimate.StatsError: level is a share strictly between 0 and 1, not 95
    """
    if not 0.0 < level < 1.0:
        raise StatsError(f"level is a share strictly between 0 and 1, not {level}")


def check_count(n: int) -> None:
    """Refuse a negative number of observations.

    Parameters
    ----------
    n : int
        Number of observations, at least 0.

    Raises
    ------
    StatsError
        If it is negative.

    Examples
    --------
    >>> check_count(-1)
    Traceback (most recent call last):
    app.stats.estimate.StatsError: a number of observations is not negative, but this one is -1
    """
    if n < 0:
        raise StatsError(f"a number of observations is not negative, but this one is {n}")
