"""Reads customers into the columns of a preparation: blocks as everywhere, one customer alone without any of the loops."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.ml.columns import Floats, Integers, Values
from app.ml.transform import Transform


@dataclass(frozen=True, slots=True)
class Rows:
    """A preparation ready to be read by.

    Parameters
    ----------
    transform : Transform
        What the columns are.
    starts : tuple of int
        The first column of each category.
    owners : ndarray of int64, shape (columns,)
        Position of the feature behind each column in `names`.
    """

    transform: Transform
    starts: tuple[int, ...]
    owners: Integers

    @classmethod
    def of(cls, preparation: Mapping[str, Any]) -> "Rows":
        """From the plain form that `preparation.learn` gives."""
        transform = Transform.of(preparation)
        at, starts = len(transform.numbers) + len(transform.indicators), []
        for category in transform.categories:
            starts.append(at)
            at += len(category.levels)
        names = transform.names
        return cls(transform, tuple(starts), np.array([names.index(each) for each in transform.owners], dtype=np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        return self.transform.names

    def filled(self, values: Values, start: int, stop: int) -> Floats:
        """Give the columns of a range of customers as `Transform.columns` does, not scaled.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The features.
        start, stop : int
            The range, 0 <= start <= stop <= n.

        Returns
        -------
        ndarray of float64, shape (columns, stop - start)
        """
        if stop - start != 1:
            return self.transform.columns(values, start, stop)[0]
        transform = self.transform
        count = len(transform.numbers)
        row = self._one(values, start)
        finite = np.isfinite(row[:count])
        for at, feature in enumerate(transform.indicators, start=count):
            row[at] = not finite[feature]
        numeric = row[:count, np.newaxis]
        if not finite.all():
            np.copyto(numeric, transform.fill, where=~finite[:, np.newaxis])
        np.minimum(np.maximum(numeric, transform.low, out=numeric), transform.high, out=numeric)
        if transform.logged:
            part = numeric[: transform.logged]
            np.copyto(part, np.copysign(np.log(np.abs(part) + 1.0), part))
        return row[:, np.newaxis]

    def as_they_are(self, values: Values, start: int, stop: int) -> Floats:
        """Give the columns with numbers in their own unit, unknown ones as NaN: what trees read.

        Parameters
        ----------
        values, start, stop
            As for `filled`.

        Returns
        -------
        ndarray of float64, shape (columns, stop - start)
            Rounded to single precision, in which trees were grown.
        """
        if stop - start == 1:
            rows = self._one(values, start)[:, np.newaxis]
        else:
            rows = self.transform.columns(values, start, stop)[0]
            for at, name in enumerate(self.transform.numbers):
                rows[at] = values[name][start:stop]
        count = len(self.transform.numbers)
        numeric = rows[:count]
        finite = np.isfinite(numeric)
        if not finite.all():
            numeric[~finite] = np.nan
        np.minimum(np.maximum(numeric, self.transform.low, out=numeric), self.transform.high, out=numeric)
        return rows.astype(np.float32).astype(np.float64)

    def _one(self, values: Values, at: int) -> Floats:
        """Numbers as they come and the levels of one customer."""
        transform = self.transform
        row = np.zeros(transform.centre.shape[0])
        row[: len(transform.numbers)] = [values[name][at] for name in transform.numbers]
        for category, start in zip(transform.categories, self.starts, strict=True):
            row[start + category.codes.get(values[category.name][at], category.other)] = 1.0
        return row
