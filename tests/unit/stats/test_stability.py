"""Stability of populations against closed forms, invariants and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stats.estimate import StatsError, Undetermined
from app.stats.stability import (
    chance_shift,
    counts_in_cells,
    counts_of_categories,
    population_stability_index,
    quantile_edges,
    verdict,
)
from tests.support.intervals import held_as_stated

COUNTS = st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)), min_size=1, max_size=12)


def test_the_index_of_two_cells_is_the_log_odds_times_the_shift():
    # (q - p) ln(q / p) + ((1 - q) - (1 - p)) ln((1 - q) / (1 - p)) = (q - p) (logit q - logit p).
    expected = (0.4 - 0.2) * (math.log(0.4 / 0.6) - math.log(0.2 / 0.8))
    assert population_stability_index([200, 800], [400, 600]) == pytest.approx(expected, rel=1e-12)


@given(COUNTS)
def test_it_is_both_divergences_of_kullback_and_leibler_together(cells):
    then, now = (np.array(column, float) for column in zip(*cells, strict=True))
    p, q = then / then.sum(), now / now.sum()
    both = float((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum())
    found = population_stability_index(then, now)
    # Each of at most 12 terms rounds at the size of ln(10,000).
    assert found == pytest.approx(both, rel=1e-9, abs=1e-13)
    assert found == pytest.approx(population_stability_index(now, then), rel=1e-9, abs=1e-13)
    assert population_stability_index(then, 3 * then) == pytest.approx(0.0, abs=1e-13)


def test_an_empty_cell_counts_by_how_many_are_in_its_counterpart():
    few = population_stability_index([1_000_000, 0], [999_997, 3])
    many = population_stability_index([1_000_000, 0], [700_000, 300_000])
    # Half a customer of a million against three of them: (3e-6 - 5e-7) ln 6, and next to nothing elsewhere.
    assert few == pytest.approx(2.5e-6 * math.log(6), rel=1e-5)
    assert verdict(few) == "stable"
    assert verdict(many) == "shifted"
    assert population_stability_index([5, 5, 0], [6, 4, 0]) == population_stability_index([5, 5], [6, 4])


def test_nobody_then_or_now_has_no_index():
    assert population_stability_index([0, 0], [3, 4]) == Undetermined("zero_denominator", 7)
    assert population_stability_index([], []) == Undetermined("zero_denominator", 0)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=60), st.integers(2, 12))
def test_every_value_has_a_cell_and_no_cell_of_training_is_empty(values, bins):
    edges = quantile_edges(values, bins)
    cells = counts_in_cells(values, edges)
    assert cells.sum() == len(values)
    assert cells[-1] == sum(math.isnan(value) for value in values)
    if cells[:-1].sum():
        assert (cells[:-1] > 0).all()
    assert len(edges) < bins


def test_quantile_cells_of_distinct_values_are_of_one_size():
    values = np.random.default_rng(1).permutation(1000.0 + np.arange(1000))
    assert counts_in_cells(values, quantile_edges(values, 10)).tolist() == [100] * 10 + [0]


def test_many_equal_values_are_a_cell_of_their_own():
    values = [0.0] * 90 + list(range(1, 11))
    assert counts_in_cells(values, quantile_edges(values, 10)).tolist() == [90, 10, 0]
    assert quantile_edges([7.0, 7.0], 10).size == 0
    assert quantile_edges([math.nan], 10).size == 0


def test_new_categories_and_missing_ones_have_a_cell_each():
    assert counts_of_categories(["b", None, "new", "newer", "a", "b"], ["a", "b"]).tolist() == [1, 2, 2, 1]


def test_chance_shifts_as_often_as_it_says():
    generator = np.random.default_rng(20261122)
    shares = np.linspace(1, 2, 10) / np.linspace(1, 2, 10).sum()
    limit = chance_shift(2000, 1000, cells=10)
    pairs = zip(generator.multinomial(2000, shares, 2000), generator.multinomial(1000, shares, 2000), strict=True)
    below = sum(population_stability_index(then, now) <= limit for then, now in pairs)
    assert held_as_stated(below, 2000, level=0.95)


@pytest.mark.parametrize(
    ("psi", "word"),
    # Siddiqi (2006): less than 0.1 no change, 0.1 to 0.25 some, above that a significant one.
    [(0.0, "stable"), (0.0999, "stable"), (0.1, "shifting"), (0.2499, "shifting"), (0.25, "shifted"), (9.0, "shifted")],
)
def test_the_verdict_is_the_rule_of_thumb(psi, word):
    assert verdict(psi) == word


def test_misuse_is_refused():
    for then, now in [([1], [1, 2]), ([-1, 2], [1, 2]), ([math.nan], [1]), ([[1]], [[1]])]:
        with pytest.raises(StatsError):
            population_stability_index(then, now)
    for psi in (-0.1, math.nan):
        with pytest.raises(StatsError):
            verdict(psi)
    with pytest.raises(StatsError):
        quantile_edges([1.0, 2.0], 1)
    with pytest.raises(StatsError):
        quantile_edges([[1.0]], 2)
    with pytest.raises(StatsError):
        counts_in_cells([1.0], [2.0, 2.0])
    with pytest.raises(StatsError):
        counts_of_categories(["a"], ["a", "a"])
    with pytest.raises(StatsError):
        chance_shift(0, 10, cells=3)
