"""A decision tree as arrays: followed by NumPy alone, and read aloud as conditions in the features' own units."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.ml.columns import Floats, Integers
from app.ml.transform import OTHER, Transform

LEAF = -1


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: `above` < feature <= `at_most` (None: open), or the feature is (not) one of levels."""

    feature: str
    above: float | None = None
    at_most: float | None = None
    levels: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    unknown: bool | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes as parallel arrays: at column <= threshold a customer goes left, else right.

    Parameters
    ----------
    column, left, right : ndarray of int64, shape (nodes,)
        Column of the prepared features, and the children's positions; -1 in a leaf.
    threshold : ndarray of float64, shape (nodes,)
        In the feature's unit.
    shares : ndarray of float64, shape (nodes, k)
        Share of each label among the customers a node was grown from, 0..1; each row adds up to 1.

    Examples
    --------
    >>> stump = Tree(np.array([0, -1, -1]), np.array([30.0, 0, 0]), np.array([1, -1, -1]), np.array([2, -1, -1]),
    ...              np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]))
    >>> stump.leaves(np.array([[30.0, 31.0]])).tolist()
    [1, 2]
    """

    column: Integers
    threshold: Floats
    left: Integers
    right: Integers
    shares: Floats

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Tree":
        """From the plain form."""
        return cls(stored["column"], stored["threshold"], stored["left"], stored["right"], stored["shares"])

    def leaves(self, rows: Floats) -> Integers:
        """Give the leaf in which each customer ends.

        Parameters
        ----------
        rows : ndarray of float64, shape (columns, n)
            Prepared features, not scaled.

        Returns
        -------
        ndarray of int64, shape (n,)
            Positions of leaves.
        """
        at = np.zeros(rows.shape[1], dtype=np.int64)
        moving = np.flatnonzero(self.column[at] != LEAF)
        while moving.size:
            node = at[moving]
            goes_left = rows[self.column[node], moving] <= self.threshold[node]
            at[moving] = np.where(goes_left, self.left[node], self.right[node])
            moving = moving[self.column[at[moving]] != LEAF]
        return at

    def paths(self) -> Iterator[tuple[int, list[tuple[int, float, bool]]]]:
        """Each leaf, from left to right, with the way to it: column, threshold, whether it went left."""
        waiting: list[tuple[int, list[tuple[int, float, bool]]]] = [(0, [])]
        while waiting:
            node, way = waiting.pop()
            column = int(self.column[node])
            if column == LEAF:
                yield node, way
                continue
            threshold = float(self.threshold[node])
            waiting.append((int(self.right[node]), [*way, (column, threshold, False)]))
            waiting.append((int(self.left[node]), [*way, (column, threshold, True)]))


def conditions(way: list[tuple[int, float, bool]], transform: Transform) -> list[Condition]:
    """Put a way through a tree into as few conditions as say the same.

    Parameters
    ----------
    way : list of (column, threshold, went left)
        From `Tree.paths`.
    transform : Transform
        What the columns are.

    Returns
    -------
    list of Condition
        In the order in which the features first decide.

    Examples
    --------
    >>> stored = {"numbers": ["age"], "logged": 0, "fill": np.zeros(1), "low": np.zeros(1), "high": np.ones(1) * 99,
    ...           "indicators": [], "categories": [], "centre": np.zeros(1), "scale": np.ones(1)}
    >>> found = conditions([(0, 60.0, True), (0, 18.0, False), (0, 40.0, True)], Transform.of(stored))
    >>> [(each.feature, each.above, each.at_most) for each in found]
    [('age', 18.0, 40.0)]
    """
    above: dict[str, float] = {}
    at_most: dict[str, float] = {}
    levels: dict[str, list[str]] = {}
    excluded: dict[str, list[str]] = {}
    unknown: dict[str, bool] = {}
    order: dict[str, None] = {}
    meaning = _meanings(transform)
    for column, threshold, left in way:
        feature, level = meaning[column]
        order[feature] = None
        if level is None and left:
            at_most[feature] = min(threshold, at_most.get(feature, threshold))
        elif level is None:
            above[feature] = max(threshold, above.get(feature, threshold))
        elif level == "":
            unknown[feature] = not left
        else:
            (excluded if left else levels).setdefault(feature, []).append(level)
    return [
        Condition(
            feature,
            above.get(feature),
            at_most.get(feature),
            tuple(levels.get(feature, ())),
            tuple(excluded.get(feature, ())) if feature not in levels else (),
            unknown.get(feature),
        )
        for feature in order
    ]


def _meanings(transform: Transform) -> list[tuple[str, str | None]]:
    # The level is None for a number, empty for the column that tells whether a number is unknown.
    numbers: list[tuple[str, str | None]] = [(name, None) for name in transform.numbers]
    unknown: list[tuple[str, str | None]] = [(transform.numbers[each], "") for each in transform.indicators]
    return numbers + unknown + [(each.name, level) for each in transform.categories for level in each.levels]


def spoken(condition: Condition) -> str:
    """Put a condition into words.

    Parameters
    ----------
    condition : Condition
        From `conditions`.

    Returns
    -------
    str
        In the unit of the feature.

    Examples
    --------
    >>> spoken(Condition("age", above=18.0, at_most=40.0))
    'age over 18 and at most 40'
    >>> spoken(Condition("attributes.country", levels=("FR",)))
    'attributes.country is FR'
    """
    bounds = []
    if condition.above is not None:
        bounds.append(f"over {condition.above:.12g}")
    if condition.at_most is not None:
        bounds.append(f"at most {condition.at_most:.12g}")
    if condition.levels:
        bounds.append("is " + " or ".join(map(_level, condition.levels)))
    if condition.excluded:
        bounds.append("is not " + " or ".join(map(_level, condition.excluded)))
    if condition.unknown is not None:
        bounds.append("is unknown" if condition.unknown else "is known")
    return f"{condition.feature} {' and '.join(bounds)}"


def _level(level: str) -> str:
    return "any other" if level == OTHER else level
