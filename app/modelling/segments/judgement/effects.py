"""How far segments differ in each feature: every segment against everybody else, and every pair, from one ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.modelling.features.columns import Floats, Values, is_category
from app.modelling.features.definitions import Feature

Integers = npt.NDArray[np.int64]

# Of Cliff's delta, and of the difference of two shares, which is the delta of being so or not. They answer to Cohen's
# d of .2, .5 and .8 (Romano, J., Kromrey, J. D., Coraggio, J. and Skowronek, J. (2006). Appropriate statistics for
# ordinal level data. Annual meeting of the Florida Association of Institutional Research).
NEGLIGIBLE, SMALL, MEDIUM = 0.147, 0.33, 0.474
# Beyond this many customers a sample is ranked, as many from every segment: an error of .01 in a delta at ten segments.
MOST_RANKED = 100_000
LEAST_PER_SEGMENT = 500
SEED = 0
BLOCK = 16_384
# A level that fewer people have says who they are rather than what they are like.
LEAST_HOLDERS = 5
MOST_LEVELS = 100


@dataclass(frozen=True)
class Groups:
    """Customers by segment: labels 0..k-1, -1 in none.

    k counts segments without any member too.
    """

    labels: Integers
    k: int

    @classmethod
    def of(cls, labels: Integers, k: int | None = None) -> "Groups":
        least = int(labels.max(initial=-1)) + 1
        if k is not None and k < least:
            raise ValueError(f"labels go up to {least - 1}, beyond {k} segments")
        return cls(labels, least if k is None else k)

    @cached_property
    def codes(self) -> Integers:
        """Labels from 1 on, 0 in none."""
        return np.asarray(self.labels, dtype=np.int64) + 1

    @cached_property
    def sizes(self) -> Integers:
        return np.bincount(self.codes, minlength=self.k + 1)[1:].astype(np.int64)

    @cached_property
    def _by_code(self) -> list[Integers]:
        order = np.argsort(self.codes.astype(np.int32), kind="stable")
        counts = np.bincount(self.codes, minlength=self.k + 1)
        return np.split(order, np.cumsum(counts)[:-1])

    def members(self, label: int) -> Integers:
        """Their positions, in order."""
        return self._by_code[label + 1]

    @cached_property
    def sample(self) -> tuple[Integers, Floats]:
        """Positions to rank, and how many customers each position stands for; everybody where they are few."""
        n = self.labels.size
        if n <= MOST_RANKED:
            return np.arange(n), np.ones(n)
        most = max(MOST_RANKED // (self.k + 1), LEAST_PER_SEGMENT)
        random = np.random.default_rng(SEED)
        drawn = [
            each if each.size <= most else random.choice(each, size=most, replace=False, shuffle=False)
            for each in self._by_code
        ]
        weights = [
            np.full(some.size, every.size / max(some.size, 1)) for some, every in zip(drawn, self._by_code, strict=True)
        ]
        return np.concatenate(drawn), np.concatenate(weights)

    def per_segment(self, weights: Floats) -> Floats:
        """The sum of a column over the members of each segment."""
        return _sums(self.codes, weights, self.k + 1)[1:]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one feature says of k segments; NaN where a side has nobody of whom it is known.

    against_others: Cliff's delta of the members against everybody else; of a category the difference of the share of
    `levels`, the level that differs most. pairs: the same of two segments without sign; of categories half the sum
    of all differences of shares. known: share of the members of whom it is known. compared: how many members and how
    many others were ranked.
    """

    feature: Feature
    against_others: Floats
    pairs: Floats
    known: Floats
    levels: tuple[str | None, ...]
    compared: tuple[Integers, Integers]

    def beyond(self, label: int, least: float = NEGLIGIBLE) -> bool:
        return bool(abs(self.against_others[label]) >= least)


def magnitude(effect: float) -> Literal["negligible", "small", "medium", "large"]:
    """The field's word for the size of a delta."""
    size = abs(effect)
    if size < NEGLIGIBLE:
        return "negligible"
    return "small" if size < SMALL else "medium" if size < MEDIUM else "large"


def effects_of(values: Values, groups: Groups, features: Sequence[Feature]) -> list[Effect]:
    """One for each feature, in this order. Infinite numbers count as unknown."""
    return [
        _of_category(feature, values[feature.name], groups)
        if is_category(feature)
        else of_number(feature, values[feature.name], groups)
        for feature in features
    ]


def of_number(feature: Feature, column: npt.NDArray[Any], groups: Groups) -> Effect:
    numbers = np.asarray(column, dtype=np.float64)
    chosen, weights = groups.sample
    chosen_is_known = np.isfinite(numbers[chosen])
    positions, stands_for = chosen[chosen_is_known], weights[chosen_is_known]
    codes = groups.codes[positions]
    ranked = np.bincount(codes, minlength=groups.k + 1)
    people = _sums(codes, stands_for, groups.k + 1)
    wins = dominance(numbers[positions], codes, groups.k + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        deltas = 2.0 * wins / np.outer(ranked, ranked) - 1.0
    return Effect(
        feature,
        _against_others(deltas, people),
        np.abs(deltas[1:, 1:]),
        _share_known(np.isfinite(numbers), groups),
        (None,) * groups.k,
        (ranked[1:], (ranked.sum() - ranked)[1:]),
    )


def dominance(values: Floats, codes: Integers, groups: int) -> Floats:
    """Of each pair of groups i, j the pairs of members in which that of i is higher, a tie counting half.

    Exact: the sums are halves of whole numbers. One sort, then blocks of distinct values.
    """
    order = np.argsort(values)
    ranked, codes = values[order], codes[order]
    # The place of each value among the distinct ones.
    places = np.cumsum(np.concatenate(([False], ranked[1:] != ranked[:-1])), dtype=np.int64)[: ranked.size]
    wins, below = np.zeros((groups, groups)), np.zeros(groups)
    for first in range(0, int(places[-1]) + 1 if places.size else 0, BLOCK):
        start, stop = np.searchsorted(places, (first, first + BLOCK))
        cells = (places[start:stop] - first) * groups + codes[start:stop]
        counts = np.bincount(cells, minlength=BLOCK * groups).reshape(BLOCK, groups).astype(np.float64)
        under = below + np.cumsum(counts, axis=0) - counts
        wins += counts.T @ (under + counts / 2.0)
        below += counts.sum(axis=0)
    return wins


def _against_others(deltas: Floats, people: Floats) -> Floats:
    """The deltas against each other group, weighted by its people: the delta against all of them together."""
    weights = np.tile(people, (people.size, 1))
    np.fill_diagonal(weights, 0.0)
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        against = np.where(weights > 0, deltas * weights, 0.0).sum(axis=1) / total
    return np.where(people > 0, against, np.nan)[1:]


def _of_category(feature: Feature, column: npt.NDArray[Any], groups: Groups) -> Effect:
    levels, counts, known = level_counts(column, groups)
    members, every = known[1:], known.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / known[:, np.newaxis]
        others = (counts.sum(axis=0) - counts) / (every - known)[:, np.newaxis]
    # The last column is every level that is too rare to be named.
    differences = (shares - others)[1:, :-1]
    pairs = np.abs(shares[1:, np.newaxis] - shares[np.newaxis, 1:]).sum(axis=2) / 2.0
    ranked = (members.astype(np.int64), (every - members).astype(np.int64))
    share_known = np.where(groups.sizes > 0, members / np.maximum(groups.sizes, 1), np.nan)
    if not levels:
        return Effect(feature, np.full(groups.k, np.nan), pairs, share_known, (None,) * groups.k, ranked)
    defined = np.isfinite(differences).all(axis=1)
    most = np.abs(np.where(defined[:, np.newaxis], differences, 0.0)).argmax(axis=1)
    against = np.where(defined, differences[np.arange(groups.k), most], np.nan)
    named = tuple(levels[at] if sure else None for at, sure in zip(most.tolist(), defined.tolist(), strict=True))
    return Effect(feature, against, pairs, share_known, named, ranked)


def level_counts(column: npt.NDArray[Any], groups: Groups) -> tuple[list[str], Floats, Floats]:
    """The levels that may be named, most common first; members with each by code, rarer ones last; known by code."""
    places: dict[str, int] = {}
    found = np.fromiter(
        (-1 if value is None else places.setdefault(value, len(places)) for value in column), np.int64, column.size
    )
    is_known = found >= 0
    totals = np.bincount(found[is_known], minlength=len(places))
    texts = list(places)
    common = sorted(np.flatnonzero(totals >= LEAST_HOLDERS).tolist(), key=lambda at: (-totals[at], texts[at]))
    common = common[:MOST_LEVELS]
    renamed = np.full(len(places), len(common), dtype=np.int64)
    renamed[common] = np.arange(len(common))
    width = len(common) + 1
    cells = groups.codes[is_known] * width + renamed[found[is_known]]
    counts = np.bincount(cells, minlength=(groups.k + 1) * width).reshape(groups.k + 1, width).astype(np.float64)
    return [texts[at] for at in common], counts, counts.sum(axis=1)


def _sums(codes: Integers, weights: Floats, groups: int) -> Floats:
    return np.bincount(codes, weights=weights, minlength=groups).astype(np.float64)


def _share_known(is_known: npt.NDArray[np.bool_], groups: Groups) -> Floats:
    known = groups.per_segment(is_known.astype(np.float64))
    return np.where(groups.sizes > 0, known / np.maximum(groups.sizes, 1), np.nan)


def known_shares(values: Values, groups: Groups, features: Sequence[Feature]) -> Floats:
    """For each segment and feature the share of the members of whom it is known; NaN without members."""
    columns = []
    for feature in features:
        column = values[feature.name]
        is_known = (
            np.array([value is not None for value in column])
            if is_category(feature)
            else np.isfinite(np.asarray(column, np.float64))
        )
        columns.append(_share_known(np.asarray(is_known, dtype=np.bool_), groups))
    return np.column_stack(columns) if columns else np.empty((groups.k, 0))
