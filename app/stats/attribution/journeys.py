"""Journeys in aggregated form: distinct paths with counts are all that sharing credit ever needs of customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Game = Literal["conversions", "rate"]


@dataclass(frozen=True, slots=True)
class Journeys:
    """Distinct paths of touches, and how often each ended with an outcome, with what value, and without one.

    Parameters
    ----------
    channels : tuple of str, length c
        Names, in the order in which credit is given back.
    touches : ndarray of int64, shape (t,)
        The paths one after the other, each from first touch to last, as positions in `channels`.
    starts : ndarray of int64, shape (p,)
        Where each path begins in `touches`: from 0, rising. A path has at least one touch.
    conversions, values, nulls : ndarray of float64, shape (p,)
        Journeys along a path that ended with an outcome, the value of these outcomes, journeys that ended without;
        finite and not negative.
    ages : ndarray of float64, shape (t,), optional
        Days from each touch to the outcome, at least 0; only `time_decay` needs them. Paths that differ in ages only
        are distinct then.

    Raises
    ------
    StatsError
        If lengths do not fit, a path is empty, a touch has no channel, or a number is negative or not finite.

    Examples
    --------
    >>> journeys = Journeys.of([["search", "email"], ["email"]], conversions=[2, 1], values=[50, 10], nulls=[3, 0])
    >>> journeys.channels, journeys.touches.tolist(), journeys.starts.tolist()
    (('email', 'search'), [1, 0, 0], [0, 2])
    >>> journeys.lengths.tolist(), journeys.total_conversions, journeys.total_value
    ([2, 1], 3.0, 60.0)
    """

    channels: tuple[str, ...]
    touches: Integers
    starts: Integers
    conversions: Floats
    values: Floats
    nulls: Floats
    ages: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse what are no journeys."""
        paths = self.starts.size
        if any(each.shape != (paths,) for each in (self.conversions, self.values, self.nulls)):
            raise StatsError(f"{paths} paths need as many conversions, values and nulls")
        if paths and (self.starts[0] != 0 or (self.lengths < 1).any()):
            raise StatsError("a path has at least one touch")
        if self.touches.size and not (self.touches.min() >= 0 and self.touches.max() < len(self.channels)):
            raise StatsError("a touch is the position of a channel")
        if not paths and self.touches.size:
            raise StatsError("touches belong to a path")
        numbers = [self.conversions, self.values, self.nulls]
        if self.ages is not None:
            if self.ages.shape != self.touches.shape:
                raise StatsError("every touch has an age, or none has")
            numbers.append(self.ages)
        if not all(np.isfinite(each).all() and (each >= 0).all() for each in numbers):
            raise StatsError("counts, values and ages are finite and not negative")

    @classmethod
    def of(
        cls,
        paths: Sequence[Sequence[str]],
        *,
        conversions: ArrayLike,
        values: ArrayLike | None = None,
        nulls: ArrayLike | None = None,
        ages: Sequence[Sequence[float]] | None = None,
    ) -> Self:
        """Read paths given as names of channels.

        Parameters
        ----------
        paths : sequence of sequences of str, length p
            From first touch to last.
        conversions : array_like, shape (p,)
            Journeys along each path that ended with an outcome.
        values, nulls : array_like, shape (p,), optional
            The value of these outcomes; journeys that ended without one. 0 where they are left out.
        ages : sequence of sequences of float, length p, optional
            Days from each touch to the outcome, as long as the paths.

        Returns
        -------
        Journeys
            Channels in the order of their names.

        Raises
        ------
        StatsError
            As for `Journeys`.

        Examples
        --------
        >>> Journeys.of([["a", "b"]], conversions=[1], ages=[[3.5, 0.0]]).ages.tolist()
        [3.5, 0.0]
        """
        lengths = np.fromiter(map(len, paths), np.int64, len(paths))
        if ages is not None and list(map(len, ages)) != lengths.tolist():
            raise StatsError("every touch has an age, or none has")
        if (lengths < 1).any():
            raise StatsError("a path has at least one touch")
        words = list(chain.from_iterable(paths))
        channels = tuple(sorted(set(words)))
        position = {channel: place for place, channel in enumerate(channels)}
        nothing = np.zeros(len(paths))
        return cls(
            channels,
            np.fromiter(map(position.__getitem__, words), np.int64, len(words)),
            np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(paths) else lengths,
            np.asarray(conversions, dtype=np.float64),
            nothing if values is None else np.asarray(values, dtype=np.float64),
            nothing if nulls is None else np.asarray(nulls, dtype=np.float64),
            None if ages is None else np.fromiter(chain.from_iterable(ages), np.float64, len(words)),
        )

    @property
    def lengths(self) -> Integers:
        """Touches of each path, shape (p,)."""
        return np.diff(self.starts, append=self.touches.size)

    @property
    def path_of_touch(self) -> Integers:
        """Which path each touch is of, shape (t,)."""
        return np.repeat(np.arange(self.starts.size), self.lengths)

    @property
    def total_conversions(self) -> float:
        """All journeys with an outcome."""
        return float(self.conversions.sum())

    @property
    def total_value(self) -> float:
        """The value of all outcomes."""
        return float(self.values.sum())


@dataclass(frozen=True, slots=True)
class Credits:
    """What each channel is credited with; the credits of all channels add up to the totals of the journeys.

    Parameters
    ----------
    channels : tuple of str, length c
        As in the journeys.
    conversions, values : ndarray of float64, shape (c,)
        Shares of the journeys with an outcome and of their value.
    game : {"conversions", "rate"} or None
        What a coalition of channels is said to earn; None for models that are no game.
    standard_errors : ndarray of float64, shape (c,), or None
        Of `conversions` where they were estimated from sampled orders; None where they are exact.

    Examples
    --------
    >>> Credits(("a",), np.array([2.0]), np.array([10.0])).game is None
    True
    """

    channels: tuple[str, ...]
    conversions: Floats
    values: Floats
    game: Game | None = None
    standard_errors: Floats | None = None


def summed(places: Integers, amounts: Floats, *, size: int) -> Floats:
    """Add amounts up by the place they belong to.

    Parameters
    ----------
    places : ndarray of int64, shape (n,)
        In 0..size - 1.
    amounts : ndarray of float64, shape (n,)
        What is added up.
    size : int
        Number of places.

    Returns
    -------
    ndarray of float64, shape (size,)

    Examples
    --------
    >>> summed(np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0]), size=3).tolist()
    [4.0, 0.0, 2.0]
    """
    return np.bincount(places, amounts, size).astype(np.float64)


def scaled(shares: Floats, total: float) -> Floats:
    """Give numbers in the proportion of shares that add up to a total.

    Parameters
    ----------
    shares : ndarray of float64, shape (c,)
        Finite; may be negative.
    total : float
        What they shall add up to.

    Returns
    -------
    ndarray of float64, shape (c,)
        Equal parts where the shares add up to 0 and say nothing; none where there is no share.

    Examples
    --------
    >>> scaled(np.array([1.0, 3.0]), 8.0).tolist()
    [2.0, 6.0]
    >>> scaled(np.array([0.0, 0.0]), 3.0).tolist()
    [1.5, 1.5]
    """
    whole = float(shares.sum())
    if whole == 0.0:
        return np.full(shares.size, total / shares.size) if shares.size else shares
    return shares / whole * total
