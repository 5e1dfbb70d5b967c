"""How often an interval may miss in a simulation before it is to blame: the binomial band of its stated level."""

from collections.abc import Iterable

from scipy.stats import binom

from app.stats.estimate import Estimate, Undetermined

# The chance that a right interval is called wrong, per simulation; seeds are fixed, so that it is met once or never.
ALARM = 1e-3


def held_as_stated(held: int, of: int, *, level: float) -> bool:
    """Tell whether a count is one that its stated rate explains."""
    low, high = (float(binom.ppf(share, of, level)) for share in (ALARM / 2, 1 - ALARM / 2))
    return low <= held <= high


def covers_as_stated(found: Iterable[Estimate | Undetermined], truth: float) -> bool:
    """Tell whether the share of intervals that hold the truth is one that their level explains."""
    intervals = [each for each in found if isinstance(each, Estimate)]
    held = sum(each.low <= truth <= each.high for each in intervals)
    return held_as_stated(held, len(intervals), level=intervals[0].level)
