"""Adjustment by the past: a published experiment, regression, and simulation."""

import numpy as np
import pytest

from app.stats.comparison import means
from app.stats.comparison.cuped import adjusted
from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError, Undetermined
from tests.support.experiments import hillstrom, reference
from tests.support.intervals import covers_as_stated


@pytest.mark.real_data
@pytest.mark.parametrize("arm", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstroms_spend_adjusted_for_the_year_before_is_the_reference(real_data, arm):
    arms = hillstrom(real_data, "spend")
    expected = reference(real_data, "hillstrom")["cuped_spend_on_history"][arm]
    # The reference takes one slope over all customers, of all arms as one.
    whole = sum(list(arms.values())[1:], arms["No E-Mail"])
    found = adjusted([arms[arm], arms["No E-Mail"]], theta_from=[whole])
    effect = means.effect(*found.arms)
    assert found.theta == pytest.approx(expected["theta"], abs=5e-9)
    assert effect.value / 100 == pytest.approx(expected["diff"], abs=1e-6)
    assert effect.p_value == pytest.approx(expected["p"], rel=1e-4)


def outcomes(generator, n, *, effect):
    before = generator.gamma(2.0, 500.0, n)
    return Sums.of(
        np.rint(effect + 0.8 * before + generator.normal(0.0, 400.0, n)).astype(np.int64),
        np.rint(before).astype(np.int64),
    )


def test_the_slope_is_the_pooled_regression_within_arms():
    generator = np.random.default_rng(4)
    before = generator.integers(0, 100, 60)
    after = 3 * before + generator.integers(0, 50, 60)
    arm = np.arange(60) < 25
    after[arm] += 1000
    found = adjusted([Sums.of(after[arm], before[arm]), Sums.of(after[~arm], before[~arm])])
    design = np.column_stack((before, arm, ~arm))
    coefficients, residuals, *_ = np.linalg.lstsq(design, after, rcond=None)
    assert found.theta == pytest.approx(coefficients[0], rel=1e-9)
    effect = means.effect(*found.arms)
    assert effect.value == pytest.approx(coefficients[1] - coefficients[2], rel=1e-9)
    within = sum(((after[side] - after[side].mean()) ** 2).sum() for side in (arm, ~arm))
    assert found.variance_explained == pytest.approx(1 - residuals[0] / within, rel=1e-9)


def test_adjusted_intervals_are_shorter_and_cover_as_often_as_stated():
    generator = np.random.default_rng(20261122)
    pairs = [(outcomes(generator, 400, effect=50.0), outcomes(generator, 400, effect=0.0)) for _ in range(600)]
    plain = [means.effect(*pair).interval() for pair in pairs]
    cleaned = [means.effect(*adjusted(pair).arms).interval() for pair in pairs]
    assert covers_as_stated(plain, 50.0)
    assert covers_as_stated(cleaned, 50.0)
    # Explained: .8^2 x 2 x 500^2 = 320,000 of 480,000, so that intervals are sqrt(1/3) as long; 600 x 800 customers.
    lengths = [np.mean([each.high - each.low for each in found]) for found in (cleaned, plain)]
    assert lengths[0] / lengths[1] == pytest.approx(3**-0.5, rel=0.01)
    explained = np.mean([adjusted(pair).variance_explained for pair in pairs])
    assert explained == pytest.approx(2 / 3, rel=0.01)


def test_without_a_past_there_is_nothing_to_adjust():
    fresh = Sums.of([1, 2, 3], beside=[0, 0, 0])
    assert adjusted([fresh, fresh]) == Undetermined("zero_variance", 6)
    assert adjusted([fresh, Sums.of([])]) == Undetermined("no_exposures", 3)
    assert adjusted([Sums.of([1], [2]), Sums.of([3], [4])]) == Undetermined("zero_variance", 2)
    with pytest.raises(StatsError):
        adjusted([])
