"""Wilson's interval of a share against the published table and its own definition."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stats.estimate import Estimate, StatsError, Undetermined
from app.stats.proportion import proportion_interval

# Where both ends lie within a few roundings of 1, each of half an epsilon, their order is that of the roundings.
ROUNDING = 4 * sys.float_info.epsilon


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score, without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(successes, n, low, high):
    result = proportion_interval(successes, n)
    assert (round(result.low, 4), round(result.high, 4)) == (low, high)
    assert (result.value, result.level, result.method, result.n) == (successes / n, 0.95, "wilson", n)


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0.5, 0.999))
def test_its_ends_are_the_shares_that_are_just_not_refuted(n, share, level):
    result = proportion_interval(min(share * n, n), n, level=level)
    assert 0.0 <= result.low <= result.value <= result.high <= 1.0
    wider = proportion_interval(min(share * n, n), n, level=level + (1 - level) / 2)
    assert wider.low <= result.low + ROUNDING
    assert wider.high >= result.high - ROUNDING


def test_an_end_lies_z_standard_errors_of_its_own_from_the_share():
    # The definition: |p - end| = z sqrt(end (1 - end) / n) with z = 1.959963984540054.
    result = proportion_interval(7.5, 31)
    for end in (result.low, result.high):
        assert abs(result.value - end) == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / 31), rel=1e-12)


def test_all_and_none_have_an_interval_that_ends_at_them():
    none, every = proportion_interval(0, 50), proportion_interval(50, 50)
    assert none.low == 0.0 < none.high
    assert every.high == 1.0 > every.low
    assert none.high == pytest.approx(1 - every.low, abs=1e-15)


def test_of_nothing_there_is_no_share():
    assert proportion_interval(0, 0) == Undetermined("zero_denominator", 0)
    assert isinstance(proportion_interval(0, 1), Estimate)


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2), (float("nan"), 2), (0, -1)])
def test_what_is_no_share_is_refused(successes, n):
    with pytest.raises(StatsError):
        proportion_interval(successes, n)
