"""Exact Shapley values of sums of trees against a background of customers, worked out beforehand and looked up."""

import functools
from dataclasses import dataclass, replace
from math import factorial

import numpy as np
import numpy.typing as npt

from app.ml.classification.paths import Paths
from app.ml.columns import Floats, Integers

# A leaf that asks for d features has 2**d ways to be half reached: beyond this the tables grow without use.
MOST_FEATURES_OF_A_LEAF = 8


@dataclass(frozen=True, slots=True)
class Attribution:
    r"""Contributions by lookup.

    A leaf is reached by a customer x with the values of coalition S, the rest from a background customer z, exactly
    if every feature on its way is in S where only x fulfils it, not in S where only z does, and never fulfilled by
    neither. With a features of the first kind and b of the second, each of the first gains
    :math:`v (a - 1)! b! / (a + b)!` and each of the second loses :math:`v a! (b - 1)! / (a + b)!`. Only which
    features x fulfils matters, and that takes few values for a leaf: the mean over all z is worked out for each.

    Parameters
    ----------
    paths : Paths
        What must hold to end in each leaf.
    bit : ndarray of int64, shape (groups,)
        1, 2, 4, ...: the place of each pair of leaf and feature in the code of its leaf.
    leaf : ndarray of int64, shape (groups,)
        The leaf of each pair.
    at : ndarray of int64, shape (groups,)
        Where in `table` the values of the pair for code 0 stand.
    width : ndarray of int64, shape (leaves,)
        Features of each leaf: how far in `table` the next code is.
    table : ndarray of float64
        By leaf, code and feature.
    base : float
        Mean of the sum over the background.

    References
    ----------
    Lundberg, S. M. et al. (2020). From local explanations to global understanding with explainable AI for trees.
    Nature Machine Intelligence 2, 56-67 (interventional values).
    Laberge, G. and Pequignot, Y. (2022). Understanding interventional TreeSHAP: how and why it works.
    arXiv:2209.15123, corollary 6.
    """

    paths: Paths
    bit: Integers
    leaf: Integers
    at: Integers
    width: Integers
    table: Floats
    base: float

    @classmethod
    def of(cls, paths: Paths, leaves: Floats, above: npt.NDArray[np.bool_]) -> "Attribution":
        """From the leaves' values and the answers of the background, shape (tests, m)."""
        width = np.diff(paths.first_group, append=paths.owner.size)
        leaf = np.repeat(np.arange(width.size), width)
        place = np.arange(paths.owner.size) - paths.first_group[leaf]
        bit = np.left_shift(1, place)
        codes = _codes(paths, bit, above)
        sizes = np.left_shift(1, width) * width
        begins = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        table = np.empty(int(sizes.sum()))
        base = 0.0
        for features in np.unique(width).tolist():
            chosen = np.flatnonzero(width == features)
            counts = _counted(codes[chosen], features)
            weights = _weights(features).reshape(1 << features, -1)
            # weights are by (code of z, code of x and feature).
            found = (counts @ weights) * leaves[chosen, np.newaxis]
            table[begins[chosen, np.newaxis] + np.arange(found.shape[1])] = found
            base += float(counts[:, -1] @ leaves[chosen])
        return cls(paths, bit, leaf, begins[leaf] + place, width, table, base)

    def parts(self, above: npt.NDArray[np.bool_], features: int) -> Floats:
        """Contributions of each feature, shape (features, n), from the answers of customers, shape (tests, n)."""
        codes = _codes(self.paths, self.bit, above)
        codes *= self.width[:, np.newaxis]
        if above.shape[1] == 1:
            gained = self.table[codes[self.leaf, 0] + self.at]
            summed = np.bincount(self.paths.owner, weights=gained, minlength=features)
            return np.asarray(summed[:, np.newaxis], dtype=np.float64)
        order = np.argsort(self.paths.owner, kind="stable")
        places = codes[self.leaf[order]]
        places += self.at[order, np.newaxis]
        first = np.flatnonzero(np.diff(self.paths.owner[order], prepend=-1))
        found = np.zeros((features, above.shape[1]))
        found[self.paths.owner[order][first]] = np.add.reduceat(self.table.take(places), first, axis=0)
        return found

    def gained(self, answers: npt.NDArray[np.bool_], asked: Integers) -> Floats:
        """What each pair of leaf and feature adds, shape (groups, n), where condition i has the answer `asked[i]`."""
        codes = _codes(replace(self.paths, test=asked), self.bit, answers)
        codes *= self.width[:, np.newaxis]
        return self.table.take(codes[self.leaf] + self.at[:, np.newaxis])


def _codes(paths: Paths, bit: Integers, above: npt.NDArray[np.bool_]) -> Integers:
    """Which features of each leaf's way customers fulfil, as bits; shape (leaves, n)."""
    if above.shape[1] == 1:
        holds = above[paths.test, 0] == paths.right
        fulfilled = np.logical_and.reduceat(holds, paths.first_condition)
        return np.add.reduceat(fulfilled * bit, paths.first_group)[:, np.newaxis]
    # Few conditions concern the same feature, and few features a leaf: by rank, not by leaf, the loops are short.
    asked = np.diff(paths.first_condition, append=paths.test.size)
    fulfilled = above[paths.test[paths.first_condition]] == paths.right[paths.first_condition, np.newaxis]
    for rank in range(1, int(asked.max())):
        more = np.flatnonzero(asked > rank)
        condition = paths.first_condition[more] + rank
        fulfilled[more] &= above[paths.test[condition]] == paths.right[condition, np.newaxis]
    width = np.diff(paths.first_group, append=paths.owner.size)
    found = np.zeros((width.size, above.shape[1]), dtype=np.int64)
    for rank in range(int(width.max())):
        more = np.flatnonzero(width > rank)
        found[more] += fulfilled[paths.first_group[more] + rank].astype(np.int64) << rank
    return found


def _counted(codes: Integers, features: int) -> Floats:
    """The share of the background with each code, shape (leaves, codes)."""
    size, leaves = 1 << features, codes.shape[0]
    flat = codes + size * np.arange(leaves)[:, np.newaxis]
    counts = np.bincount(flat.ravel(), minlength=size * leaves).reshape(leaves, size)
    return np.asarray(counts / codes.shape[1], dtype=np.float64)


@functools.cache
def _weights(features: int) -> Floats:
    """What a leaf of value 1 gives each feature, shape (codes of z, codes of x, features)."""
    if features > MOST_FEATURES_OF_A_LEAF:
        raise ValueError(f"a leaf asks for at most {MOST_FEATURES_OF_A_LEAF} features")
    codes = np.arange(1 << features)
    bits = (codes[:, np.newaxis] >> np.arange(features)) & 1 > 0
    z, x = bits[:, np.newaxis, :], bits[np.newaxis, :, :]
    only_x, only_z = x & ~z, z & ~x
    reached = ~(~x & ~z).any(axis=2, keepdims=True)
    a, b = only_x.sum(axis=2, keepdims=True), only_z.sum(axis=2, keepdims=True)
    facts = np.array([factorial(each) for each in range(features + 1)], dtype=np.float64)
    gain = facts[np.maximum(a - 1, 0)] * facts[b] / facts[a + b]
    loss = facts[a] * facts[np.maximum(b - 1, 0)] / facts[a + b]
    return np.where(reached, np.where(only_x, gain, 0.0) - np.where(only_z, loss, 0.0), 0.0)
