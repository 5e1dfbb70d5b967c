"""Sufficient statistics: they add up, they are exact, and they refuse what no sample has."""

import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError

WHOLE = st.integers(-(10**9), 10**9)
PAIRS = st.lists(st.tuples(WHOLE, WHOLE), max_size=20)


def sums_of(pairs):
    return Sums.of([own for own, _ in pairs], [beside for _, beside in pairs])


@given(PAIRS, PAIRS)
def test_the_sums_of_two_days_are_those_of_both(monday, tuesday):
    assert sums_of(monday) + sums_of(tuesday) == sums_of(monday + tuesday)


@given(PAIRS.filter(lambda pairs: len(pairs) > 1))
def test_moments_are_those_of_exact_arithmetic(pairs):
    sums = sums_of(pairs)
    own, beside = ([Fraction(value) for value in column] for column in zip(*pairs, strict=True))
    assert (sums.mean, sums.variance) == (statistics.mean(own), statistics.variance(own))
    assert (sums.beside_mean, sums.beside_variance) == (statistics.mean(beside), statistics.variance(beside))
    products = [(y - sums.mean) * (x - sums.beside_mean) for y, x in zip(own, beside, strict=True)]
    assert sums.covariance == sum(products) / (len(pairs) - 1)


@given(PAIRS, WHOLE, WHOLE, WHOLE)
def test_a_combination_is_that_of_the_rows(pairs, shift, own, beside):
    combined = sums_of(pairs).combined(shift=shift, own=own, beside=beside)
    rows = [shift + own * y + beside * x for y, x in pairs]
    assert combined == Sums(len(rows), sum(rows), sum(row * row for row in rows))


def test_numpy_integers_do_not_overflow():
    assert Sums(np.int64(2), np.int64(6 * 10**9), 2 * (3 * 10**9) ** 2).variance == 0
    assert Sums.of(np.array([3 * 10**9, 3 * 10**9 + 2])).variance == 2
    assert Sums.of(np.array([True, False])).mean == Fraction(1, 2)


@pytest.mark.parametrize(
    "sums",
    [
        (-1, 0, 0),
        (0, 1, 1),
        (1, 2, 5),
        (2, 4, 7),
        (3, 1.5, 4),
        (2, 2, 2, 2, 1),
        (2, 1, 1, 1, 1, 2),
        (2, 1, 1, 1, 1, -1),
    ],
)
def test_sums_that_no_customers_have_are_refused(sums):
    with pytest.raises(StatsError):
        Sums(*sums)


def test_what_does_not_exist_is_not_asked_for():
    for ask in (lambda: Sums.of([]).mean, lambda: Sums.of([1]).variance, lambda: Sums.of([1]).covariance):
        with pytest.raises(StatsError):
            ask()
    for values in ([0.5], [[1]], ["1"], np.array([2**63], np.uint64)):
        with pytest.raises(StatsError):
            Sums.of(values)
    with pytest.raises(StatsError):
        Sums.of([1, 2], [1])
