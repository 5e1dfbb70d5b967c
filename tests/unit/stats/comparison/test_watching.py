"""What is looked at often: sample ratio, confidence sequences, posteriors, many segments, power and the A/A test."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chisquare, false_discovery_control, norm

from app.stats.comparison import means
from app.stats.comparison.bayesian import Prior, posterior
from app.stats.comparison.difference import Difference
from app.stats.comparison.multiple import benjamini_hochberg, shrunk
from app.stats.comparison.power import customers_per_arm, growth_needed, minimum_detectable_effect, power
from app.stats.comparison.sample_ratio import sample_ratio
from app.stats.comparison.self_test import false_positive_rate
from app.stats.comparison.sequential import always_valid, always_valid_p
from app.stats.comparison.sums import Sums
from app.stats.comparison.winsorising import upper_limit, winsorised
from app.stats.estimate import Estimate, StatsError, Undetermined
from tests.support.experiments import hillstrom, reference, table
from tests.support.intervals import held_as_stated

STILL = Difference(0.5, 0.0, math.inf, 10, "welch")


def z_moves(found):
    """How much a p-value moves with the engine's divisor: about z^2 times a part of 1 / 21,306 in its logarithm."""
    return (found.value / found.standard_error) ** 2 / 21306 + 1e-5


def normal(value, error, n=1000):
    return Difference(value, error, math.inf, n, "welch")


@pytest.mark.real_data
@pytest.mark.parametrize("metric", ["visit", "conversion", "spend"])
@pytest.mark.parametrize("arm", ["Mens E-Mail", "Womens E-Mail"])
def test_sequences_and_posteriors_are_those_of_an_experiment_engine(real_data, metric, arm):
    arms = hillstrom(real_data, metric)
    engine = reference(real_data, "hillstrom", "reference_gbstats.json")["hillstrom"][f"{arm} vs none | {metric}"]
    for compare, scale, name in (
        (means.effect, 100 if metric == "spend" else 1, "absolute"),
        (means.lift, 1, "relative"),
    ):
        found, expected = compare(arms[arm], arms["No E-Mail"]), engine[name]
        # Printed to 8 significant digits. The engine divides the variance of a share by n, not n - 1: its half width is
        # shorter by a part of 1 / (2 x 21,306), of a sequence of some 3.2 standard errors.
        tolerance = 3.3 * found.standard_error / scale / (2 * 21306) + 1e-7
        ends = always_valid(found, tuning=5000)
        assert (ends.low / scale, ends.high / scale) == pytest.approx(tuple(expected["sequential_ci"]), abs=tolerance)
        assert always_valid_p(found) == pytest.approx(expected["sequential_p"], rel=z_moves(found))
        belief = posterior(found)
        assert belief.chance_to_win == pytest.approx(expected["bayes_flat_prior_chance_to_win"], abs=1e-6)
        low, high = expected["bayes_ci"]
        assert (belief.difference.low / scale, belief.difference.high / scale) == pytest.approx(
            (low, high), abs=tolerance
        )
        rejected, chosen = expected["bayes_risk"]
        assert belief.loss_if_rejected / scale == pytest.approx(rejected, rel=1e-5)
        # Where it is next to nothing, the two terms of the loss are equal to 16 digits.
        assert belief.loss_if_chosen / scale == pytest.approx(chosen, rel=z_moves(found), abs=1e-15)


@given(st.floats(-10, 10), st.floats(0.01, 5), st.integers(1, 10**7), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_sequential_p_value_and_interval_agree(value, error, n, level):
    found = normal(value, error, n)
    ends, p = always_valid(found, level=level), always_valid_p(found, level=level)
    assert 0.0 <= p <= 1.0
    if abs(p - (1 - level)) > 1e-9:
        assert (p < 1 - level) == (ends.low > 0 or ends.high < 0)


def test_a_sequence_is_half_as_wide_again_where_it_is_tuned_to_be_best():
    # With f = n rho^2 = -2 ln .05 + ln(1 - 2 ln .05) = 7.9361: sqrt(2 (f + 1) / f ln(sqrt(f + 1) / .05)) = 3.0352.
    ends = always_valid(normal(0.0, 1.0, 5000), tuning=5000)
    assert ends.high == pytest.approx(3.0352, abs=5e-5)
    wider = [always_valid(normal(0.0, math.sqrt(5000 / n), n), tuning=5000).high * math.sqrt(n) for n in (500, 50_000)]
    assert min(wider) > ends.high * math.sqrt(5000)


def looks(generator, *, experiments, customers, every):
    """Differences of two arms without an effect, as seen after each batch: skewed figures, of exponential law."""
    shape = (experiments, customers // every, every)
    arms = [generator.exponential(1.0, shape) for _ in range(2)]
    n = every * np.arange(1, shape[1] + 1)
    means_of = [arm.sum(axis=2).cumsum(axis=1) / n for arm in arms]
    squares = [(arm**2).sum(axis=2).cumsum(axis=1) / n for arm in arms]
    variance = sum(square - mean**2 for square, mean in zip(squares, means_of, strict=True)) / n
    return means_of[0] - means_of[1], np.sqrt(variance), 2 * n


def test_peeking_finds_nothing_where_there_is_nothing_and_would_with_the_ordinary_test():
    values, errors, sizes = looks(np.random.default_rng(20261122), experiments=400, customers=4000, every=100)
    sequential = ordinary = 0
    for value, error in zip(values, errors, strict=True):
        seen = [normal(*look) for look in zip(value, error, sizes.tolist(), strict=True)]
        sequential += any(always_valid_p(look) < 0.05 for look in seen)
        ordinary += any(look.p_value < 0.05 for look in seen)
    # At most 5 % by promise; forty looks at the ordinary test find something in a quarter and more (Armitage,
    # McPherson and Rowe 1969, table 2: .29 after 50 looks, .25 after 20).
    assert sequential <= 0.05 * 400
    assert ordinary > 0.2 * 400


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 9)), min_size=2, max_size=6))
def test_the_sample_ratio_is_pearsons_and_skips_arms_of_no_weight(arms):
    counts, weights = (list(column) for column in zip(*arms, strict=True))
    found = sample_ratio([*counts, 77], [*weights, 0])
    if not sum(counts):
        assert found == Undetermined("no_exposures", 0)
        return
    oracle = chisquare(counts, np.array(weights) / sum(weights) * sum(counts))
    assert found.chi_square == pytest.approx(oracle.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)
    assert (found.n, found.degrees_of_freedom) == (sum(counts), len(counts) - 1)


@pytest.mark.real_data
def test_the_sample_ratios_of_published_experiments_are_the_references(real_data):
    for name in ("hillstrom", "cookie_cats"):
        expected = reference(real_data, name)["srm"]
        counts = expected.get("counts") or [expected["n30"], expected["n40"]]
        found = sample_ratio(counts, [1.0] * len(counts))
        assert found.chi_square == pytest.approx(expected["chi2"], abs=1e-6)
        assert found.p_value == pytest.approx(expected["p"], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 3), st.floats(-2, 2), st.floats(0.1, 3))
def test_the_posterior_is_that_of_the_integral(value, error, centre, width):
    found = posterior(normal(value, error), prior=Prior(centre, width))
    spread = 1 / math.sqrt(1 / error**2 + 1 / width**2)
    mean = spread**2 * (value / error**2 + centre / width**2)
    assert found.difference.value == pytest.approx(mean, rel=1e-9, abs=1e-12)
    # The density of the product, normalised and weighed by what is lost: by quadrature.
    loss, _ = quad(lambda x: x * norm.pdf(x, -mean, spread), 0, max(-mean, 0) + 12 * spread)
    assert found.loss_if_chosen == pytest.approx(loss, rel=1e-5, abs=1e-9)
    assert found.loss_if_rejected - found.loss_if_chosen == pytest.approx(mean, rel=1e-9, abs=1e-9)
    assert found.chance_to_win == pytest.approx(norm.sf(0, mean, spread), abs=1e-9)


def test_what_does_not_vary_has_no_interval_posterior_or_p_value():
    assert always_valid(STILL) == Estimate(0.5, None, None, 0.95, "confidence_sequence", 10, "zero_variance")
    assert always_valid_p(STILL) is None
    assert posterior(STILL) == Undetermined("zero_variance", 10)
    assert shrunk([STILL, *[normal(1.0, 1.0)] * 3]) == Undetermined("zero_variance", 3010)
    assert shrunk([normal(1.0, 1.0)] * 3) == Undetermined("too_few", 3000)
    assert sample_ratio([5, 3], [1.0, 0.0]) == Undetermined("too_few", 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_and_hochbergs_is_scipys(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values), rel=1e-9, abs=1e-300)


@pytest.mark.real_data
def test_the_nine_tests_of_hillstrom_are_adjusted_as_in_the_reference(real_data):
    tests = reference(real_data, "hillstrom")["multiple_testing"].values()
    found = benjamini_hochberg([each["p"] for each in tests])
    assert found == pytest.approx([each["bh"] for each in tests], rel=1e-5)


def test_the_eight_schools_differ_by_chance_only():
    # Rubin (1981), table 1: effects of coaching and their standard errors in eight schools. Q = 4.7 on 7 degrees of
    # freedom, so the moment estimate of the spread is 0 and the pooled effect 7.7 with standard error 4.1 (Gelman et
    # al., Bayesian Data Analysis, 3rd ed., section 5.5).
    effects, errors = (28, 8, -3, 7, -1, 1, 18, 12), (15, 10, 16, 11, 9, 11, 10, 18)
    found = shrunk([normal(float(value), float(error)) for value, error in zip(effects, errors, strict=True)])
    assert found.spread == 0.0
    assert round(found.mean.value, 1) == 7.7
    assert round((found.mean.high - found.mean.value) / 1.959963984540054, 1) == 4.1
    # With eight segments Morris (1983) draws by (8 - 3) / (8 - 1) at most.
    assert found.each[0].value == pytest.approx(28 - 5 / 7 * (28 - found.mean.value), rel=1e-9)


def test_the_vaccine_trials_are_spread_as_published():
    # Colditz et al. (1994), thirteen trials of the BCG vaccine: cases and others, vaccinated and not, log risk ratios.
    # DerSimonian and Laird's estimates as printed in the documentation of R's metafor: tau^2 .3088, mean -.7141 with
    # standard error .1787.
    trials = [
        (4, 119, 11, 128),
        (6, 300, 29, 274),
        (3, 228, 11, 209),
        (62, 13536, 248, 12619),
        (33, 5036, 47, 5761),
        (180, 1361, 372, 1079),
        (8, 2537, 10, 619),
        (505, 87886, 499, 87892),
        (29, 7470, 45, 7232),
        (17, 1699, 65, 1600),
        (186, 50448, 141, 27197),
        (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ]
    found = shrunk(
        [
            normal(math.log(a / (a + b)) - math.log(c / (c + d)), math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)))
            for a, b, c, d in trials
        ]
    )
    assert round(found.spread**2, 4) == 0.3088
    assert round(found.mean.value, 4) == -0.7141
    assert round((found.mean.high - found.mean.value) / 1.959963984540054, 4) == 0.1787


def test_shrunken_segments_are_nearer_to_the_truth_and_cover_it():
    generator = np.random.default_rng(20261122)
    held, raw, drawn = 0, 0.0, 0.0
    for _ in range(60):
        truth = generator.normal(1.0, 0.5, 30)
        errors = generator.uniform(0.3, 1.5, 30)
        seen = generator.normal(truth, errors)
        found = shrunk([normal(float(value), float(error)) for value, error in zip(seen, errors, strict=True)])
        held += sum(each.low <= true <= each.high for each, true in zip(found.each, truth, strict=True))
        raw += float(((seen - truth) ** 2).sum())
        drawn += float(sum((each.value - true) ** 2 for each, true in zip(found.each, truth, strict=True)))
    # With the true spread known, squared error falls to B v of v; here v is .91 on average and tau^2 .25.
    assert drawn < 0.4 * raw
    assert held_as_stated(held, 1800, level=0.95)


def test_power_is_the_share_of_experiments_that_find_it():
    generator = np.random.default_rng(20261122)
    found = generator.normal(0.5, 0.2, 4000) / 0.2 > norm.ppf(0.975)
    assert held_as_stated(int(found.sum()), 4000, level=power(0.5, 0.2))
    assert power(0.0, 0.2) == pytest.approx(0.025, rel=1e-9)


@given(st.floats(0.01, 100), st.floats(0.5, 0.99), st.floats(0.8, 0.99))
def test_the_smallest_effect_is_the_one_found_with_the_stated_power(error, wanted, level):
    effect = minimum_detectable_effect(error, power=wanted, level=level)
    assert power(effect, error, level=level) == pytest.approx(wanted, rel=1e-9)
    factor = growth_needed(effect / 2, error, power=wanted, level=level)
    assert factor == pytest.approx(4.0, rel=1e-9)
    assert power(effect / 2, error / math.sqrt(factor), level=level) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.real_data
@pytest.mark.parametrize("day", [1, 7])
@pytest.mark.parametrize("rise", [0.02, 0.05])
def test_sample_sizes_agree_with_those_of_the_arcsine(real_data, day, rise):
    # The reference's are made with Cohen's arcsine transformation: the same to the order of the squared effect.
    expected = reference(real_data, "cookie_cats")[f"retention_{day}"]
    base = expected["rate30"]
    raised = base * (1 + rise)
    needed = customers_per_arm(raised - base, (raised * (1 - raised), base * (1 - base)))
    assert needed == pytest.approx(
        expected[f"n_per_arm_for_{rise:.0%}_relative_80power".replace("%", "pct")], rel=rise**2
    )


@pytest.mark.real_data
def test_one_player_of_cookie_cats_no_longer_decides_once_values_are_cut_back(real_data):
    rows = table(real_data / "cookie_cats" / "cookie_cats.csv.gz")
    rounds, late = rows["sum_gamerounds"].to_numpy(), rows["version"].to_numpy(zero_copy_only=False) == "gate_40"
    expected = reference(real_data, "cookie_cats")["sum_gamerounds_winsor_p999"]
    # The reference takes the quantile of all players, those of no round included.
    limit = upper_limit(rounds, share=0.999, ignore_zeros=False)
    assert limit == pytest.approx(expected["cap"], abs=1e-9)
    cut = np.rint(1000 * winsorised(rounds, limit)).astype(np.int64)
    effect = means.effect(Sums.of(cut[late]), Sums.of(cut[~late]))
    assert effect.value / 1000 == pytest.approx(expected["diff"], abs=1e-6)
    assert effect.p_value == pytest.approx(expected["welch_p"], abs=1e-6)
    assert upper_limit(rounds, share=0.999) > limit


def test_zeros_do_not_draw_the_limit_down():
    # Of 1,000 customers ten buy: half of those who do spend at most 55, among all the quantile would be 0.
    values = [0] * 990 + list(range(10, 110, 10))
    assert upper_limit(values, share=0.5) == 55.0
    assert upper_limit(values, share=0.5, ignore_zeros=False) == 0.0
    assert upper_limit([0, 0], share=0.5) == Undetermined("zero_denominator", 2)
    assert winsorised([-30.0, 200.0], 55.0).tolist() == [-30.0, 55.0]


def test_an_a_a_test_finds_as_much_as_stated_and_one_whale_shows():
    generator = np.random.default_rng(20261122)
    calm = generator.exponential(1.0, 400)
    found = false_positive_rate(calm, splits=600, seed=1)
    assert found.low <= 0.05 <= found.high
    # One value of ten thousand decides which arm is larger, but its variance hides it: no split is significant.
    whale = false_positive_rate(np.append(calm, 1e4), splits=600, seed=1)
    assert whale.high < 0.05
    assert false_positive_rate(calm, splits=50, seed=2) == false_positive_rate(calm, splits=50, seed=2)
    assert false_positive_rate([1.0, 2.0], splits=5) == Undetermined("too_few", 2)
    assert false_positive_rate([1.0] * 9, splits=5) == Undetermined("zero_variance", 9)


def test_misuse_is_refused():
    refused = [
        lambda: always_valid(normal(1.0, 1.0), tuning=0),
        lambda: always_valid(normal(1.0, 1.0), level=95),
        lambda: always_valid_p(normal(1.0, 1.0), tuning=math.inf),
        lambda: sample_ratio([1, 2], [1.0]),
        lambda: sample_ratio([-1, 2], [1.0, 1.0]),
        lambda: sample_ratio([1, 2], [math.nan, 1.0]),
        lambda: Prior(0.0, 0.0),
        lambda: posterior(normal(1.0, 1.0), level=0.0),
        lambda: benjamini_hochberg([0.5, 1.5]),
        lambda: benjamini_hochberg([math.nan]),
        lambda: power(1.0, 0.0),
        lambda: power(math.nan, 1.0),
        lambda: minimum_detectable_effect(1.0, power=80),
        lambda: growth_needed(0.0, 1.0),
        lambda: customers_per_arm(1.0, (0.0, 0.0)),
        lambda: customers_per_arm(1.0, (-1.0, 2.0)),
        lambda: upper_limit([1.0], share=1.0),
        lambda: upper_limit([math.nan]),
        lambda: winsorised([1.0], math.nan),
        lambda: false_positive_rate([1.0, math.inf]),
        lambda: false_positive_rate([1.0, 2.0], splits=0),
    ]
    for ask in refused:
        with pytest.raises(StatsError):
            ask()
