"""Rules of thumb for sharing credit: first, last, linear, by position, by age."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from app.stats.attribution.journeys import Credits, Floats, Journeys, summed
from app.stats.estimate import StatsError

Rule = Literal["first", "last", "linear", "position"]
ENDS = 0.4


def by_rule(journeys: Journeys, rule: Rule) -> Credits:
    r"""Share each outcome among the touches of its own path, by a fixed rule.

    ``first`` and ``last``: all of it to one touch. ``linear``: the same to every touch, so that a channel met twice gets
    twice as much. ``position``: 40 % to the first touch, 40 % to the last, 20 % equally to those between; with two
    touches half to each, with one touch all.

    Parameters
    ----------
    journeys : Journeys
        Journeys without an outcome change nothing.
    rule : {"first", "last", "linear", "position"}
        The rule.

    Returns
    -------
    Credits
        Exact: the weights of one path add up to 1.

    References
    ----------
    Berman, R. (2018). Beyond the last touch: attribution in online advertising. Marketing Science 37(5), 771-792,
    section 1, on what these rules reward.

    Examples
    --------
    >>> journeys = Journeys.of([["a", "b", "b", "c"]], conversions=[10], values=[100])
    >>> by_rule(journeys, "linear").conversions.tolist()
    [2.5, 5.0, 2.5]
    >>> by_rule(journeys, "position").values.round(9).tolist()
    [40.0, 20.0, 40.0]
    """
    return _shared(journeys, _WEIGHTS[rule](journeys))


def time_decay(journeys: Journeys, *, half_life_days: float) -> Credits:
    r"""Share each outcome among the touches of its own path, the fresher the more.

    A touch :math:`a` days before the outcome weighs :math:`2^{-a / h}`; the weights of one path are scaled to add up
    to 1, so that only differences of ages matter.

    Parameters
    ----------
    journeys : Journeys
        With ages.
    half_life_days : float
        h: after so many days a touch counts half. Finite, above 0.

    Returns
    -------
    Credits

    Raises
    ------
    StatsError
        If there are no ages, or the half-life is not above 0.

    References
    ----------
    Ren, K. et al. (2018). Learning multi-touch conversion attribution with dual-attention mechanisms for online
    advertising. CIKM '18, 1433-1442, section 5.2 (time decay as a baseline).

    Examples
    --------
    >>> journeys = Journeys.of([["a", "b"]], conversions=[3], ages=[[7.0, 0.0]])
    >>> time_decay(journeys, half_life_days=7.0).conversions.tolist()
    [1.0, 2.0]
    """
    if journeys.ages is None:
        raise StatsError("credit by age needs the age of every touch")
    if not 0.0 < half_life_days < np.inf:
        raise StatsError(f"a half-life is above 0, not {half_life_days}")
    if not journeys.starts.size:
        return _shared(journeys, journeys.ages)
    # Against the freshest touch of the path: old journeys would otherwise weigh 0 / 0.
    freshest = np.minimum.reduceat(journeys.ages, journeys.starts)
    with np.errstate(over="ignore", under="ignore"):
        # Nothing is left of a touch that is a thousand half-lives older.
        weights = np.exp2(-(journeys.ages - np.repeat(freshest, journeys.lengths)) / half_life_days)
    return _shared(journeys, weights / np.repeat(np.add.reduceat(weights, journeys.starts), journeys.lengths))


def _shared(journeys: Journeys, weights: Floats) -> Credits:
    path, channels = journeys.path_of_touch, len(journeys.channels)
    return Credits(
        journeys.channels,
        summed(journeys.touches, weights * journeys.conversions[path], size=channels),
        summed(journeys.touches, weights * journeys.values[path], size=channels),
    )


def _first(journeys: Journeys) -> Floats:
    weights = np.zeros(journeys.touches.size)
    weights[journeys.starts] = 1.0
    return weights


def _last(journeys: Journeys) -> Floats:
    weights = np.zeros(journeys.touches.size)
    weights[journeys.starts + journeys.lengths - 1] = 1.0
    return weights


def _linear(journeys: Journeys) -> Floats:
    return np.repeat(1.0 / journeys.lengths, journeys.lengths)


def _position(journeys: Journeys) -> Floats:
    lengths = journeys.lengths
    between = np.where(lengths > 2, (1.0 - 2 * ENDS) / np.maximum(lengths - 2, 1), 0.0)
    ends = np.where(lengths > 2, ENDS, 1.0 / lengths)
    weights = np.repeat(between, lengths)
    weights[journeys.starts] = ends
    weights[journeys.starts + lengths - 1] = ends
    return weights


_WEIGHTS: dict[Rule, Callable[[Journeys], Floats]] = {
    "first": _first,
    "last": _last,
    "linear": _linear,
    "position": _position,
}
