"""Sums of decision trees as arrays: all comparisons at once, then a few bits say in which leaf of each tree one ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.classification.lookup import Tables
from app.ml.classification.paths import Paths, ways
from app.ml.classification.rows import Rows
from app.ml.classification.shapley import Attribution
from app.ml.columns import Floats, Integers, Values

Flags = npt.NDArray[np.bool_]
LEAF = -1
# Rows of one block: what is compared for them stays in the cache of a core.
BLOCK = 512
FEW = 64
FEW_LEAVES = 2**8
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)


@dataclass(frozen=True, slots=True)
class Tests:
    """The distinct questions that trees ask: is the column above the threshold, and where do the unknown belong?"""

    column: Integers
    threshold: Floats
    unknown_goes_right: Flags

    def above(self, rows: Floats) -> Flags:
        """Answers, shape (tests, n), for rows of shape (columns, n)."""
        asked = rows[self.column]
        found = asked > self.threshold[:, np.newaxis]
        unknown = np.isnan(rows)
        if unknown.any():
            found |= unknown[self.column] & self.unknown_goes_right[:, np.newaxis]
        return found


@dataclass(frozen=True, slots=True)
class Descent:
    """Trees as nodes.

    Parameters
    ----------
    roots : ndarray of int64, shape (trees,)
        Of the trees that ask anything.
    test_of : ndarray of int64, shape (nodes,)
        What a node asks; anything in a leaf.
    child : ndarray of int64, shape (2 * nodes,)
        Where the answers "left" and "right" lead from each node; from a leaf to itself.
    value : ndarray of float64, shape (nodes,)
        What a leaf adds to the score.
    steps : int
        How many answers lead to a leaf whatever they are.
    """

    roots: Integers
    test_of: Integers
    child: Integers
    value: Floats
    steps: int

    @classmethod
    def of(cls, parts: Mapping[str, Any], test_of: Integers, steps: int) -> "Descent":
        """From the plain form."""
        itself = np.arange(parts["column"].size)
        both = np.stack([np.where(parts[side] == LEAF, itself, parts[side]) for side in ("left", "right")], axis=1)
        roots = np.asarray(parts["roots"])
        roots = roots[parts["left"][roots] != LEAF]
        return cls(roots, test_of, both.ravel(), np.asarray(parts["value"]), steps)

    def score(self, above: Flags) -> Floats:
        """The sum over all trees from the answers, shape (tests, n)."""
        n = above.shape[1]
        answers = above.view(np.uint8).ravel()
        node = np.repeat(self.roots[:, np.newaxis], n, axis=1)
        for _ in range(self.steps):
            asked = self.test_of.take(node)
            asked *= n
            asked += np.arange(n)
            node *= 2
            node += answers.take(asked)
            node = self.child.take(node)
        return np.asarray(self.value.take(node).sum(axis=0), dtype=np.float64)


@dataclass(frozen=True)
class Ensemble:
    """A sum of trees.

    Each answer "right" rules out the leaves on the left of its node; of the leaves that remain in a tree the leftmost
    is the one a customer ends in (Lucchese et al. 2015). Many customers go down large trees step by step instead:
    there most nodes are never met.

    Parameters
    ----------
    rows : Rows
        Reads the columns.
    tests : Tests
        What is asked.
    test_of : ndarray of int64, shape (nodes,)
        The test of each inner node, nodes of a tree one after another.
    ruled_out : ndarray of uint8 or uint64, shape (nodes,)
        Bits of the leaves on the left of each node.
    descent : Descent
        The same trees as nodes.
    first_node, first_leaf : ndarray of int64, shape (trees,)
        Where each tree begins.
    leaves : ndarray of float64
        What each leaf adds to the score.
    bias : float
        What the score is without any tree.
    background : ndarray of float64, shape (columns, m)
        Customers against whom contributions are measured.
    paths : Paths
        What must hold to end in each leaf.

    References
    ----------
    Lucchese, C., Nardini, F. M., Orlando, S., Perego, R., Tonellotto, N. and Venturini, R. (2015). QuickScorer: a fast
    algorithm to rank documents with additive ensembles of regression trees. SIGIR, 73-82.
    """

    rows: Rows
    tests: Tests
    test_of: Integers
    ruled_out: npt.NDArray[np.uint8] | npt.NDArray[np.uint64]
    descent: Descent
    first_node: Integers
    first_leaf: Integers
    leaves: Floats
    bias: float
    background: Floats
    paths: Paths

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "Ensemble":
        """From the plain form."""
        inner = np.flatnonzero(parts["column"] != LEAF)
        asked = np.stack(
            [parts["column"][inner], parts["threshold"][inner], ~parts["unknown_left"][inner].astype(np.bool_)]
        )
        distinct, of_inner = np.unique(asked, axis=1, return_inverse=True)
        tests = Tests(distinct[0].astype(np.int64), distinct[1], distinct[2] > 0)
        test_of = np.zeros(parts["column"].size, dtype=np.int64)
        test_of[inner] = of_inner.ravel()
        found = ways(parts["left"], parts["right"], parts["roots"], test_of)
        rows = Rows.of(parts["preparation"])
        small = max(found.ruled_out.tolist(), default=0) < FEW_LEAVES
        return cls(
            rows,
            tests,
            test_of[found.inner],
            found.ruled_out.astype(np.uint8) if small else found.ruled_out,
            Descent.of(parts, test_of, max(map(len, found.conditions), default=0)),
            found.first_node,
            found.first_leaf,
            np.asarray(parts["value"], dtype=np.float64)[found.leaves],
            # A tree without a question adds the same for everybody.
            float(parts["bias"]) + float(np.asarray(parts["value"])[found.stumps].sum()),
            np.asarray(parts["background"], dtype=np.float64),
            Paths.of(found, tests.column, rows.owners),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        return self.rows.names

    @property
    def owners(self) -> Integers:
        """The feature behind each column."""
        return self.rows.owners

    def read(self, values: Values, start: int, stop: int) -> Floats:
        """Columns of a range of customers, numbers in their own unit, the unknown NaN."""
        return self.rows.as_they_are(values, start, stop)

    def score(self, columns: Floats) -> Floats:
        """The sum over all trees, shape (n,)."""
        found = np.empty(columns.shape[1])
        for first in range(0, found.size, BLOCK):
            found[first : first + BLOCK] = self._score(columns[:, first : first + BLOCK])
        return found

    def _score(self, rows: Floats) -> Floats:
        if not self.first_node.size:
            return np.full(rows.shape[1], self.bias)
        above = self.tests.above(rows)
        if self.ruled_out.dtype != np.uint8 and rows.shape[1] > FEW:
            found = self.descent.score(above)
        else:
            # A product with 0 or 1 is quicker than a choice.
            gone = above.view(np.uint8)[self.test_of] * self.ruled_out[:, np.newaxis]
            left = ~np.bitwise_or.reduceat(gone, self.first_node, axis=0)
            found = self.leaves[lowest_bit(left.astype(np.uint64)) + self.first_leaf[:, np.newaxis]].sum(axis=0)
        found += self.bias
        return found

    @cached_property
    def attribution(self) -> Attribution:
        """What contributions are looked up in; made when first asked for."""
        return Attribution.of(self.paths, self.leaves, self.tests.above(self.background))

    @cached_property
    def tables(self) -> Tables | None:
        """The same by tree, where trees are small; made when first asked for."""
        return Tables.of(self.attribution, self.first_leaf)

    def parts(self, columns: Floats) -> tuple[Floats, float]:
        """By how much each feature moves the score from the mean of the background, and that mean."""
        found = np.zeros((columns.shape[1], len(self.names)))
        if not self.first_node.size:
            return found, self.bias
        for first in range(0, columns.shape[1], FEW):
            above = self.tests.above(columns[:, first : first + FEW])
            found[first : first + FEW] = (self.tables or self.attribution).parts(above, len(self.names)).T
        return found, self.bias + self.attribution.base


def lowest_bit(bits: npt.NDArray[np.uint64]) -> Integers:
    """Give the position of the lowest bit that is set.

    Parameters
    ----------
    bits : ndarray of uint64
        None of them 0.

    Returns
    -------
    ndarray of int64, of the same shape
        In 0..63.

    References
    ----------
    Leiserson, C. E., Prokop, H. and Randall, K. H. (1998). Using de Bruijn sequences to index a 1 in a computer word.

    Examples
    --------
    >>> lowest_bit(np.array([1, 12, 2**63], dtype=np.uint64)).tolist()
    [0, 2, 63]
    """
    alone = bits & (~bits + np.uint64(1))
    return np.asarray(_POSITIONS[(alone * DE_BRUIJN) >> np.uint64(58)], dtype=np.int64)


def _positions() -> Integers:
    found = np.zeros(64, dtype=np.int64)
    for position in range(64):
        found[((1 << position) * int(DE_BRUIJN) % 2**64) >> 58] = position
    return found


_POSITIONS = _positions()
