"""A logistic model made ready: one dot product on prepared columns, whose terms are its own explanation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.ml.classification.rows import Rows
from app.ml.columns import Floats, Integers, Values


@dataclass(frozen=True, slots=True)
class Linear:
    r"""Log odds :math:`b + \sum_j w_j x_j` of the prepared columns, the scaling folded into the weights.

    Parameters
    ----------
    rows : Rows
        Reads the columns.
    weights : ndarray of float64, shape (columns,)
        Per unit of the unscaled column.
    bias : float
    middle : ndarray of float64, shape (columns,)
        Mean of each column among those learned from: where contributions are 0.
    """

    rows: Rows
    weights: Floats
    bias: float
    middle: Floats

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "Linear":
        """From the plain form."""
        rows = Rows.of(parts["preparation"])
        weights = np.asarray(parts["weights"], dtype=np.float64) / rows.transform.scale[:, 0]
        bias = float(parts["bias"]) - float(weights @ rows.transform.centre[:, 0])
        return cls(rows, weights, bias, np.asarray(parts["middle"], dtype=np.float64))

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        return self.rows.names

    @property
    def owners(self) -> Integers:
        """The feature behind each column."""
        return self.rows.owners

    def read(self, values: Values, start: int, stop: int) -> Floats:
        """Prepared columns of a range of customers, not scaled."""
        return self.rows.filled(values, start, stop)

    def score(self, columns: Floats) -> Floats:
        """Log odds before calibration, shape (n,)."""
        found: Floats = self.weights @ columns
        found += self.bias
        return found

    def parts(self, columns: Floats) -> tuple[Floats, float]:
        """By how much each feature moves the score from the mean, shape (n, features), and the mean."""
        moved = columns - self.middle[:, np.newaxis]
        moved *= self.weights[:, np.newaxis]
        found = np.zeros((len(self.names), columns.shape[1]))
        for owner, column in zip(self.rows.owners.tolist(), moved, strict=True):
            found[owner] += column
        return found.T, float(self.weights @ self.middle) + self.bias
