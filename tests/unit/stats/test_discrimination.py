"""Ranking measures against a published table, all pairs counted one by one, scikit-learn, and simulation."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from app.stats.discrimination import average_precision, lift, roc_auc
from app.stats.estimate import Estimate, StatsError, Undetermined
from tests.support.intervals import covers_as_stated

MEASURES = [roc_auc, average_precision, lift]
Z = 1.959963984540054
CASES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=4, max_size=40).filter(
    lambda rows: len({happened for _, happened in rows}) == 2
)


def standard_error(found):
    """Take the logit transformation back."""
    return (logit(found.high) - logit(found.low)) / (2 * Z) * found.value * (1 - found.value)


def binormal(generator, n, *, rate, distance):
    happened = generator.random(n) < rate
    return generator.normal(distance * happened), happened


def test_the_ratings_of_hanley_and_mcneil_have_the_published_area_and_standard_error():
    # Hanley and McNeil (1982), Radiology 143, table I: 109 scans by rating 1 to 5, of 58 normal and 51 abnormal. Area and
    # DeLong's standard error as printed for `roctab disease rating` in the Stata Base Reference Manual: 0.8932, 0.0307,
    # 0.83295 to 0.95339 (there symmetrical).
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.repeat([1, 2, 3, 4, 5] * 2, normal + abnormal)
    found = roc_auc(ratings, np.repeat([False, True], [58, 51]))
    assert round(found.value, 4) == 0.8932
    # The printed ends are rounded to 5 digits, each by half a unit at most.
    assert 2 * Z * standard_error(found) == pytest.approx(0.95339 - 0.83295, abs=1e-5)
    assert (found.method, found.n, found.level) == ("delong", 109, 0.95)


@given(CASES)
def test_the_area_is_the_share_of_pairs_in_order_and_its_variance_that_of_the_shares(rows):
    scores, happened = (np.array(column) for column in zip(*rows, strict=True))
    positives, negatives = scores[happened], scores[~happened]
    won = (positives[:, None] > negatives).astype(float) + (positives[:, None] == negatives) / 2
    found = roc_auc(scores, happened)
    assert found.value == pytest.approx(won.mean(), abs=1e-12)
    if min(won.shape) >= 2 and 0 < found.value < 1:
        # DeLong, DeLong and Clarke-Pearson (1988), equation 4 and after, by all pairs.
        variance = won.mean(axis=1).var(ddof=1) / len(positives) + won.mean(axis=0).var(ddof=1) / len(negatives)
        if found.reason is None:
            assert standard_error(found) == pytest.approx(math.sqrt(variance), rel=1e-6)
        else:
            assert variance == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=40)
@given(CASES)
def test_values_are_scikit_learns(rows):
    scores, happened = zip(*rows, strict=True)
    assert roc_auc(scores, happened).value == pytest.approx(roc_auc_score(happened, scores), abs=1e-12)
    assert average_precision(scores, happened).value == pytest.approx(
        average_precision_score(happened, scores), abs=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_the_variance_of_average_precision_is_that_of_the_influences_found_by_weighing_each_customer(rows):
    # scikit-learn's average precision with one customer's weight moved by a little: its derivative is the influence.
    scores, happened = (np.array(column) for column in zip(*rows, strict=True))
    found, step, n = average_precision(scores, happened), 1e-5, len(scores)
    influences = []
    for one in range(n):
        moved = [
            average_precision_score(happened, scores, sample_weight=np.where(np.arange(n) == one, 1 + way, 1.0))
            for way in (step, -step)
        ]
        influences.append((moved[0] - moved[1]) / (2 * step))
    expected = math.sqrt(sum(each**2 for each in influences) * n / (n - 1))
    if found.reason is None:
        # The central difference errs by the third derivative times its squared step.
        assert standard_error(found) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_lift_is_the_rate_at_the_top_over_the_rate_of_all():
    scores = np.arange(100)
    happened = np.zeros(100, bool)
    happened[[99, 98, 97, 96, 95, 50, 40, 30, 20, 10]] = True
    # Five of the ten highest, ten of all hundred.
    assert lift(scores, happened, share=0.1).value == pytest.approx(5.0, rel=1e-12)
    assert lift(scores, happened, share=0.05).value == pytest.approx(10.0, rel=1e-12)


def test_lift_shares_out_the_outcomes_of_those_whom_the_cut_parts():
    # Three of the eight tied ones are positives and two of the eight are within the cut: 2 x 3/8 of a hit.
    scores, happened = [1] * 8, [True] * 3 + [False] * 5
    assert lift(scores, happened, share=0.25).value == pytest.approx(1.0, rel=1e-12)


def test_lift_has_an_interval_where_nobody_or_everybody_at_the_top_is_a_hit():
    scores = np.arange(40)
    none = lift(scores, scores < 10, share=0.25)
    every = lift(scores, scores >= 30, share=0.25)
    assert none.value == none.low == 0.0 < none.high < 1.0
    assert 1.0 < every.low < every.value == every.high == 4.0


def test_areas_cover_the_true_one_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    found = [roc_auc(*binormal(generator, 400, rate=0.3, distance=1.0)) for _ in range(1500)]
    # Two normals of unit variance one apart: the area is the probability that their difference is positive.
    assert covers_as_stated(found, float(norm.cdf(1 / math.sqrt(2))))


def test_average_precision_covers_the_true_one_as_often_as_stated():
    # The truth by integrating precision over the scores of the positives.
    grid = np.linspace(-8, 10, 200_001)
    recall, noise = norm.sf(grid - 1.0), norm.sf(grid)
    precision = 0.3 * recall / (0.3 * recall + 0.7 * noise)
    truth = float(np.trapezoid(precision * norm.pdf(grid - 1.0), grid))
    generator = np.random.default_rng(20261122)
    found = [average_precision(*binormal(generator, 1000, rate=0.3, distance=1.0)) for _ in range(1500)]
    assert covers_as_stated(found, truth)


def test_lift_never_covers_less_often_than_stated():
    # Where customers differ within the top tenth as well, theirs is less than binomial variation: coverage is more than
    # stated, not less. The score of 10 % probability at the 90 % quantile is found by inverting the mixture.
    generator = np.random.default_rng(20261122)
    grid = np.linspace(-8, 10, 200_001)
    above = 0.3 * norm.sf(grid - 1.0) + 0.7 * norm.sf(grid)
    cut = float(np.interp(-0.1, -above, grid))
    truth = float(norm.sf(cut - 1.0)) / 0.1
    found = [lift(*binormal(generator, 1000, rate=0.3, distance=1.0)) for _ in range(1000)]
    held = sum(each.low <= truth <= each.high for each in found)
    # Two standard deviations of the binomial below 95 % of 1,000.
    assert held >= 950 - 2 * math.sqrt(1000 * 0.95 * 0.05)


@pytest.mark.parametrize("measure", MEASURES)
def test_of_nobody_and_of_one_class_nothing_is_said(measure):
    assert measure([], []) == Undetermined("zero_denominator", 0)
    assert measure([0.1, 0.7], [True, True]) == Undetermined("one_class", 2)
    assert measure([0.1, 0.7], [False, False]) == Undetermined("one_class", 2)


def test_a_single_member_of_a_class_has_an_area_without_an_interval():
    one_positive = roc_auc([0.1, 0.2, 0.3], [False, True, False])
    assert one_positive == Estimate(0.5, None, None, 0.95, "delong", 3, "too_few_positives")
    assert roc_auc([0.1, 0.2, 0.3], [True, False, True]).reason == "too_few"
    assert average_precision([0.1, 0.2, 0.3], [False, True, False]).reason == "too_few_positives"


def test_a_perfect_ranking_has_no_interval_that_would_be_nothing_wide():
    scores = [0.1, 0.2, 0.7, 0.8]
    assert roc_auc(scores, [0, 0, 1, 1]) == Estimate(1.0, None, None, 0.95, "delong", 4, "zero_variance")
    assert roc_auc(scores, [1, 1, 0, 0]).value == 0.0
    assert average_precision(scores, [0, 0, 1, 1]).reason == "zero_variance"


def test_less_than_one_customer_has_no_lift():
    assert lift([0.1, 0.2, 0.3], [True, False, True], share=0.1) == Undetermined("too_few", 3)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("scores", "outcomes"),
    [
        ([0.1, math.nan], [True, False]),
        ([0.1, math.inf], [True, False]),
        ([0.1], [True, False]),
        ([0.1, 0.2], [2, 0]),
        ([0.1, 0.2], [math.nan, 0]),
        ([[0.1, 0.2]], [[True, False]]),
        (["a", "b"], [True, False]),
    ],
)
def test_what_are_no_scores_and_outcomes_is_refused(measure, scores, outcomes):
    with pytest.raises(StatsError):
        measure(scores, outcomes)


@pytest.mark.parametrize("share", [0.0, 1.0, 10, math.nan])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(StatsError):
        lift([0.1, 0.2], [True, False], share=share)


def test_a_million_customers_take_about_a_second():
    generator = np.random.default_rng(0)
    scores, happened = binormal(generator, 1_000_000, rate=0.1, distance=1.0)
    started = time.perf_counter()
    found = roc_auc(scores, happened)
    # A quarter of a second on a quiet machine; the bound only tells sorting from comparing all pairs.
    assert time.perf_counter() - started < 5.0
    assert found.low < norm.cdf(1 / math.sqrt(2)) < found.high
