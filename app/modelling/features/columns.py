"""Features of many customers as columns, the form in which methods fit and assign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.features.definitions import BY_NAME, Feature
from app.modelling.features.derived import Derived

Floats = npt.NDArray[np.float64]
# One array per feature, all in one order of customers: floats with NaN where a feature is undefined; for categories
# objects, text or None.
Values = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Who the customers are, and their features, in one order."""

    customer_ids: list[str]
    values: Values

    @classmethod
    def of(cls, columns: Sequence[str | Feature | Derived], rows: Sequence[Sequence[Any]]) -> "FeatureColumns":
        """From rows of an identifier and a value per column; null becomes NaN, or None in a category.

        A column given by name alone is that of the registry.
        """
        ids, *values = zip(*rows, strict=True) if rows else ([], *([] for _ in columns))
        arrays = {
            each if isinstance(each, str) else each.name: np.array(
                value, dtype=object if is_category(each) else np.float64
            )
            for each, value in zip(columns, values, strict=True)
        }
        return cls(list(ids), arrays)


def is_category(column: str | Feature | Derived) -> bool:
    """Whether its values are words rather than numbers."""
    known = BY_NAME.get(column) if isinstance(column, str) else column
    return known is not None and known.dtype == "category"


def joined(parts: Sequence[Values], names: Sequence[str]) -> Values:
    """The customers of several parts, one part after the other."""
    return {name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in names}
