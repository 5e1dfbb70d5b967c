"""Lifts over small holdouts: exact limits where there are some, Fieller's bound, published shares, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from app.stats.comparison import means, proportions
from app.stats.comparison.lifts import WELL_DETERMINED, Amount, ShareLift, SparseLift, finneys_g
from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError, Undetermined
from app.stats.mean import mean_interval
from tests.support.experiments import hillstrom, sparse
from tests.support.intervals import covers_as_stated

ARM = st.lists(st.integers(0, 50), min_size=3, max_size=20)
LOSSES = st.lists(st.integers(-20, 60), min_size=3, max_size=20)
# As many customers as make binomial counts Poisson ones, to the six digits compared.
MANY = 10**9


def counted(count, n, *, size):
    """An arm in which some brought one amount each and everybody else nothing."""
    return Sums(n, count * size, count * size**2)


@pytest.mark.parametrize(
    ("one", "other"), [((11, 4), (21, 15)), ((3, 1), (9, 4)), ((30, 1), (12, 1)), ((1, 1), (6, 1))]
)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_of_equal_amounts_among_many_the_limits_are_the_exact_ones_of_two_poisson_rates(one, other, level):
    (own, n1), (base, n0) = one, other
    treated, control = counted(own, n1 * MANY, size=500), counted(base, n0 * MANY, size=500)
    found = means.lift(treated, control)
    assert isinstance(found, SparseLift)
    # Given the sum of both counts the first is binomial: limits of Clopper and Pearson, as odds by customers.
    exact = binomtest(own, own + base, n1 / (n1 + n0))
    ends = exact.proportion_ci(level, method="exact")
    low, high = (share / (1 - share) * n0 / n1 for share in (ends.low, ends.high))
    given_ends = found.interval(level=level)
    assert (given_ends.low + 1, given_ends.high + 1) == pytest.approx((low, high), rel=1e-6)
    tails = (binomtest(own, own + base, n1 / (n1 + n0), side).pvalue for side in ("less", "greater"))
    assert found.p_value == pytest.approx(min(2 * min(tails), 1.0), rel=1e-6)


def test_the_example_of_a_program_for_poisson_rates():
    # R's poisson.test, help page: 11 of 800 against 6 + 8 + 7 of 1083 + 1050 + 878 years; it prints 7 digits.
    treated, control = counted(11, 800 * MANY, size=7), counted(21, 3011 * MANY, size=7)
    ends = means.lift(treated, control).interval()
    assert (ends.value + 1, ends.low + 1, ends.high + 1) == pytest.approx((1.971488, 0.8584264, 4.2772659), rel=5e-7)
    assert (ends.method, ends.level) == ("fay", 0.95)


@given(LOSSES, LOSSES)
def test_there_is_no_lift_exactly_where_fiellers_set_has_no_end(treated, control):
    """Ratios r are in Fieller's set if (m1 - r m0)^2 <= t^2 (v1 + r^2 v0): for r without end, m0^2 <= t^2 v0."""
    one, other = Sums.of(treated), Sums.of(control)
    found = means.lift(one, other)
    own = mean_interval(len(control), sum(control), sum(each * each for each in control))
    if other.mean <= 0:
        assert found == Undetermined("zero_denominator", one.n + other.n)
    elif max(treated) > 1 or min(treated) < 0 or max(control) > 1 or min(control) < 0:
        unbounded = own.low is not None and own.low <= 0
        assert (found == Undetermined("uncertain_denominator", one.n + other.n)) is unbounded


@given(st.lists(st.booleans(), min_size=2, max_size=30), st.lists(st.booleans(), min_size=2, max_size=30))
def test_shares_have_koopmans_interval_unless_the_delta_methods_is_as_good(treated, control):
    one, other = Sums.of_share(sum(treated), len(treated)), Sums.of_share(sum(control), len(control))
    found = means.lift(one, other)
    if not any(control):
        assert found == Undetermined("zero_denominator", one.n + other.n)
        return
    koopman = finneys_g(other) >= WELL_DETERMINED
    assert isinstance(found, ShareLift) is koopman
    if koopman:
        shares = (one.total, one.n), (other.total, other.n)
        assert found.interval(level=0.9) == proportions.lift(*shares, level=0.9)
        assert found.p_value == proportions.pooled_p_value(*shares)


@pytest.mark.real_data
@pytest.mark.parametrize("metric", ["visit", "conversion", "spend"])
def test_a_large_holdout_keeps_the_delta_method(real_data, metric):
    arms = hillstrom(real_data, metric)
    assert finneys_g(arms["No E-Mail"]) < WELL_DETERMINED
    assert means.lift(arms["Mens E-Mail"], arms["No E-Mail"]).interval().method == "delta"


@given(ARM, ARM, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_test_rejects_exactly_what_its_interval_leaves_out(treated, control, level):
    found = means.lift(Sums.of([*treated, 7]), Sums.of([*control, 9]))
    if not isinstance(found, SparseLift):
        return
    ends = found.interval(level=level)
    assert -1 <= ends.low < found.value < ends.high
    wider = found.interval(level=0.995)
    assert wider.low < ends.low < ends.high < wider.high
    if abs(found.p_value - (1 - level)) > 1e-9:
        assert (ends.low > 0 or ends.high < 0) is (found.p_value < 1 - level)


def test_amounts_in_one_arm_that_do_not_vary_and_arms_that_lost():
    control = Sums.of([0, 0, 6, 9, 14, 0, 11, 4])
    assert WELL_DETERMINED < finneys_g(control) < 1
    same = means.lift(Sums.of([5] * 6), control).interval()
    almost = means.lift(Sums.of([500] * 5 + [501]), Sums.of([0, 0, 600, 900, 1400, 0, 1100, 400])).interval()
    assert (same.low, same.high) == pytest.approx((almost.low, almost.high), abs=0.002)
    lost = means.lift(Sums.of([-3, -5, 2]), control)
    assert (lost.method, lost.value < -1) == ("delta", True)
    assert means.lift(Sums.of([0, 0, 0]), control).interval().reason == "zero_variance"


def test_a_level_that_is_none_is_refused_and_so_is_a_lift_over_nobody():
    found = SparseLift(0.1, 0.1, 5.0, 9, "fay", Amount(2.0, 0.3, 0.4), Amount(1.8, 0.4, 0.5))
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(StatsError):
            found.interval(level=level)
    with pytest.raises(StatsError, match="zero_denominator"):
        ShareLift(0.0, 0.1, 5.0, 9, "koopman", (1, 5), (0, 4)).interval()


# Buyers expected in the holdout, and the spread of their amounts on the log scale; a holdout of a fifth, a buyer in seven.
KINDS = [(20, 0.5), (20, 0.8), (40, 0.5), (40, 0.8), (80, 0.8)]


@pytest.mark.parametrize(("buyers", "sigma"), KINDS)
@pytest.mark.parametrize("lift", [0.0, 0.35])
def test_lifts_over_small_holdouts_cover_the_truth_as_often_as_stated(buyers, sigma, lift):
    generator = np.random.default_rng([20261122, buyers, int(10 * sigma), int(100 * lift)])
    arms = [
        (
            Sums.of(sparse(generator, 28 * buyers, share=(1 + lift) / 7, sigma=sigma)),
            Sums.of(sparse(generator, 7 * buyers, share=1 / 7, sigma=sigma)),
        )
        for _ in range(500)
    ]
    found = [means.lift(*pair) for pair in arms]
    assert covers_as_stated([each.interval() for each in found if not isinstance(each, Undetermined)], lift)
    # Few are left out: of these holdouts nearly all have a mean that is more than 0 for certain.
    assert sum(isinstance(each, Undetermined) for each in found) < 0.05 * len(found)


def test_symmetric_intervals_over_small_holdouts_miss_on_one_side():
    """What the delta method's end does to a holdout of ten buyers: nearly all that it misses lies above."""
    generator = np.random.default_rng(20261122)
    above = below = upper = lower = 0
    for _ in range(1500):
        control = Sums.of(sparse(generator, 70, share=1 / 7, sigma=0.5))
        found = means.lift(Sums.of(sparse(generator, 280, share=1 / 7, sigma=0.5)), control)
        if isinstance(found, Undetermined):
            continue
        half = float(t.ppf(0.975, found.degrees_of_freedom)) * found.standard_error
        above, below = above + (found.value + half < 0), below + (found.value - half > 0)
        ends = found.interval()
        upper, lower = upper + (ends.high < 0), lower + (ends.low > 0)
    assert above > 10 * max(below, 1)
    assert upper < above / 2
    assert max(upper, lower) < 3 * min(upper, lower)
