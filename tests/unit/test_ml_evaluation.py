"""Judgements of segmentations, agreement and effect sizes: against scikit-learn, brute force and published tables."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from app.ml import evaluation
from app.stats.agreement import adjusted_rand_index
from app.stats.effect_size import eta_squared
from app.stats.estimate import StatsError, Undetermined


@pytest.fixture
def grouped():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 2_500)
    return random.normal(size=(4, 3))[labels] * 2 + random.normal(size=(2_500, 3)), labels


def test_figures_are_those_of_scikit_learn(grouped):
    points, labels = grouped
    ours = (evaluation.silhouette, evaluation.davies_bouldin, evaluation.calinski_harabasz)
    theirs = (metrics.silhouette_score, metrics.davies_bouldin_score, metrics.calinski_harabasz_score)
    for our, their in zip(ours, theirs, strict=True):
        assert our(points, labels).value == pytest.approx(their(points, labels), rel=1e-9)
        noisy = np.where(np.arange(2_500) % 7 == 0, -1, labels)
        assert our(points, noisy).value == pytest.approx(their(points[noisy >= 0], noisy[noisy >= 0]), rel=1e-9)


def test_several_silhouettes_at_once_are_the_single_ones(grouped):
    points, labels = grouped
    other = (labels > 1).astype(np.int64)
    together = evaluation.silhouettes(points, [labels, other])
    assert together == [evaluation.silhouette(points, labels), evaluation.silhouette(points, other)]


def test_beyond_the_limit_a_sample_is_compared_and_says_so(grouped):
    points, labels = grouped
    found = evaluation.silhouette(points, labels, most=1_000, seed=3)
    assert (found.n, found.sampled) == (1_000, True)
    # Silhouettes lie in -1..1, so 1,000 of them estimate their mean within 2 / sqrt(1000) = .06 nearly surely.
    assert found.value == pytest.approx(evaluation.silhouette(points, labels).value, abs=0.06)


@pytest.mark.parametrize(
    ("labels", "reason"), [([0, 0, 0], "one_segment"), ([-1, -1, -1], "one_segment"), ([0, 1, 2], "too_few")]
)
def test_what_is_undefined_has_a_reason(labels, reason):
    points = np.array([[0.0], [1.0], [5.0]])
    for judge in (evaluation.silhouette, evaluation.davies_bouldin, evaluation.calinski_harabasz):
        found = judge(points, np.array(labels))
        assert (found.value, found.reason) == (None, reason)


def test_equal_points_in_two_segments_have_no_ratio():
    points, labels = np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1])
    assert evaluation.silhouette(points, labels).value == 0.0
    assert evaluation.davies_bouldin(points, labels).reason == "zero_variance"
    assert evaluation.calinski_harabasz(points, labels).reason == "zero_variance"


def test_stability_is_one_for_a_rule_and_low_for_a_coin(grouped):
    points, _ = grouped
    half = (points[:, 0] > 0).astype(np.int64)
    rule = evaluation.stability(points, half, lambda part, seed: (part[:, 0] > 0).astype(np.int64))
    coin = evaluation.stability(
        points, half, lambda part, seed: np.random.default_rng(seed).integers(0, 2, part.shape[0])
    )
    assert rule.value == 1.0
    # Unrelated groupings agree by 0 on average; 1 / sqrt(number compared) is their spread's order.
    assert abs(coin.value) < 0.02


def test_stability_without_refits_or_segments_has_a_reason(grouped):
    points, labels = grouped
    assert evaluation.stability(points, labels, lambda part, seed: labels, bootstraps=0).reason == "not_refitted"
    one = np.zeros_like(labels)
    assert evaluation.stability(points, one, lambda part, seed: one).reason == "one_segment"


def test_adjusted_rand_is_that_of_scikit_learn():
    random = np.random.default_rng(1)
    for _ in range(50):
        one, other = random.integers(-1, 5, (2, int(random.integers(2, 200))))
        assert adjusted_rand_index(one, other) == pytest.approx(metrics.adjusted_rand_score(one, other), abs=1e-12)


def test_adjusted_rand_of_the_published_table():
    # Hubert and Arabie (1985), table 2, as used by Yeung and Ruzzo (2001), supplement: rows 1 1 0, 1 2 1, 0 0 4.
    one = np.repeat([0, 1, 2], [2, 4, 4])
    other = np.array([0, 1, 0, 1, 1, 2, 2, 2, 2, 2])
    assert adjusted_rand_index(one, other) == pytest.approx(0.313, abs=5e-4)


def test_adjusted_rand_at_its_ends():
    assert adjusted_rand_index([3, 3, 3], [0, 0, 0]) == 1.0
    assert adjusted_rand_index([0, 1, 2], [5, 9, 7]) == 1.0
    assert adjusted_rand_index([0, 0, 1, 1], [0, 0, 0, 0]) == 0.0
    assert adjusted_rand_index([1], [1]) == Undetermined("too_few", 1)
    assert adjusted_rand_index([], []) == Undetermined("too_few", 0)


@pytest.mark.parametrize(("one", "other"), [([0, 1], [0]), ([[0, 1]], [[0, 1]]), ([0.5, 1], [0, 1])])
def test_what_is_no_grouping_has_no_agreement(one, other):
    with pytest.raises(StatsError):
        adjusted_rand_index(one, other)


def test_adjusted_rand_of_millions_does_not_overflow():
    one = np.repeat([0, 1], 3_000_000)
    assert adjusted_rand_index(one, 1 - one) == 1.0


def test_eta_squared_is_that_of_the_analysis_of_variance():
    random = np.random.default_rng(3)
    x, y = random.poisson(5, 40).astype(float), random.poisson(4, 70).astype(float)
    # From the F statistic of scipy.
    f = stats.f_oneway(x, y).statistic
    assert eta_squared(np.concatenate([x, y]), np.repeat([0, 1], [40, 70])) == pytest.approx(f / (f + 108))


def test_groups_that_explain_everything_have_an_effect_of_one():
    assert eta_squared([1.0, 1, 2, 2], [0, 0, 1, 1]) == 1.0


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (eta_squared([1.0, 2, 3], [0, 0, 0]), "too_few"),
        (eta_squared([1.0, 2], [0, 1]), "too_few"),
        (eta_squared([2.0, 2, 2], [0, 0, 1]), "zero_variance"),
    ],
)
def test_an_effect_without_data_is_undetermined(found, reason):
    assert isinstance(found, Undetermined)
    assert found.reason == reason


def test_samples_that_are_not_finite_are_refused():
    with pytest.raises(StatsError, match="values"):
        eta_squared([np.nan, 1.0], [0, 1])
    with pytest.raises(StatsError, match="groups"):
        eta_squared([1.0, 2.0], [0])
