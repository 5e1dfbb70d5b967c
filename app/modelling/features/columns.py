"""Features of many customers as columns, the form in which methods fit and assign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# One array per feature, all in one order of customers; NaN where a feature is undefined.
Values = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Who the customers are, and their features, in one order."""

    customer_ids: list[str]
    values: Values

    @classmethod
    def of(cls, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> "FeatureColumns":
        """From rows of an identifier and a value per name; null becomes NaN."""
        ids, *values = zip(*rows, strict=True) if rows else ([], *([] for _ in names))
        columns = (np.array(value, dtype=np.float64) for value in values)
        return cls(list(ids), dict(zip(names, columns, strict=True)))


def joined(parts: Sequence[Values], names: Sequence[str]) -> Values:
    """The customers of several parts, one part after the other."""
    return {name: np.concatenate([np.empty(0), *(part[name] for part in parts)]) for name in names}
