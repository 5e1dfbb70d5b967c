"""What a buy-till-you-die model knows of customers: how often, how late and for how long, equal histories counted once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from app.stats.btyd.distinct import coded
from app.stats.estimate import StatsError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LARGEST_KEY = 2**62


@dataclass(frozen=True, slots=True)
class Histories:
    """Distinct purchase histories with how many customers have each; one unit of time throughout.

    Parameters
    ----------
    x : ndarray of float64, shape (m,)
        Repeat purchases in (0, T]: whole numbers, at least 0. The first purchase is time 0 and not counted.
    t_x : ndarray of float64, shape (m,)
        Age at the last purchase, in [0, T]; 0 exactly where x = 0.
    T : ndarray of float64, shape (m,)
        Age at the end of observation, at least 0.
    weights : ndarray of float64, shape (m,)
        How many customers have this history, positive.

    Examples
    --------
    >>> histories = Histories.of([2, 0, 2], [30.43, 0.0, 30.43], [38.86, 38.86, 38.86])
    >>> histories.x.tolist(), histories.weights.tolist(), histories.customers
    ([0.0, 2.0], [1.0, 2.0], 3)
    """

    x: Floats
    t_x: Floats
    T: Floats
    weights: Floats

    @property
    def customers(self) -> int:
        """The number of customers, all histories together."""
        return round(float(self.weights.sum()))

    @classmethod
    def of(cls, x: npt.ArrayLike, t_x: npt.ArrayLike, T: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Self:
        """Check histories and merge equal ones.

        Parameters
        ----------
        x, t_x, T : array_like, shape (n,)
            As in the class, one customer (or `weights` customers) each, in any order.
        weights : array_like, shape (n,), optional
            Customers per row, at least 0; rows of 0 are left out. One each when not given.

        Returns
        -------
        Histories
            Ordered by x, t_x, T.

        Raises
        ------
        StatsError
            Naming what is wrong and with the first row that has it: not finite, negative, x not whole, t_x > T,
            x = 0 with t_x > 0 or x > 0 with t_x = 0.
        """
        columns = [np.asarray(column, dtype=np.float64) for column in (x, t_x, T)]
        if weights is not None:
            columns.append(np.asarray(weights, dtype=np.float64))
        _check(*columns)
        return cls(*_merged(*columns))


def _check(x: Floats, t_x: Floats, T: Floats, weights: Floats | None = None) -> None:
    columns = {"x": x, "t_x": t_x, "T": T} | ({} if weights is None else {"weights": weights})
    if x.ndim != 1 or len({column.shape for column in columns.values()}) != 1:
        raise StatsError(f"{', '.join(columns)} are columns of one length")
    for name, column in columns.items():
        _refuse(~np.isfinite(column), lambda row, name=name: f"{name} is not finite in row {row}")  # type: ignore[misc]  # mypy cannot type a default
        _refuse(column < 0, lambda row, name=name, column=column: f"{name} is negative ({column[row]:g}) in row {row}")  # type: ignore[misc]
    _refuse(x != np.floor(x), lambda row: f"x counts purchases, but is {x[row]:g} in row {row}")
    _refuse(t_x > T, lambda row: f"t_x {t_x[row]:g} lies after T {T[row]:g} in row {row}")
    _refuse((x == 0) & (t_x > 0), lambda row: f"x = 0 but t_x = {t_x[row]:g} in row {row}: no repeat purchase, no age")
    _refuse((x > 0) & (t_x == 0), lambda row: f"x = {x[row]:g} but t_x = 0 in row {row}: purchases at time 0 are one")


def _refuse(wrong: npt.NDArray[np.bool_], why: Callable[[int], str]) -> None:
    if wrong.any():
        raise StatsError(why(int(wrong.argmax())))


def _merged(x: Floats, t_x: Floats, T: Floats, weights: Floats | None = None) -> tuple[Floats, Floats, Floats, Floats]:
    if weights is not None and not weights.all():
        kept = weights > 0
        x, t_x, T, weights = x[kept], t_x[kept], T[kept], weights[kept]
    if not x.size:
        return x, t_x, T, np.ones(0)
    of_x, of_t, of_T = coded(x), coded(t_x), coded(T)
    n_t, n_T = of_t.values.size, of_T.values.size
    if of_x.values.size * n_t * n_T > _LARGEST_KEY:
        # More distinct times than any calendar has: nothing would merge.
        return x, t_x, T, np.ones(x.size) if weights is None else weights
    keys = (of_x.of * n_t + of_t.of) * n_T + of_T.of
    if weights is None:
        keys.sort()
        starts = _run_starts(keys)
        counts = np.diff(np.append(starts, keys.size)).astype(np.float64)
    else:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = _run_starts(keys)
        counts = np.add.reduceat(weights[order], starts)
    rest, c_T = np.divmod(keys[starts], n_T)
    c_x, c_t = np.divmod(rest, n_t)
    return of_x.values[c_x], of_t.values[c_t], of_T.values[c_T], counts


def _run_starts(ordered: Integers) -> Integers:
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
