"""Whether today's customers still look like those that a model learned from: what is kept of these, and the comparison."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.ml.columns import Floats, Values
from app.stats.estimate import Undetermined
from app.stats.stability import (
    counts_in_cells,
    counts_of_categories,
    population_stability_index,
    quantile_edges,
    verdict,
)

BINS = 10
# Categories beyond these are one cell.
CATEGORIES = 20
ORDER = ("stable", "shifting", "shifted")


def reference_of(values: Values, features: Sequence[str], probabilities: Floats) -> dict[str, Any]:
    """The distribution of each feature and of the scores, in few numbers, for a document."""
    return {
        "features": {name: _cells(values[name]) for name in features},
        "scores": _cells(probabilities),
    }


def _cells(column: Any) -> dict[str, Any]:
    if column.dtype == object:
        common = Counter(each for each in column.tolist() if each is not None).most_common(CATEGORIES)
        categories = sorted(name for name, _ in common)
        return {"categories": categories, "counts": _categories(column, categories)}
    known = column[np.isfinite(column)]
    edges = quantile_edges(known, BINS) if known.size else np.empty(0)
    return {"edges": [float(each) for each in edges], "counts": _numbers(column, edges)}


def _numbers(column: Any, edges: Any) -> list[int]:
    return [int(each) for each in counts_in_cells(column, edges)]


def _categories(column: Any, categories: Sequence[str]) -> list[int]:
    return [int(each) for each in counts_of_categories(column.tolist(), categories)]


def drift_of(reference: Mapping[str, Any], values: Values, probabilities: Floats) -> dict[str, Any]:
    """PSI of each feature, the most shifted first, and of the scores."""
    found = [{"feature": name, **_moved(cells, values[name])} for name, cells in reference["features"].items()]
    found.sort(key=lambda each: -(each["psi"] or 0.0))
    return {"features": found, "scores": _moved(reference["scores"], probabilities)}


def _moved(cells: Mapping[str, Any], column: Any) -> dict[str, Any]:
    now = _categories(column, cells["categories"]) if "categories" in cells else _numbers(column, cells["edges"])
    psi = population_stability_index(cells["counts"], now)
    if isinstance(psi, Undetermined):
        return {"psi": None, "verdict": None, "reason": psi.reason}
    return {"psi": psi, "verdict": verdict(psi)}
