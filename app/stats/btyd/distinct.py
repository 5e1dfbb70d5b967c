"""Equal numbers are worked out once: small codes for the distinct values of a column, without a sort where that can be."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Days are whole, weeks are sevenths, published tables have two decimals.
_GRIDS = (1.0, 7.0, 100.0)
_MAX_CODES = 1 << 20
_ON_GRID = 1e-7


@dataclass(frozen=True, slots=True)
class Codes:
    """The distinct values of a column, ascending, and for each row the place of its value among them."""

    values: Floats
    of: Integers


def coded(column: Floats) -> Codes:
    """Find the distinct values of a column.

    Parameters
    ----------
    column : ndarray of float64, shape (n,)
        Finite, not negative.

    Returns
    -------
    Codes
        `values`, shape (k,), ascending; `of`, int64, shape (n,), with ``values[of]`` equal to `column` (to 1e-7 of a
        grid step where the column lies on a grid of whole numbers, sevenths or hundredths).

    Examples
    --------
    >>> codes = coded(np.array([3.0, 0.0, 3.0]))
    >>> codes.values.tolist(), codes.of.tolist()
    ([0.0, 3.0], [1, 0, 1])
    """
    if column.size:
        top = float(column.max())
        for grid in _GRIDS:
            if top * grid < _MAX_CODES:
                steps = column * grid
                whole = np.rint(steps)
                if np.abs(steps - whole).max() < _ON_GRID:
                    return _on_grid(column, whole.astype(np.int64))
    values, of = np.unique(column, return_inverse=True)
    return Codes(values, of.astype(np.int64, copy=False))


def _on_grid(column: Floats, steps: Integers) -> Codes:
    present = np.zeros(int(steps.max()) + 1, dtype=np.bool_)
    present[steps] = True
    place = np.cumsum(present) - 1
    of = place[steps]
    values = np.empty(int(place[-1]) + 1)
    values[of] = column
    return Codes(values, of)


def totalled(of: Integers, weights: Floats, size: int) -> Floats:
    """Add up weights by place.

    Parameters
    ----------
    of : ndarray of int64, shape (n,)
        Places, in 0..size - 1.
    weights : ndarray of float64, shape (n,)
        What to add.
    size : int
        How many places there are.

    Returns
    -------
    ndarray of float64, shape (size,)
        The sums.

    Examples
    --------
    >>> totalled(np.array([1, 0, 1]), np.array([1.0, 2.0, 3.0]), 3).tolist()
    [2.0, 4.0, 0.0]
    """
    return np.bincount(of, weights, size).astype(np.float64, copy=False)
