"""What must hold to end in each leaf of many trees, as flat arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.ml.columns import Integers

LEAF = -1


@dataclass(frozen=True, slots=True)
class Ways:
    """All trees from left to right.

    Parameters
    ----------
    inner : ndarray of int64
        Inner nodes, those of a tree one after another.
    ruled_out : ndarray of uint64
        Bits of the leaves on the left of each, counted within its tree.
    leaves : ndarray of int64
        Leaves, those of a tree from left to right one after another.
    first_node, first_leaf : ndarray of int64, shape (trees,)
        Where each tree begins in these.
    stumps : ndarray of int64
        Roots that are leaves: they belong to no tree here.
    conditions : list of list of (int, bool)
        To each leaf, the tests on the way and whether it goes right.
    """

    inner: Integers
    ruled_out: npt.NDArray[np.uint64]
    leaves: Integers
    first_node: Integers
    first_leaf: Integers
    stumps: Integers
    conditions: list[list[tuple[int, bool]]]


@dataclass(frozen=True, slots=True)
class Paths:
    """The conditions of each leaf by feature.

    Parameters
    ----------
    test : ndarray of int64, shape (conditions,)
        What is asked; conditions on one feature of one leaf one after another.
    right : ndarray of bool, shape (conditions,)
        The answer that leads to the leaf.
    first_condition : ndarray of int64, shape (groups,)
        Where the conditions of each pair of leaf and feature begin; pairs of one leaf one after another.
    owner : ndarray of int64, shape (groups,)
        The feature of each pair.
    first_group : ndarray of int64, shape (leaves,)
        Where the pairs of each leaf begin.
    """

    test: Integers
    right: npt.NDArray[np.bool_]
    first_condition: Integers
    owner: Integers
    first_group: Integers

    @classmethod
    def of(cls, found: Ways, columns: Integers, owners: Integers) -> "Paths":
        """From the ways, the column that each test asks for and the feature behind each column."""
        feature = owners[columns].tolist()
        test: list[int] = []
        right: list[bool] = []
        first_condition: list[int] = []
        owner: list[int] = []
        first_group: list[int] = []
        for way in found.conditions:
            first_group.append(len(owner))
            by_feature: dict[int, list[tuple[int, bool]]] = {}
            for each in way:
                by_feature.setdefault(feature[each[0]], []).append(each)
            for name, group in by_feature.items():
                first_condition.append(len(test))
                owner.append(name)
                test += [asked for asked, _ in group]
                right += [answer for _, answer in group]
        return cls(
            np.array(test, dtype=np.int64),
            np.array(right, dtype=np.bool_),
            np.array(first_condition, dtype=np.int64),
            np.array(owner, dtype=np.int64),
            np.array(first_group, dtype=np.int64),
        )


def ways(left: Integers, right: Integers, roots: Integers, test_of: Integers) -> Ways:
    """Walk through trees from left to right.

    Parameters
    ----------
    left, right : ndarray of int64, shape (nodes,)
        Positions of the children; -1 in a leaf.
    roots : ndarray of int64, shape (trees,)
        Where each tree begins.
    test_of : ndarray of int64, shape (nodes,)
        What each inner node asks.

    Returns
    -------
    Ways

    Raises
    ------
    ValueError
        If a tree has more than 64 leaves.

    Examples
    --------
    >>> stump = ways(np.array([1, -1, -1]), np.array([2, -1, -1]), np.array([0]), np.array([7, 0, 0]))
    >>> stump.leaves.tolist(), stump.ruled_out.tolist(), stump.conditions
    ([1, 2], [1], [[(7, False)], [(7, True)]])
    """
    lefts, rights, tests = left.tolist(), right.tolist(), test_of.tolist()
    inner: list[int] = []
    masks: list[int] = []
    leaves: list[int] = []
    first_node, first_leaf, stumps = [], [], []
    conditions: list[list[tuple[int, bool]]] = []
    for root in roots.tolist():
        if lefts[root] == LEAF:
            stumps.append(root)
            continue
        first_node.append(len(inner))
        first_leaf.append(len(leaves))
        begin = len(leaves)
        waiting: list[tuple[int, list[tuple[int, bool]], int]] = [(root, [], LEAF)]
        while waiting:
            node, way, turned = waiting.pop()
            if turned != LEAF:
                # All on the left of the node where the way turned right have been counted by now.
                masks[turned] = ((1 << (len(leaves) - begin)) - 1) ^ masks[turned]
            if lefts[node] == LEAF:
                leaves.append(node)
                conditions.append(way)
                continue
            masks.append((1 << (len(leaves) - begin)) - 1)
            inner.append(node)
            at = len(inner) - 1
            waiting.append((rights[node], [*way, (tests[node], True)], at))
            waiting.append((lefts[node], [*way, (tests[node], False)], LEAF))
        if len(leaves) - begin > 64:
            raise ValueError("a tree has at most 64 leaves")
    arrays = (np.array(each, dtype=np.int64) for each in (inner, leaves, first_node, first_leaf, stumps))
    of_inner, of_leaves, nodes, starts, alone = arrays
    return Ways(of_inner, np.array(masks, dtype=np.uint64), of_leaves, nodes, starts, alone, conditions)
