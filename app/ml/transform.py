"""From features to the space in which segments are compared, by what was learned: NumPy only, one row or a million."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.columns import Floats, Integers, Values, customers_in

# Rows of one block: a few columns of it stay in the cache of a core, whatever the number of customers.
BLOCK = 8_192
MISSING = "(missing)"
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Category:
    """A feature of levels: the code of each level it knows, of the missing and of all others."""

    name: str
    levels: tuple[str, ...]
    codes: Mapping[str | None, int]
    other: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Category":
        """From the plain form."""
        levels = tuple(stored["levels"])
        codes: dict[str | None, int] = {level: code for code, level in enumerate(levels)}
        if stored["missing"]:
            codes[None] = len(levels)
            levels += (MISSING,)
        return cls(stored["name"], (*levels, OTHER), codes, len(levels))

    def encode(self, column: npt.NDArray[Any]) -> Integers:
        """The code of each value; what was never seen is `other`."""
        found = map(self.codes.get, column.tolist(), repeat(self.other))
        return np.fromiter(found, dtype=np.int64, count=column.size)


@dataclass(frozen=True, slots=True)
class Transform:
    """A learned preparation, ready for use: (x - centre) / scale of filled, winsorised, logged and encoded features.

    Parameters
    ----------
    numbers : tuple of str
        Numeric features, the `logged` ones first.
    logged : int
        How many of them go through sign(x) log(1 + |x|).
    fill, low, high : ndarray of float64, shape (numbers, 1)
        Stand-in for the unknown, and the bounds beyond which values count as the bound. In the feature's unit.
    indicators : tuple of int
        Positions in `numbers` of the features for which being unknown is a column of its own.
    categories : tuple of Category
        Encoded one column per level.
    centre, scale : ndarray of float64, shape (columns, 1)
        Columns are numbers, indicators, then the levels of each category.

    Examples
    --------
    >>> stored = {"numbers": ["total_spend"], "logged": 1, "fill": np.zeros(1), "low": np.zeros(1),
    ...           "high": np.array([1e6]), "indicators": [], "categories": [], "centre": np.zeros(1), "scale": np.ones(1)}
    >>> Transform.of(stored).points({"total_spend": np.array([0.0, np.e - 1, np.nan])}).tolist()
    [[0.0], [1.0], [0.0]]
    """

    numbers: tuple[str, ...]
    logged: int
    fill: Floats
    low: Floats
    high: Floats
    indicators: tuple[int, ...]
    categories: tuple[Category, ...]
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Transform":
        """From the plain form that `preparation.learn` gives."""
        fill, low, high, centre, scale = (
            np.asarray(stored[name], dtype=np.float64)[:, np.newaxis]
            for name in ("fill", "low", "high", "centre", "scale")
        )
        numbers = tuple(stored["numbers"])
        return cls(
            numbers,
            stored["logged"],
            fill,
            low,
            high,
            tuple(numbers.index(name) for name in stored["indicators"]),
            tuple(Category.of(each) for each in stored["categories"]),
            centre,
            scale,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        if not self.categories:
            return self.numbers
        return self.numbers + tuple(category.name for category in self.categories)

    @property
    def owners(self) -> tuple[str, ...]:
        """The feature behind each column."""
        levels = tuple(category.name for category in self.categories for _ in category.levels)
        return self.numbers + tuple(self.numbers[each] for each in self.indicators) + levels

    def columns(self, values: Values, start: int, stop: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Give filled, winsorised, logged and encoded features, not yet scaled, and about whom anything is known.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The features; NaN, infinities and None are unknown.
        start, stop : int
            The range of customers, 0 <= start <= stop <= n.

        Returns
        -------
        columns : ndarray of float64, shape (columns, stop - start)
        known : ndarray of bool, shape (stop - start,)
            False where every feature is unknown.
        """
        size = stop - start
        rows = np.empty((self.centre.shape[0], size))
        count = len(self.numbers)
        numeric = rows[:count]
        for at, name in enumerate(self.numbers):
            numeric[at] = values[name][start:stop]
        finite = np.isfinite(numeric)
        known = np.logical_or.reduce(finite, axis=0)
        for at, feature in enumerate(self.indicators, start=count):
            np.logical_not(finite[feature], out=rows[at], casting="unsafe")
        self._tame(numeric, finite)
        at = count + len(self.indicators)
        for category in self.categories:
            column = values[category.name][start:stop]
            codes = category.encode(column)
            known |= np.fromiter((value is not None for value in column.tolist()), dtype=np.bool_, count=size)
            for level in range(len(category.levels)):
                np.equal(codes, level, out=rows[at], casting="unsafe")
                at += 1
        return rows, known

    def _tame(self, numeric: Floats, finite: npt.NDArray[np.bool_]) -> None:
        if not np.logical_and.reduce(finite, axis=None):
            np.copyto(numeric, self.fill, where=~finite)
        np.maximum(numeric, self.low, out=numeric)
        np.minimum(numeric, self.high, out=numeric)
        if self.logged:
            part = numeric[: self.logged]
            size = np.abs(part)
            size += 1.0
            np.log(size, out=size)
            np.copysign(size, part, out=part)

    def points(self, values: Values) -> Floats:
        """Give every customer's place in the space of the model.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The features; NaN, infinities and None are unknown.

        Returns
        -------
        ndarray of float64, shape (n, columns)
            Finite, without unit: one is about one standard deviation of a feature.

        Raises
        ------
        InvalidInput
            If a feature is missing or of another length.
        """
        n = customers_in(values, self.names)
        points = np.empty((n, self.centre.shape[0]))
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            rows, _ = self.columns(values, start, stop)
            rows -= self.centre
            rows /= self.scale
            points[start:stop] = rows.T
        return points
