"""Explains any grouping of customers in rules that people can read: a small tree that imitates it, and how well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.ml.assign import UNASSIGNED, prepare
from app.ml.columns import Integers, Kind, Values, customers_in
from app.ml.growing import grow
from app.ml.transform import BLOCK
from app.ml.tree import Condition, conditions, spoken

MOST_DEPTH = 5
LEAVES_PER_SEGMENT = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One leaf of a tree.

    Parameters
    ----------
    segment : int
        The label that most of the leaf's customers have, or -1.
    conditions : tuple of Condition
        All hold, in the features' own units.
    text : str
        The same in words.
    customers : int
        How many customers fulfil them.
    purity : float or None
        Share of these who are in the segment, 0..1; None where nobody fulfils them.
    coverage : float or None
        Share of the segment's members who are here, 0..1; None where it has none.
    """

    segment: int
    conditions: tuple[Condition, ...]
    text: str
    customers: int
    purity: float | None
    coverage: float | None


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Rules, in order of segment and size, and the share of customers whom they put where they are, 0..1."""

    rules: tuple[Rule, ...]
    fidelity: float


def surrogate(values: Values, kinds: Mapping[str, Kind], labels: Integers, *, seed: int = 0) -> Surrogate:
    """Imitate a grouping by a tree of depth 5 at most and two leaves per segment, and read it aloud.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        Features to explain by; they need not be those that the grouping was made from.
    kinds : mapping of str to Kind
        The features to use, in order.
    labels : ndarray of int64, shape (n,)
        Segments; -1, in none, is explained like a segment.
    seed : int, default 0
        Of the sample the tree grows from and of ties.

    Returns
    -------
    Surrogate
        Purity, coverage and fidelity are of all customers given.

    Raises
    ------
    TooFewCustomers
        If there are fewer than two customers, or no feature tells them apart.

    References
    ----------
    Craven, M. W. and Shavlik, J. W. (1996). Extracting tree-structured representations of trained networks. Advances
    in Neural Information Processing Systems 8, 24-30 (fidelity).

    Examples
    --------
    >>> spend = {"total_spend": np.arange(100.0)}
    >>> found = surrogate(spend, {"total_spend": "money"}, (spend["total_spend"] < 40).astype(np.int64))
    >>> [rule.text for rule in found.rules], found.fidelity
    (['total_spend over 39', 'total_spend at most 39'], 1.0)
    """
    # The unassigned come first, as label 0.
    shifted = np.asarray(labels, dtype=np.int64) + 1
    groups = max(2, np.unique(shifted).size)
    params = {"max_depth": MOST_DEPTH, "min_leaf_share": 0.002, "max_leaves": LEAVES_PER_SEGMENT * groups}
    model, _ = grow(values, kinds, shifted, params=params, seed=seed)
    return describe_tree(model, values, shifted, first=UNASSIGNED)


def describe_tree(model: Mapping[str, Any], values: Values, labels: Integers, *, first: int = 0) -> Surrogate:
    """Read a tree aloud and say how well it tells labels.

    Parameters
    ----------
    model : mapping
        Of the algorithm "decision_tree".
    values : mapping of str to ndarray, shape (n,)
        The features it reads.
    labels : ndarray of int64, shape (n,)
        What is to be told, in the tree's own numbers; -1: unknown, left out.
    first : int, default 0
        What the tree's label 0 is called in the rules.

    Returns
    -------
    Surrogate
    """
    prepared = prepare(model)
    tree, transform = prepared.tree, prepared.transform
    assert tree is not None, "only a tree can be read aloud"
    n, k = customers_in(values, transform.names), tree.shares.shape[1]
    leaves = np.empty(n, dtype=np.int64)
    for start in range(0, n, BLOCK):
        rows, _ = transform.columns(values, start, min(start + BLOCK, n))
        leaves[start : start + BLOCK] = tree.leaves(rows)
    known = labels >= 0
    counts = np.bincount(leaves[known] * k + labels[known], minlength=tree.shares.shape[0] * k).reshape(-1, k)
    members, told = counts.sum(axis=0), tree.shares.argmax(axis=1)
    rules = []
    for leaf, way in tree.paths():
        segment, size = int(told[leaf]), int(counts[leaf].sum())
        hits = int(counts[leaf, segment])
        found = tuple(conditions(way, transform))
        text = " and ".join(spoken(each) for each in found) or "everybody"
        coverage = hits / int(members[segment]) if members[segment] else None
        rules.append(Rule(segment + first, found, text, size, hits / size if size else None, coverage))
    right = int(counts[np.arange(counts.shape[0]), told].sum())
    rules.sort(key=lambda rule: (rule.segment, -rule.customers))
    return Surrogate(tuple(rules), right / max(int(counts.sum()), 1))
