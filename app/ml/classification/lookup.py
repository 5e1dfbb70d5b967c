"""Contributions of shallow trees from one table per tree: what a customer answers there is one of a few numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.ml.classification.shapley import Attribution
from app.ml.columns import Floats, Integers

Flags = npt.NDArray[np.bool_]
# A tree that asks t things can be answered in 2**t ways: beyond this its leaves are looked up one by one.
MOST_TESTS_OF_A_TREE = 8


@dataclass(frozen=True, slots=True)
class Tables:
    """What each tree adds to the contribution of each feature it asks for, by the answers it gets.

    The leaves of a tree are worked out together, once for every way its tests can be answered: one look-up a tree and
    feature then takes the place of one a leaf and feature.

    Parameters
    ----------
    test : ndarray of int64, shape (most tests of a tree, trees)
        What each tree asks; those that ask less repeat their first question.
    worth : ndarray of uint8, shape (most tests of a tree, trees, 1)
        1, 2, 4, ...; 0 for questions that are repeated. The sum over the answers "right" is the code of a tree.
    tree : ndarray of int64, shape (pairs,)
        The tree of each pair of tree and feature, pairs in order of the features.
    at : ndarray of int64, shape (pairs, 1)
        Where in `table` the pair begins.
    table : ndarray of float64
        By pair and code.
    feature, first : ndarray of int64
        The features that are asked for, and where their pairs begin.
    """

    test: Integers
    worth: npt.NDArray[np.uint8]
    tree: Integers
    at: Integers
    table: Floats
    feature: Integers
    first: Integers

    @classmethod
    def of(cls, leaves: Attribution, first_leaf: Integers) -> "Tables | None":
        """From the contributions of leaves and where each tree begins among them; None: a tree asks too much."""
        paths, trees = leaves.paths, first_leaf.size
        leaf_of_condition = leaves.leaf[_spread(paths.first_condition, paths.test.size)]
        tree_of_condition = np.searchsorted(first_leaf, leaf_of_condition, side="right") - 1
        span = int(paths.test.max()) + 1
        asked, place = np.unique(tree_of_condition * span + paths.test, return_inverse=True)
        count = np.bincount(asked // span, minlength=trees)
        most = int(count.max())
        if most > MOST_TESTS_OF_A_TREE:
            return None
        rank = np.arange(asked.size) - (np.cumsum(count) - count)[asked // span]
        codes = np.arange(1 << most)
        # As if each tree were asked its own questions, of all who could answer.
        answers = (codes >> rank[:, np.newaxis]) & 1 > 0
        gained = leaves.gained(answers, place)
        tree_of_pair = np.searchsorted(first_leaf, leaves.leaf, side="right") - 1
        pair, of_group = np.unique(paths.owner * trees + tree_of_pair, return_inverse=True)
        table = np.zeros((pair.size, codes.size))
        np.add.at(table, of_group, gained)
        test = np.repeat(asked[np.cumsum(count) - count][np.newaxis] % span, most, axis=0)
        worth = np.zeros((most, trees), dtype=np.uint8)
        test[rank, asked // span] = asked % span
        worth[rank, asked // span] = 1 << rank
        feature, first = np.unique(pair // trees, return_index=True)
        at = np.arange(pair.size)[:, np.newaxis] * codes.size
        return cls(test, worth[:, :, np.newaxis], pair % trees, at, table.ravel(), feature, first)

    def parts(self, above: Flags, features: int) -> Floats:
        """Contributions of each feature, shape (features, n), from the answers of customers, shape (tests, n)."""
        codes = (above.view(np.uint8)[self.test] * self.worth).sum(axis=0, dtype=np.int64)
        found = np.zeros((features, above.shape[1]))
        found[self.feature] = np.add.reduceat(self.table.take(codes[self.tree] + self.at), self.first, axis=0)
        return found


def _spread(first: Integers, size: int) -> Integers:
    """The part each of `size` places belongs to, where parts begin at `first`."""
    return np.repeat(np.arange(first.size), np.diff(first, append=size))
