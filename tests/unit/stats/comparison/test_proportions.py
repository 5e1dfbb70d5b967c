"""Differences and ratios of shares against published tables, published experiments, their definition, simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from app.stats.comparison.proportions import difference, difference_limits, lift, pooled_p_value, ratio_limits
from app.stats.estimate import Estimate, StatsError, Undetermined
from app.stats.proportion import proportion_interval
from tests.support.experiments import hillstrom, reference
from tests.support.intervals import held_as_stated

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_has_newcombes_interval(one, other, low, high):
    found = difference(proportion_interval(*one), proportion_interval(*other))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert (found.method, found.n) == ("newcombe", one[1] + other[1])
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1], abs=1e-15)


def test_the_ratio_of_koopmans_example_has_the_printed_interval():
    # Koopman (1984), Biometrics 40, 513-517: 36 of 40 against 16 of 80, 2.94 to 7.15.
    low, high = ratio_limits((36, 40), (16, 80))
    assert (round(low, 2), round(high, 2)) == (2.94, 7.15)


@pytest.mark.real_data
@pytest.mark.parametrize("metric", ["visit", "conversion"])
@pytest.mark.parametrize("arm", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstroms_shares_have_the_reference_interval(real_data, metric, arm):
    arms = hillstrom(real_data, metric)
    one, other = ((int(arms[name].total), arms[name].n) for name in (arm, "No E-Mail"))
    expected = reference(real_data, "hillstrom")["effects"][f"{arm} - No E-Mail | {metric}"]
    found = difference(proportion_interval(*one), proportion_interval(*other))
    assert found.value == pytest.approx(expected["diff"], abs=5e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected["newcombe_ci95"]), abs=1e-8)
    assert pooled_p_value(one, other) == pytest.approx(expected["ztest_pooled"]["p"], rel=1e-4)
    assert lift(one, other).value == pytest.approx(expected["relative_lift"], abs=5e-7)


@pytest.mark.real_data
@pytest.mark.parametrize("day", [1, 7])
def test_the_gates_of_cookie_cats_have_the_reference_retention(real_data, day):
    both = reference(real_data, "cookie_cats")
    expected = both[f"retention_{day}"]
    late, early = (expected["k40"], both["srm"]["n40"]), (expected["k30"], both["srm"]["n30"])
    found = difference(proportion_interval(*late), proportion_interval(*early))
    assert found.value == pytest.approx(expected["diff_40_minus_30"], abs=5e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected["newcombe_ci95"]), abs=1e-7)
    assert pooled_p_value(late, early) == pytest.approx(expected["p_ztest_pooled"], rel=1e-5)


@given(COUNTS, COUNTS)
def test_the_p_value_is_pearsons(one, other):
    found = pooled_p_value(one, other)
    table = [[count, n - count] for count, n in (one, other)]
    if found is None:
        assert one[0] + other[0] in (0, one[1] + other[1])
    else:
        assert found == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-6, abs=1e-12)


@given(COUNTS, COUNTS, st.floats(0.5, 0.99))
def test_the_ends_of_a_ratio_are_those_that_pearsons_test_just_refutes(one, other, level):
    low, high = ratio_limits(one, other, level=level)
    if other[0] == 0:
        assert high == math.inf
    if one[0] == 0:
        assert low == 0.0
    if one[0] and other[0]:
        assert low <= one[0] / one[1] / (other[0] / other[1]) <= high
        # The ratio the other way round is the reciprocal.
        turned = ratio_limits(other, one, level=level)
        assert (turned[0] * high, turned[1] * low) == pytest.approx((1.0, 1.0), rel=1e-8)
        wider = ratio_limits(one, other, level=level + (1 - level) / 2)
        assert wider[0] <= low
        assert wider[1] >= high


def test_a_share_as_large_as_the_other_is_refuted_where_the_p_value_says_so():
    # At a ratio of 1 Koopman's statistic is the pooled chi-square: its interval of level 1 - p ends at 1.
    one, other = (45, 200), (30, 210)
    low, _ = ratio_limits(one, other, level=1 - pooled_p_value(one, other))
    assert low == pytest.approx(1.0, rel=1e-9)


def test_intervals_cover_the_truth_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    counts = zip(generator.binomial(600, 0.12, 1000), generator.binomial(500, 0.1, 1000), strict=True)
    differences, lifts = [], []
    for one, other in counts:
        ends = difference(proportion_interval(int(one), 600), proportion_interval(int(other), 500))
        differences.append(ends.low <= 0.02 <= ends.high)
        ends = lift((int(one), 600), (int(other), 500))
        lifts.append(ends.low <= 0.2 <= ends.high)
    assert held_as_stated(sum(differences), 1000, level=0.95)
    assert held_as_stated(sum(lifts), 1000, level=0.95)


def test_arms_of_nobody_and_shares_of_nothing():
    nothing = Undetermined("zero_denominator", 0)
    assert difference(proportion_interval(1, 2), nothing) == Undetermined("zero_denominator", 2)
    assert difference(nothing, proportion_interval(1, 2)) == Undetermined("zero_denominator", 2)
    assert lift((1, 2), (0, 0)) == Undetermined("no_exposures", 2)
    assert lift((1, 2), (0, 3)) == Undetermined("zero_denominator", 5)
    assert lift((0, 2), (1, 3)).value == lift((0, 2), (1, 3)).low == -1.0
    assert ratio_limits((0, 5), (0, 5)) == (0.0, math.inf)
    assert pooled_p_value((0, 0), (1, 2)) is None


def test_misuse_is_refused():
    share = proportion_interval(1, 2)
    with pytest.raises(StatsError):
        difference_limits(share, proportion_interval(1, 2, level=0.9))
    with pytest.raises(StatsError):
        difference_limits(share, Estimate(0.5, None, None, 0.95, "wilson", 1, "too_few"))
    for one in [(3, 2), (-1, 2), (math.nan, 2)]:
        for ask in (ratio_limits, pooled_p_value, lift):
            with pytest.raises(StatsError):
                ask(one, (1, 2))
    with pytest.raises(StatsError):
        ratio_limits((0, 0), (1, 2))
