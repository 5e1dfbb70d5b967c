"""Says why customers are where they are: by which features the own segment beats the next one, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from app.ml.assign import UNASSIGNED, Assigned, Prepared, assign, prepare
from app.ml.columns import Floats, Integers, Values, customers_in
from app.ml.transform import BLOCK, Transform
from app.ml.tree import Condition, conditions, spoken

Direction = Literal["low", "high", "between", "is", "is_not", "unknown"]
SHOWN = 2
OF_NUMBERS: tuple[Direction, ...] = ("low", "high", "unknown")
UNKNOWN = 2
FEW_REASONS = 4_000_000


@dataclass(frozen=True, slots=True)
class Driver:
    """A feature that speaks for a segment: the customer is low or high in it against everybody, or is of a level.

    Parameters
    ----------
    feature : str
    direction : str
        "low" or "high" of numbers, against the middle of the customers fitted to, or "unknown", which counts as the
        middle; "is" of categories, with `level`. Of a tree, by its conditions, also "between" and "is_not".
    level : str or None
    """

    feature: str
    direction: Direction
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reason that customers share.

    Parameters
    ----------
    segment : int
        Label, or -1.
    runner_up : int
        The segment it was compared with; -1: with the middle of everybody.
    drivers : tuple of Driver
        At most two, the strongest first; none for -1.
    rule : tuple of str
        Of a tree, the conditions that hold, in words.
    """

    segment: int
    runner_up: int
    drivers: tuple[Driver, ...]
    rule: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drivers:
    """Reasons of many customers: `outcomes[codes[i]]` is that of customer i."""

    codes: Integers
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Contribution:
    """By how much a feature speaks for the own segment (above 0) or against it."""

    driver: Driver
    value: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one customer is where it is.

    Parameters
    ----------
    segment, runner_up : int
        Labels; -1: none.
    margin, confidence : float or None
        As in `assign.Assigned`.
    contributions : tuple of Contribution
        Of every feature, the strongest first, in squared standard deviations (centres) or log probability (mixture).
        Centres: they add up to the difference of the squared distances. Empty for a tree and for -1.
    rule : tuple of str
        Of a tree, the conditions that hold.
    """

    segment: int
    runner_up: int
    margin: float | None
    confidence: float | None
    contributions: tuple[Contribution, ...]
    rule: tuple[str, ...] = ()


def drivers(values: Values, model: Mapping[str, Any] | Prepared, assigned: Assigned | None = None) -> Drivers:
    """Name, for each customer, the two features by which the own segment beats the runner-up most.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features the model reads.
    model : mapping or Prepared
        What was fitted.
    assigned : Assigned, optional
        What `assign` with ``detail=True`` said of the same customers; asked here otherwise.

    Returns
    -------
    Drivers
        Few outcomes however many customers. For centres a feature's part is the squared distance to the runner-up
        less that to the own centre, for a mixture its share of the difference of the Mahalanobis distances, for dense
        regions as for centres against the middle of everybody; a tree gives the conditions it ended by.

    References
    ----------
    Mahalanobis, P. C. (1936). On the generalised distance in statistics. Proceedings of the National Institute of
    Sciences of India 2(1), 49-55 (its terms by feature).
    """
    prepared = prepare(model)
    if prepared.tree is not None:
        return _leaves(values, prepared)
    found = (
        assigned if assigned is not None and assigned.runner_up is not None else assign(values, prepared, detail=True)
    )
    transform = prepared.transform
    n = customers_in(values, transform.names)
    code = np.empty(n, dtype=np.int64)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        own, other = found.labels[start:stop], _others(found, start, stop)
        parts, variants = _parts(values, prepared, (start, stop), own, other)
        block = (own + 1) * (prepared.k + 1) + (other + 1)
        for _ in range(SHOWN):
            block *= len(transform.names) * variants_of(transform) + 1
            block += _strongest(parts, variants, variants_of(transform))
        code[start:stop] = block
    return _named(code, prepared)


def variants_of(transform: Transform) -> int:
    """How many directions or levels a feature has at most."""
    return max([len(OF_NUMBERS), *(len(category.levels) for category in transform.categories)])


def _strongest(parts: Floats, variants: Integers, width: int) -> Integers:
    """One number for the strongest feature and its variant, 0 if none speaks for the segment; it is then struck out."""
    most = np.maximum.reduce(parts, axis=0)
    best = np.zeros(most.shape, dtype=np.int64)
    for feature in range(parts.shape[0] - 1, 0, -1):
        np.copyto(best, feature, where=parts[feature] == most)
    np.copyto(best, 0, where=parts[0] == most)
    at = np.arange(best.size)
    named = best * width + variants[best, at] + 1
    parts[best, at] = -np.inf
    return np.where(most > 0, named, 0)


def _others(found: Assigned, start: int, stop: int) -> Integers:
    if found.runner_up is None:
        return np.full(stop - start, UNASSIGNED, dtype=np.int64)
    return found.runner_up[start:stop]


def _parts(
    values: Values, prepared: Prepared, block: tuple[int, int], own: Integers, other: Integers
) -> tuple[Floats, Integers]:
    """What each feature says for own against other, shape (features, n), and its direction or level."""
    transform = prepared.transform
    points, _ = transform.columns(values, *block)
    points -= transform.centre
    points /= transform.scale
    if prepared.scorer is not None and min(own.min(initial=0), other.min(initial=0)) >= 0:
        columns = prepared.scorer.contributions(points, own, other)
    else:
        columns = _some_alone(prepared, points, own, other)
    variants = _variants(transform, points)
    for feature, name in enumerate(transform.numbers):
        variants[feature, ~np.isfinite(values[name][block[0] : block[1]])] = UNKNOWN
    count = len(transform.numbers)
    parts = np.zeros((len(transform.names), points.shape[1]))
    parts[:count] = columns[:count]
    for column, owner in enumerate(transform.owners[count:], start=count):
        parts[transform.names.index(owner)] += columns[column]
    return parts, variants


def _some_alone(prepared: Prepared, points: Floats, own: Integers, other: Integers) -> Floats:
    columns = np.zeros(points.shape)
    compared, alone = np.flatnonzero((own >= 0) & (other >= 0)), np.flatnonzero((own >= 0) & (other < 0))
    if compared.size and prepared.scorer is not None:
        columns[:, compared] = prepared.scorer.contributions(points[:, compared], own[compared], other[compared])
    if alone.size:
        # Against the middle of everybody, which is where all columns are 0.
        centres = _centres(prepared)[own[alone]].T
        columns[:, alone] = centres * (2.0 * points[:, alone] - centres)
    return columns


def _variants(transform: Transform, points: Floats) -> Integers:
    count = len(transform.numbers)
    variants = np.zeros((len(transform.names), points.shape[1]), dtype=np.int64)
    np.greater(points[:count], 0.0, out=variants[:count], casting="unsafe")
    at = count + len(transform.indicators)
    for feature, category in enumerate(transform.categories, start=count):
        variants[feature] = points[at : at + len(category.levels)].argmax(axis=0)
        at += len(category.levels)
    return variants


def _centres(prepared: Prepared) -> Floats:
    if prepared.density is not None:
        return prepared.density.centres
    assert prepared.scorer is not None
    return prepared.scorer.middles()


def _named(code: Integers, prepared: Prepared) -> Drivers:
    width = variants_of(prepared.transform)
    per_feature = len(prepared.transform.names) * width + 1
    space = (prepared.k + 1) ** 2 * per_feature**SHOWN
    if space <= FEW_REASONS:
        # Counting is quicker than sorting where there is little to count.
        there = np.zeros(space, dtype=np.bool_)
        there[code] = True
        distinct = np.flatnonzero(there)
        codes = (np.cumsum(there) - 1)[code]
    else:
        distinct, codes = np.unique(code, return_inverse=True)
    outcomes = []
    for each in distinct.tolist():
        pairs = []
        rest = each
        for _ in range(SHOWN):
            rest, pair = divmod(rest, per_feature)
            pairs.append(pair)
        own, other = divmod(rest, prepared.k + 1)
        named = [_driver(prepared.transform, *divmod(pair - 1, width)) for pair in reversed(pairs) if pair]
        inside = own - 1 != UNASSIGNED
        outcomes.append(Outcome(own - 1, other - 1 if inside else UNASSIGNED, tuple(named) if inside else ()))
    return Drivers(codes.astype(np.int64), tuple(outcomes))


def _driver(transform: Transform, feature: int, variant: int) -> Driver:
    count = len(transform.numbers)
    if feature < count:
        return Driver(transform.numbers[feature], OF_NUMBERS[variant])
    category = transform.categories[feature - count]
    return Driver(category.name, "is", category.levels[variant])


def _leaves(values: Values, prepared: Prepared) -> Drivers:
    tree, transform = prepared.tree, prepared.transform
    assert tree is not None
    n = customers_in(values, transform.names)
    leaves = np.empty(n, dtype=np.int64)
    for start in range(0, n, BLOCK):
        rows, known = transform.columns(values, start, min(start + BLOCK, n))
        leaves[start : start + BLOCK] = np.where(known, tree.leaves(rows), UNASSIGNED)
    ways = dict(tree.paths())
    found, codes = np.unique(leaves, return_inverse=True)
    outcomes = []
    for leaf in found.tolist():
        if leaf == UNASSIGNED:
            outcomes.append(Outcome(UNASSIGNED, UNASSIGNED, ()))
            continue
        way = ways[leaf]
        # What decided last is what parts this leaf from its neighbours.
        last = [by_condition(each) for each in conditions(way[::-1], transform)]
        rule = tuple(spoken(each) for each in conditions(way, transform))
        outcomes.append(Outcome(int(tree.shares[leaf].argmax()), UNASSIGNED, tuple(last[:SHOWN]), rule))
    return Drivers(codes.astype(np.int64), tuple(outcomes))


def by_condition(condition: Condition) -> Driver:
    """Give the driver that a condition of a tree amounts to.

    Parameters
    ----------
    condition : Condition
        From `tree.conditions`.

    Returns
    -------
    Driver

    Examples
    --------
    >>> by_condition(Condition("age", at_most=40.0)).direction
    'low'
    """
    if condition.levels or condition.excluded:
        level = (condition.levels or condition.excluded)[0]
        return Driver(condition.feature, "is" if condition.levels else "is_not", level)
    if condition.above is not None and condition.at_most is not None:
        return Driver(condition.feature, "between")
    if condition.above is None and condition.at_most is None:
        return Driver(condition.feature, "unknown")
    return Driver(condition.feature, "low" if condition.above is None else "high")


def explain_one(values: Values, model: Mapping[str, Any] | Prepared) -> Explanation:
    """Explain where one customer is, by every feature.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (1,)
        The features the model reads.
    model : mapping or Prepared
        What was fitted.

    Returns
    -------
    Explanation

    Raises
    ------
    InvalidInput
        If a feature is missing.
    ValueError
        If these are not the features of exactly one customer.
    """
    prepared = prepare(model)
    if customers_in(values, prepared.transform.names) != 1:
        raise ValueError("the features of exactly one customer are explained")
    found = assign(values, prepared, detail=True)
    own, other = found.labels, _others(found, 0, 1)
    margin, confidence = _first(found.margin), _first(found.confidence)
    if prepared.tree is not None:
        outcome = _leaves(values, prepared).outcomes[0]
        return Explanation(outcome.segment, UNASSIGNED, margin, confidence, (), outcome.rule)
    if own[0] == UNASSIGNED:
        return Explanation(UNASSIGNED, UNASSIGNED, None, None, ())
    parts, variants = _parts(values, prepared, (0, 1), own, other)
    named: Sequence[Contribution] = [
        Contribution(_driver(prepared.transform, at, int(variants[at, 0])), float(part))
        for at, part in enumerate(parts[:, 0])
    ]
    strongest = sorted(named, key=lambda each: -abs(each.value))
    return Explanation(int(own[0]), int(other[0]), margin, confidence, tuple(strongest))


def _first(column: Floats | None) -> float | None:
    return None if column is None or np.isnan(column[0]) else float(column[0])
