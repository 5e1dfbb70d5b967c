"""The t interval of a mean against printed tables, printed examples and exact arithmetic."""

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stats.estimate import Estimate, StatsError, Undetermined
from app.stats.mean import mean_interval

INTEGERS = st.integers(-(10**12), 10**12)


def interval_of(values, **options):
    return mean_interval(len(values), sum(values), sum(value * value for value in values), **options)


def test_the_interval_of_gossets_sleep_data_is_the_printed_one():
    # Student (1908), table of section IX: additional sleep by drug 2 over drug 1, in tenths of an hour. The interval
    # 0.7001142 to 2.4598858 around 1.58 hours is what R prints for t.test(..., paired = TRUE) on its `sleep` data.
    result = interval_of([12, 24, 13, 13, 0, 10, 18, 8, 46, 14])
    assert result.value == 15.8
    assert (result.low, result.high) == pytest.approx((7.001142, 24.598858), abs=5e-7)
    assert (result.level, result.method, result.n, result.reason) == (0.95, "student_t", 10, None)


def test_the_interval_of_the_nist_heat_flow_data_is_the_printed_one():
    # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2: n = 195, mean 9.261460, standard deviation 0.02278881,
    # 95 % limits 9.258242 and 9.264679.
    n, mean, deviation = 195, Fraction("9.261460"), Fraction("0.02278881")
    result = mean_interval(n, n * mean, (n - 1) * deviation**2 + n * mean**2)
    # The printed limits are rounded to 6 decimals and made from the unrounded mean, which the printed one is within
    # half a unit of the last place of: together one unit.
    assert (result.low, result.high) == pytest.approx((9.258242, 9.264679), abs=1e-6)


# Critical values of Student's t: NIST/SEMATECH e-Handbook, 1.3.6.7.2, three decimals.
@pytest.mark.parametrize(
    ("level", "degrees", "critical"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 9, 2.262),
        (0.95, 30, 2.042),
        (0.95, 100, 1.984),
        (0.90, 1, 6.314),
        (0.90, 10, 1.812),
        (0.99, 5, 4.032),
        (0.99, 60, 2.660),
    ],
)
def test_the_half_width_is_the_printed_critical_value_times_the_standard_error(level, degrees, critical):
    values = list(range(degrees + 1))
    standard_error = statistics.stdev(values) / math.sqrt(len(values))
    result = interval_of(values, level=level)
    assert (result.high - result.value) / standard_error == pytest.approx(critical, abs=5e-4)


def test_no_observation_has_no_mean():
    assert mean_interval(0, 0, 0) == Undetermined("zero_denominator", n=0)


def test_one_observation_has_a_mean_and_no_interval():
    assert interval_of([-7]) == Estimate(-7.0, None, None, 0.95, "student_t", 1, "too_few")


def test_equal_observations_have_a_mean_and_no_interval():
    assert interval_of([5, 5, 5]) == Estimate(5.0, None, None, 0.95, "student_t", 3, "zero_variance")


def test_a_small_spread_around_a_large_mean_is_not_cancelled_away():
    # t(0.975, 2) = 4.303 and s = 1; in floats the sum of squares of these is good to 5e14 only.
    result = interval_of([10**15 + 1, 10**15 + 2, 10**15 + 3])
    assert result.value == 10**15 + 2
    # Doubles near 1e15 lie 1/8 apart, so each end is within 1/16 of the exact one; the table gives 3 decimals.
    assert result.high - result.value == pytest.approx(4.303 / math.sqrt(3), abs=1 / 16 + 5e-4)


# The oracle is the statistics module, which is exact for fractions.
@given(st.lists(INTEGERS, min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1))
def test_value_and_width_agree_with_exact_arithmetic(values):
    result = interval_of(values)
    exact = [Fraction(value) for value in values]
    assert result.value == float(statistics.mean(exact))
    width = 2 * (result.high - result.value)
    assert result.low < result.value < result.high
    pair = [0, 1] + [Fraction(1, 2)] * (len(values) - 2)
    unit = interval_of(pair)
    ratio = math.sqrt(statistics.variance(exact) / statistics.variance(pair))
    # Both ends carry one rounding of the mean's size.
    assert width == pytest.approx(ratio * 2 * (unit.high - unit.value), rel=1e-9, abs=4 * math.ulp(abs(result.value)))


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=10), st.integers(2, 100))
def test_money_in_another_unit_scales_the_interval(values, factor):
    small, large = interval_of(values), interval_of([factor * value for value in values])
    assert large.value == pytest.approx(factor * small.value)
    assert large.reason == small.reason
    if small.reason is None:
        assert large.low == pytest.approx(factor * small.low, abs=1e-6)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=10))
def test_a_higher_level_gives_a_wider_interval(values):
    narrow, wide = interval_of(values, level=0.8), interval_of(values, level=0.99)
    if narrow.reason is None:
        assert wide.low < narrow.low < narrow.high < wide.high


def test_numpy_integers_do_not_overflow():
    values = [3 * 10**9, 3 * 10**9 + 6]
    result = mean_interval(np.int64(2), np.int64(sum(values)), sum(value * value for value in values))
    assert result.value == 3 * 10**9 + 3
    # t(0.975, 1) = 12.706 and s / sqrt(2) = 3.
    assert result.high - result.value == pytest.approx(12.706 * 3, abs=5e-4 * 3 + 1e-6)


@pytest.mark.parametrize(
    ("n", "total", "squares"),
    [(-1, 0, 0), (0, 1, 1), (0, 0, 1), (1, 2, 5), (1, 2, 3), (2, 4, 7), (3, 1.5, 4), (3, 3, 4.0), (3, "3", 4)],
)
def test_sums_that_no_sample_has_are_refused(n, total, squares):
    with pytest.raises(StatsError):
        mean_interval(n, total, squares)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5, math.nan])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(StatsError):
        mean_interval(2, 3, 5, level=level)
