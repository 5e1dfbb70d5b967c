"""Effects and lifts of means against printed examples, published experiments, SciPy, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from app.stats.comparison import means
from app.stats.comparison.difference import Difference
from app.stats.comparison.ratios import as_mean
from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError, Undetermined
from tests.support.experiments import hillstrom, reference
from tests.support.intervals import covers_as_stated, held_as_stated

SAMPLES = st.lists(st.integers(-1000, 1000), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1)


@given(SAMPLES, SAMPLES)
def test_the_effect_is_welchs(treated, control):
    found, oracle = means.effect(Sums.of(treated), Sums.of(control)), ttest_ind(treated, control, equal_var=False)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)
    assert found.degrees_of_freedom == pytest.approx(oracle.df, rel=1e-6)
    ends, theirs = found.interval(level=0.9), oracle.confidence_interval(0.9)
    assert (ends.low, ends.high) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-6)


@pytest.mark.real_data
@pytest.mark.parametrize("metric", ["visit", "conversion", "spend"])
@pytest.mark.parametrize("pair", [(1, 0), (2, 0), (1, 2)])
def test_hillstroms_e_mails_have_the_reference_effects(real_data, metric, pair):
    arms = hillstrom(real_data, metric)
    one, other = (list(arms)[place] for place in pair)
    expected = reference(real_data, "hillstrom")["effects"][f"{one} - {other} | {metric}"]
    unit = 100 if metric == "spend" else 1
    effect, lift = means.effect(arms[one], arms[other]), means.lift(arms[one], arms[other])
    # The reference is printed to 8 decimals of an effect and 6 of a lift, the issue asks for 1e-4 relative.
    assert effect.value / unit == pytest.approx(expected["diff"], rel=1e-4)
    assert effect.standard_error / unit == pytest.approx(expected["se"], rel=1e-4)
    ends = effect.interval()
    assert (ends.low / unit, ends.high / unit) == pytest.approx(tuple(expected["welch_ci95"]), rel=1e-5)
    assert effect.p_value == pytest.approx(expected["welch_p"], rel=1e-4)
    assert lift.value == pytest.approx(expected["relative_lift"], rel=1e-5)
    low, high = expected["relative_lift_delta_ci95"]
    # There with normal quantiles, here with t at over 30,000 degrees of freedom: 2e-5 of a half width of under 1.
    assert (lift.interval().low, lift.interval().high) == pytest.approx((low, high), abs=3e-5)


@pytest.mark.real_data
@pytest.mark.parametrize("metric", ["visit", "conversion", "spend"])
@pytest.mark.parametrize("arm", ["Mens E-Mail", "Womens E-Mail"])
def test_lifts_are_those_of_an_experiment_engine(real_data, metric, arm):
    arms = hillstrom(real_data, metric)
    engine = reference(real_data, "hillstrom", "reference_gbstats.json")["hillstrom"][f"{arm} vs none | {metric}"]
    found = means.lift(arms[arm], arms["No E-Mail"])
    assert found.value == pytest.approx(engine["relative"]["expected"], rel=1e-6)
    # It divides the variance of a share by n, not n - 1: its half width is shorter by a part of 1 / (2 x 21,306). And it
    # counts degrees of freedom otherwise for a lift, of which there are tens of thousands: some 2e-6 of a half width.
    ends = found.interval()
    tolerance = (ends.high - found.value) * (1 / (2 * 21306) + 2e-6) + 1e-8
    assert (ends.low, ends.high) == pytest.approx(tuple(engine["relative"]["ci"]), abs=tolerance)


@given(SAMPLES, st.lists(st.integers(1, 1000), min_size=2, max_size=30), st.integers(2, 50))
def test_a_lift_has_no_unit(treated, control, factor):
    small = means.lift(Sums.of(treated), Sums.of(control))
    large = means.lift(Sums.of([factor * each for each in treated]), Sums.of([factor * each for each in control]))
    if isinstance(small, Undetermined):
        assert large == small
        return
    assert large.value == pytest.approx(small.value, rel=1e-12, abs=1e-12)
    assert large.standard_error == pytest.approx(small.standard_error, rel=1e-12)


def test_arms_of_nobody_of_one_and_of_equals():
    nobody, one, equal, usual = Sums.of([]), Sums.of([3]), Sums.of([2, 2]), Sums.of([1, 2, 3])
    for compare in (means.effect, means.lift):
        assert compare(nobody, usual) == Undetermined("no_exposures", 3)
        assert compare(usual, one) == Undetermined("too_few", 4)
    still = means.effect(equal, equal)
    assert (still.value, still.p_value, still.interval().reason) == (0.0, None, "zero_variance")


@pytest.mark.parametrize("control", [[0, 0], [-5, 5], [-5, 1]])
def test_of_nothing_and_of_a_loss_there_is_no_share(control):
    assert means.lift(Sums.of([1, 2]), Sums.of(control)) == Undetermined("zero_denominator", 4)
    assert isinstance(means.effect(Sums.of([1, 2]), Sums.of(control)), Difference)


def spending(generator, n, *, buyers):
    """Most spend nothing, the others a skewed amount of 40 on average: exponential, in cents."""
    return np.rint(100 * generator.exponential(40.0, n) * (generator.random(n) < buyers)).astype(np.int64)


def test_effects_and_lifts_of_spend_cover_the_truth_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    # Expected spend of 40 x .25 and 40 x .2 for each customer: 200 cents more, a quarter.
    arms = [
        (Sums.of(spending(generator, 2000, buyers=0.25)), Sums.of(spending(generator, 1500, buyers=0.2)))
        for _ in range(600)
    ]
    assert covers_as_stated([means.effect(*pair).interval() for pair in arms], 200.0)
    assert covers_as_stated([means.lift(*pair).interval() for pair in arms], 0.25)


def test_without_an_effect_a_find_is_as_rare_as_stated():
    generator = np.random.default_rng(20261122)
    found = sum(
        means.effect(
            Sums.of(spending(generator, 1000, buyers=0.2)), Sums.of(spending(generator, 1000, buyers=0.2))
        ).p_value
        < 0.05
        for _ in range(800)
    )
    assert held_as_stated(800 - found, 800, level=0.95)


def orders(generator, n, *, value):
    """Customers differ in how many orders they make and in how large these are: value and number go together."""
    number = generator.poisson(generator.gamma(2.0, 1.0, n))
    total = np.rint(number * generator.gamma(4.0, value / 4, n)).astype(np.int64)
    return Sums.of(total, number)


def test_ratios_cover_the_truth_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    arms = [(orders(generator, 800, value=5500), orders(generator, 800, value=5000)) for _ in range(600)]
    assert covers_as_stated([means.effect(*map(as_mean, pair)).interval() for pair in arms], 500.0)
    assert covers_as_stated([means.lift(*map(as_mean, pair)).interval() for pair in arms], 0.1)


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(1, 50)), min_size=3, max_size=30))
def test_a_ratio_has_the_delta_methods_variance(rows):
    total, number = (np.array(column, float) for column in zip(*rows, strict=True))
    sums = Sums.of([own for own, _ in rows], [beside for _, beside in rows])
    ratio, found = total.sum() / number.sum(), as_mean(sums)
    covariance = np.cov(total, number)
    expected = (covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]) / number.mean() ** 2
    assert float(found.mean) == pytest.approx(ratio, rel=1e-12, abs=1e-12)
    assert float(found.variance) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_ratio_over_nothing_is_none():
    assert as_mean(Sums.of([], [])) == Undetermined("zero_denominator", 0)
    assert as_mean(Sums.of([3, 4], [0, 0])) == Undetermined("zero_denominator", 2)
    assert as_mean(Sums.of([3, 4], [1, -1])) == Undetermined("zero_denominator", 2)


@pytest.mark.parametrize(
    "numbers",
    [(math.nan, 1.0, 5.0, 3), (1.0, -1.0, 5.0, 3), (1.0, math.inf, 5.0, 3), (1.0, 1.0, 0.0, 3), (1.0, 1.0, 5.0, -3)],
)
def test_what_is_no_difference_is_refused(numbers):
    with pytest.raises(StatsError):
        Difference(*numbers, "welch")
