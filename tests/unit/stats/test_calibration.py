"""Calibration measures against Brier's own example, closed forms, scikit-learn, and simulation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from app.stats.calibration import (
    brier_score,
    brier_skill,
    calibration_line,
    expected_calibration_error,
    log_loss,
    reliability,
)
from app.stats.estimate import Estimate, StatsError, Undetermined
from tests.support.intervals import covers_as_stated

CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40)


def drawn(generator, n, *, intercept=0.0, slope=1.0):
    """Customers whose outcomes follow the recalibrated probabilities, not those stated."""
    stated = generator.beta(2.0, 3.0, n)
    return stated, generator.random(n) < expit(intercept + slope * logit(stated))


def test_the_score_of_briers_example_is_the_printed_one():
    # Brier (1950), Monthly Weather Review 78, table 1: ten forecasts of rain, which fell on the 2nd to the 4th occasion.
    # He counts both classes: P = 0.19, twice the score of one.
    forecasts = [0.7, 0.9, 0.8, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1]
    assert 2 * brier_score(forecasts, [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]).value == pytest.approx(0.19, rel=1e-12)


@settings(max_examples=40)
@given(CASES)
def test_losses_are_scikit_learns(rows):
    stated, happened = zip(*rows, strict=True)
    assert brier_score(stated, happened).value == pytest.approx(metrics.brier_score_loss(happened, stated), abs=1e-12)
    expected = metrics.log_loss(happened, stated, labels=[False, True])
    assert log_loss(stated, happened).value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_log_loss_of_the_impossible_is_large_and_finite():
    assert log_loss([0.0], [True]).value == pytest.approx(-math.log(2.0**-52), rel=1e-12)


def test_the_base_rate_has_no_skill_and_perfection_has_all():
    happened = [True, False, False, False]
    assert brier_skill([0.25] * 4, happened).value == pytest.approx(0.0, abs=1e-12)
    assert brier_skill(happened, happened).value == 1.0
    # A base rate known beforehand errs more: (.25^2 + 3 x .25^2) / 4 saved of (.5^2) = 1/4 with .1875 in its place.
    assert brier_skill([0.25] * 4, happened, base_rate=0.5).value == pytest.approx(0.25, rel=1e-12)


def test_a_reliability_table_counts_everybody_once():
    generator = np.random.default_rng(3)
    stated, happened = drawn(generator, 1003)
    table = reliability(stated, happened, bins=10)
    assert [row.n for row in table] == [101, 100, 100, 101, 100, 100, 101, 100, 100, 100]
    assert sum(row.observed.value * row.n for row in table) == pytest.approx(happened.sum())
    assert sum(row.mean_probability * row.n for row in table) == pytest.approx(stated.sum())
    assert all(before.high < after.low for before, after in pairwise(table))
    assert all(row.observed.method == "wilson" for row in table)


def test_customers_of_one_probability_stay_together():
    table = reliability([0.0] * 6 + [0.5] * 3 + [0.9], [False] * 9 + [True], bins=5)
    assert [(row.low, row.high, row.n) for row in table] == [(0.0, 0.0, 6), (0.5, 0.5, 3), (0.9, 0.9, 1)]
    assert len(reliability([0.3] * 100, [True] * 100)) == 1


def test_calibration_error_is_the_mean_distance_weighted_by_customers():
    # Two groups of 3 and 1: |0.2 - 1/3| x 3/4 + |0.8 - 1| x 1/4.
    error = expected_calibration_error([0.2, 0.2, 0.2, 0.8], [True, False, False, True], bins=2)
    assert error == pytest.approx((1 / 3 - 0.2) * 0.75 + 0.2 * 0.25, rel=1e-12)


def test_calibration_error_of_the_calibrated_is_what_chance_leaves():
    generator = np.random.default_rng(5)
    errors = [expected_calibration_error(*drawn(generator, 1000)) for _ in range(200)]
    # A group's deviation is nearly normal: its mean distance is its standard deviation times sqrt(2 / pi). Variance by
    # group is the mean of p (1 - p), .2 for Beta(2, 3): 2 x 3 / (5 x 6). Spread over groups only lowers the mean root.
    chance = math.sqrt(2 * 0.2 * 10 / (math.pi * 1000))
    spread = 3 * np.std(errors) / math.sqrt(len(errors))
    assert 0.9 * chance < np.mean(errors) < chance + spread


def test_the_line_of_two_groups_goes_through_their_observed_log_odds():
    # 20 % said, 30 of 100; 70 % said, 60 of 100: two equations, two unknowns. The variance of a log odds is that of
    # Woolf (1955), 1/k + 1/(n - k), and the slope is the difference of two over the difference of those stated.
    stated = [0.2] * 100 + [0.7] * 100
    happened = [True] * 30 + [False] * 70 + [True] * 60 + [False] * 40
    slope = (logit(0.6) - logit(0.3)) / (logit(0.7) - logit(0.2))
    error = math.sqrt(1 / 30 + 1 / 70 + 1 / 60 + 1 / 40) / (logit(0.7) - logit(0.2))
    line = calibration_line(stated, happened)
    assert line.slope.value == pytest.approx(slope, rel=1e-9)
    assert line.intercept.value == pytest.approx(logit(0.3) - slope * logit(0.2), rel=1e-9)
    assert line.slope.high - line.slope.value == pytest.approx(1.959963984540054 * error, rel=1e-9)


def test_the_line_is_that_of_an_unpenalised_logistic_regression():
    stated, happened = drawn(np.random.default_rng(11), 2000, intercept=-0.4, slope=0.7)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(stated)[:, None], happened)
    line = calibration_line(stated, happened)
    # Its own convergence: the gradient of the mean loss, 1e-10, against a curvature of some hundredths.
    assert line.slope.value == pytest.approx(float(oracle.coef_[0, 0]), rel=1e-4)
    assert line.intercept.value == pytest.approx(float(oracle.intercept_[0]), rel=1e-4)


def test_in_the_large_the_fitted_mean_is_the_observed_rate():
    stated, happened = drawn(np.random.default_rng(12), 500, intercept=1.5)
    shift = calibration_line(stated, happened).in_the_large.value
    assert float(expit(logit(stated) + shift).mean()) == pytest.approx(happened.mean(), rel=1e-9)


def test_very_wrong_probabilities_still_have_a_line():
    # Certain of the opposite for 1 of 1,000 on either side: Newton's own steps from the start overshoot here.
    stated = np.concatenate((np.full(1000, 1e-6), np.full(1000, 1 - 1e-6)))
    happened = np.concatenate((np.arange(1000) < 990, np.arange(1000) >= 990))
    line = calibration_line(stated, happened)
    assert line.slope.value == pytest.approx(-logit(0.99) / logit(1 - 1e-6), rel=1e-6)


def test_intervals_cover_the_truth_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    samples = [drawn(generator, 600, intercept=0.3, slope=0.8) for _ in range(500)]
    lines = [calibration_line(*sample) for sample in samples]
    assert covers_as_stated([line.slope for line in lines], 0.8)
    assert covers_as_stated([line.intercept for line in lines], 0.3)
    # Expected losses by integrating over the law of what is stated.
    stated = np.linspace(0.0, 1.0, 20_001)[1:-1]
    weight = beta.pdf(stated, 2.0, 3.0) / 20_000
    chance = expit(0.3 + 0.8 * logit(stated))
    brier = float(weight @ (chance * (1 - stated) ** 2 + (1 - chance) * stated**2))
    surprise = -float(weight @ (chance * np.log(stated) + (1 - chance) * np.log1p(-stated)))
    assert covers_as_stated([brier_score(*sample) for sample in samples], brier)
    assert covers_as_stated([log_loss(*sample) for sample in samples], surprise)
    rate = float(weight @ chance)
    assert covers_as_stated([brier_skill(*sample) for sample in samples], 1 - brier / (rate * (1 - rate)))


@pytest.mark.parametrize("measure", [brier_score, log_loss, brier_skill])
def test_nobody_has_no_loss(measure):
    assert measure([], []) == Undetermined("zero_denominator", 0)
    assert reliability([], []) == []


def test_one_customer_has_a_loss_and_no_interval():
    assert brier_score([0.5], [True]) == Estimate(0.25, None, None, 0.95, "student_t", 1, "too_few")
    assert brier_score([0.5, 0.5], [True, False]).reason == "zero_variance"
    assert brier_skill([0.5], [True], base_rate=0.25).reason == "too_few"
    assert brier_skill([0.5, 0.4], [True, True]) == Undetermined("one_class", 2)


def test_where_no_line_fits_it_says_why():
    nobody = calibration_line([], [])
    assert nobody.slope == nobody.in_the_large == Undetermined("zero_denominator", 0)
    assert calibration_line([0.2, 0.4], [True, True]).slope == Undetermined("one_class", 2)
    equal = calibration_line([0.2, 0.2, 0.2, 0.2], [True, False, False, True])
    assert (equal.slope, equal.intercept) == (Undetermined("zero_variance", 4),) * 2
    assert equal.in_the_large.value == pytest.approx(-logit(0.2), rel=1e-9)
    parted = calibration_line([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert parted.slope == Undetermined("not_converged", 4)
    assert isinstance(parted.in_the_large, Estimate)


@given(CASES)
def test_a_line_is_finite_or_has_a_reason(rows):
    stated, happened = zip(*rows, strict=True)
    line = calibration_line(stated, happened)
    for part in (line.intercept, line.slope, line.in_the_large):
        assert isinstance(part, Estimate | Undetermined)


@pytest.mark.parametrize(
    ("stated", "happened"),
    [([1.1], [True]), ([-0.1], [True]), ([math.nan], [True]), ([0.5], [2]), ([0.5, 0.5], [True])],
)
def test_what_is_no_probability_is_refused(stated, happened):
    for measure in (brier_score, log_loss, brier_skill, reliability, calibration_line, expected_calibration_error):
        with pytest.raises(StatsError):
            measure(stated, happened)


def test_misuse_is_refused():
    with pytest.raises(StatsError):
        reliability([0.5], [True], bins=0)
    with pytest.raises(StatsError):
        expected_calibration_error([], [])
    with pytest.raises(StatsError):
        brier_skill([0.5], [True], base_rate=50)
