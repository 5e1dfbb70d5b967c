"""Renewals of contracts against the published cohorts, against sums, and where there is nothing to learn."""

import numpy as np
import pytest
from scipy.special import bdtr

from app.stats.estimate import StatsError, Undetermined
from app.stats.sbg import discounted_lifetime, discounted_residual_lifetime, fit_sbg, retention, survival

# Fader and Hardie (2007), Journal of Interactive Marketing 21(1), table 1 (per 1,000) and the estimates of section 4.
COHORTS = {
    "regular": ([369, 163, 86, 56, 37, 27, 21], 241, 0.704, 1.182),
    "high end": ([131, 126, 90, 60, 42, 34, 26], 491, 0.668, 3.806),
}
# Survival in percent after 0 to 12 years and rates of retention in years 1 to 12 at these estimates, as the closed
# forms of the paper give them (an independent implementation).
SURVIVAL = {
    "regular": [100, 62.67, 47.38, 38.8, 33.21, 29.23, 26.25, 23.9, 22.01, 20.44, 19.12, 17.99, 17.0],
    "high end": [100, 85.07, 74.69, 66.98, 60.99, 56.18, 52.22, 48.89, 46.04, 43.58, 41.42, 39.51, 37.8],
}
RETENTION_LAST = {"regular": 0.94536, "high end": 0.95683}
LIFETIME_AT_10_PERCENT = {"regular": 3.69491, "high end": 5.92225}


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_cohorts_of_the_paper(cohort):
    lost, alive, alpha, beta = COHORTS[cohort]
    found = fit_sbg(lost, alive)
    assert [round(value, 3) for value in found.parameters.values()] == [alpha, beta]
    assert found.log_likelihood == pytest.approx({"regular": -1680.26519, "high end": -1611.15815}[cohort], abs=1e-4)
    assert (found.customers, found.convergence.converged, found.convergence.agreeing_starts) == (1000, True, 3)
    fitted = found.parameters.values()
    assert survival(*fitted, np.arange(13)) * 100 == pytest.approx(SURVIVAL[cohort], abs=0.005)
    rates = retention(*fitted, np.arange(1, 13))
    assert rates == pytest.approx(survival(*fitted, np.arange(1, 13)) / survival(*fitted, np.arange(12)), rel=1e-12)
    assert rates[-1] == pytest.approx(RETENTION_LAST[cohort], abs=5e-6)
    assert discounted_lifetime(*fitted, 0.1) == pytest.approx(LIFETIME_AT_10_PERCENT[cohort], abs=5e-6)


def test_lifetimes_are_sums_over_what_survives():
    alpha, beta, rate = 0.668, 3.806, 0.1
    years = np.arange(2_000)
    left = survival(alpha, beta, years)
    assert discounted_lifetime(alpha, beta, rate) == pytest.approx((left / 1.1**years).sum(), rel=1e-12)
    for made in (0, 3, 10):
        coming = survival(alpha, beta, made + 1 + years) / survival(alpha, beta, made)
        found = discounted_residual_lifetime(alpha, beta, made, rate)
        assert found == pytest.approx((coming / 1.1**years).sum(), rel=1e-12)


def test_without_discount_a_lifetime_may_have_no_expectation():
    assert discounted_lifetime(0.9, 3.0, 0.0) == Undetermined("singular", 0)
    assert discounted_residual_lifetime(1.0, 3.0, 2, 0.0) == Undetermined("singular", 0)
    # Beta(3, 2): the mean of 1 / p is (3 + 2 - 1) / (3 - 1).
    assert discounted_lifetime(3.0, 2.0, 0.0) == 2.0
    assert discounted_lifetime(3.0, 2.0, 1e-9) == pytest.approx(2.0, rel=1e-6)


def test_intervals_hold_the_true_parameters_at_the_stated_rate():
    rng, sets, true = np.random.default_rng(0), 60, {"alpha": 0.7, "beta": 2.0}
    covered = dict.fromkeys(true, 0)
    for _ in range(sets):
        left_in = rng.geometric(rng.beta(*true.values(), 1_000))
        lost = np.bincount(np.minimum(left_in, 8), minlength=9)[1:8]
        found = fit_sbg(lost, 1_000 - lost.sum())
        for name, each in found.estimates.items():
            covered[name] += each.low <= true[name] <= each.high
    # Fewer would happen by chance once in 1,000 times.
    assert {name: count for name, count in covered.items() if bdtr(count, sets, 0.95) < 0.001} == {}


def test_who_loses_nobody_or_is_too_few_is_undetermined():
    assert fit_sbg([0, 0], 50) == Undetermined("everyone_active", 50)
    assert fit_sbg([], 50) == Undetermined("too_few", 50)
    assert fit_sbg([1], 1) == Undetermined("too_few", 2)


def test_customers_who_do_not_differ_are_a_limit_that_is_named():
    # A fifth of those left, each year.
    found = fit_sbg([2000, 1600, 1280, 1024], 4096)
    assert not found.convergence.converged
    assert found.convergence.reason
    alpha, beta = found.parameters.values()
    assert alpha / (alpha + beta) == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize(("lost", "alive"), [([1, -1], 5), ([1, np.nan], 5), ([1, 1], -5)])
def test_counts_that_are_none_are_refused(lost, alive):
    with pytest.raises(StatsError, match="finite and not negative"):
        fit_sbg(lost, alive)


@pytest.mark.parametrize(("made", "rate"), [(-1, 0.1), (1, -0.1)])
def test_neither_renewals_nor_rates_are_negative(made, rate):
    with pytest.raises(StatsError, match="not negative"):
        discounted_residual_lifetime(0.7, 2.0, made, rate)
