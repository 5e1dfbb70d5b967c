"""A buy-till-you-die model as a classifier: the probability that nothing is bought within the horizon, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.classification.links import log_odds
from app.ml.classification.request import BTYD_COLUMNS
from app.ml.columns import Floats, Integers, Values
from app.stats.btyd.families import Family
from app.stats.btyd.forecasting import p_no_purchase

# Coalitions of the three columns as bits; what a column adds to one is weighed by 1/3, 1/6, 1/6, 1/3.
COALITIONS = np.array([[bool(code >> place & 1) for place in range(3)] for code in range(8)])
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Purchases:
    """A fitted family that reads the history of purchases from features.

    Parameters
    ----------
    family : Family
    parameters : dict of str to float
        In days.
    horizon_days : float
    fill : ndarray of float64, shape (3,)
        What the unknown count as, by column.
    background : ndarray of float64, shape (3, m)
        Customers against whom contributions are measured.
    middle : float
        Their mean score.
    """

    family: Family
    parameters: dict[str, float]
    horizon_days: float
    fill: Floats
    background: Floats
    middle: float

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "Purchases":
        """From the plain form."""
        found = cls(
            parts["family"],
            dict(parts["parameters"]),
            float(parts["horizon_days"]),
            np.asarray(parts["fill"], dtype=np.float64),
            np.asarray(parts["background"], dtype=np.float64),
            0.0,
        )
        middle = float(found.score(found.background).mean())
        return cls(found.family, found.parameters, found.horizon_days, found.fill, found.background, middle)

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        return BTYD_COLUMNS

    @property
    def owners(self) -> Integers:
        """The feature behind each column."""
        return np.arange(len(BTYD_COLUMNS))

    def read(self, values: Values, start: int, stop: int) -> Floats:
        """The three columns of a range of customers, filled."""
        return columns_of(values, self.fill, start, stop)

    def score(self, columns: Floats) -> Floats:
        """Log odds that nothing is bought within the horizon, shape (n,)."""
        history = histories_of(columns)
        return log_odds(p_no_purchase(self.family, self.parameters, self.horizon_days, *history))

    def parts(self, columns: Floats) -> tuple[Floats, float]:
        """Exact Shapley values of the three columns, shape (n, 3), and the mean of the background."""
        found = np.empty((columns.shape[1], len(BTYD_COLUMNS)))
        for first in range(0, columns.shape[1], BLOCK):
            found[first : first + BLOCK] = self._shapley(columns[:, first : first + BLOCK])
        return found, self.middle

    def _shapley(self, columns: Floats) -> Floats:
        n, m = columns.shape[1], self.background.shape[1]
        own = np.repeat(columns, m, axis=1)
        other = np.tile(self.background, (1, n))
        mixed = [np.where(each[:, np.newaxis], own, other) for each in COALITIONS[1:-1]]
        asked = self.score(np.concatenate([*mixed, columns], axis=1))
        worth = np.full((len(COALITIONS), n), self.middle)
        worth[1:-1] = asked[: -n or None].reshape(len(mixed), n, m).mean(axis=2)
        worth[-1] = asked[asked.size - n :]
        found = np.zeros((n, len(BTYD_COLUMNS)))
        for code, members in enumerate(COALITIONS):
            for place in np.flatnonzero(~members).tolist():
                share = (1 / 6) if members.sum() == 1 else (1 / 3)
                found[:, place] += share * (worth[code | 1 << place] - worth[code])
        return found


def columns_of(values: Values, fill: Floats, start: int, stop: int) -> Floats:
    """Read the history of purchases, the unknown filled.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features of `request.BTYD_COLUMNS`.
    fill : ndarray of float64, shape (3,)
        What the unknown count as.
    start, stop : int
        The range of customers.

    Returns
    -------
    ndarray of float64, shape (3, stop - start)

    Examples
    --------
    >>> values = dict(zip(BTYD_COLUMNS, (np.array([np.nan]), np.array([3.0]), np.array([9.0])), strict=True))
    >>> columns_of(values, np.array([2.0, 0.0, 0.0]), 0, 1).ravel().tolist()
    [2.0, 3.0, 9.0]
    """
    found = np.empty((len(BTYD_COLUMNS), stop - start))
    for at, name in enumerate(BTYD_COLUMNS):
        found[at] = values[name][start:stop]
    finite = np.isfinite(found)
    if not finite.all():
        np.copyto(found, fill[:, np.newaxis], where=~finite)
    return found


def histories_of(columns: Floats) -> tuple[Floats, Floats, Floats]:
    """Turn purchase days and the two ages into repeat purchases, age at the last of them and age, in days.

    What cannot be, as between two customers mixed for a contribution or where a day is cut elsewhere, is moved to the
    nearest history that can: nobody has bought again without time having passed.

    Parameters
    ----------
    columns : ndarray of float64, shape (3, n)
        In the order of `request.BTYD_COLUMNS`, finite.

    Returns
    -------
    x, t_x, T : ndarray of float64, shape (n,)

    Examples
    --------
    >>> [each.tolist() for each in histories_of(np.array([[3.0, 1.0], [5.0, 5.0], [40.0, 5.0]]))]
    [[2.0, 0.0], [35.0, 0.0], [40.0, 5.0]]
    """
    days, since_last, since_first = columns
    x = np.maximum(np.floor(days) - 1.0, 0.0)
    age = np.maximum(since_first, 0.0)
    last = np.where(x > 0, np.clip(age - since_last, 1.0, None), 0.0)
    return x, last, np.maximum(age, last)


def medians(columns: Floats) -> Floats:
    """Give the median of the known values of each column, 0 where none is known.

    Parameters
    ----------
    columns : ndarray of float64, shape (3, n)

    Returns
    -------
    ndarray of float64, shape (3,)

    Examples
    --------
    >>> medians(np.array([[1.0, np.nan, 3.0]])).tolist()
    [2.0]
    """
    known: list[npt.NDArray[np.float64]] = [each[np.isfinite(each)] for each in columns]
    return np.array([float(np.median(each)) if each.size else 0.0 for each in known])
