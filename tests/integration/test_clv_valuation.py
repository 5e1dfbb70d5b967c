"""What a stored model says of customers: the same as the fit did, for any history, with an interval that adds up."""

from dataclasses import replace

import numpy as np
import pytest

from app.ml.artifact import FORMAT, seal, unseal
from app.modelling.clv.task import DAYS_PER_UNIT
from app.modelling.clv.valuation import Known, Valuer, document_of
from app.stats.btyd.families import Family
from app.stats.btyd.fitting import BtydFit, fit
from app.stats.btyd.gamma_gamma import GammaGammaFit, fit_gamma_gamma
from app.stats.btyd.histories import Histories
from app.stats.btyd.simulation import simulate
from app.stats.btyd.uncertainty import Customers, customer_value

CDNOW = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
FAMILIES: tuple[Family, ...] = ("bg_nbd", "mbg_nbd", "pareto_nbd")


def fitted(family: Family) -> tuple[BtydFit, GammaGammaFit]:
    weeks = np.linspace(27.0, 39.0, 1_500)
    drawn = simulate("bg_nbd", CDNOW, T=weeks, spend=SPEND, seed=5)
    buying = fit(Histories.of(drawn.x, drawn.t_x, weeks), family)
    spending = fit_gamma_gamma(drawn.x, drawn.mean_value)
    assert isinstance(buying, BtydFit)
    assert isinstance(spending, GammaGammaFit)
    return buying, spending


def some(customers: int = 300) -> Known:
    rng = np.random.default_rng(2)
    x, age = rng.integers(0, 12, customers), rng.integers(60, 900, customers)
    last = np.where(x > 0, np.maximum(x, (rng.random(customers) * age).astype(np.int64)), 0)
    return Known(x, last, age, x, np.where(x > 0, rng.gamma(3.0, 12.0, customers), 0.0))


def stored(buying: BtydFit, spending: GammaGammaFit | None) -> Valuer:
    """As it comes back from where models are kept."""
    document = document_of(buying, spending, unit="week", horizon_days=364, discount_rate_annual=0.1)
    about = {"format": FORMAT}
    content, signature = seal(document, secret=b"secret", about=about)
    return Valuer.of(unseal(content, signature, secret=b"secret", about=about))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_model_says_what_its_fit_says(family: Family) -> None:
    buying, spending = fitted(family)
    known = some()
    found = stored(buying, spending).value(known)
    week = float(DAYS_PER_UNIT["week"])
    customers = Customers(
        known.repeat_purchases * 1.0,
        known.age_at_last_purchase / week,
        known.age / week,
        known.value_days * 1.0,
        known.mean_value,
    )
    rate = np.log(1.1) * 7 / 365.25
    same = customer_value(buying, spending, customers=customers, t=52.0, discount_rate=rate)
    for one, other in zip((found.clv, found.low, found.high), same, strict=True):
        assert one is not None
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_moves_of_one_customer_are_the_interval_and_those_of_many_partly_cancel(family: Family) -> None:
    buying, spending = fitted(family)
    # So certain that differences of values and of their logarithms are the same but for a hundred-thousandth.
    assert buying.log_covariance is not None
    assert spending.log_covariance is not None
    valuer, known = (
        stored(
            replace(buying, log_covariance=buying.log_covariance * 1e-4),
            replace(spending, log_covariance=spending.log_covariance * 1e-4),
        ),
        some(),
    )
    found, moves = valuer.value(known), valuer.moves(known)
    assert moves is not None
    assert found.clv is not None
    assert found.high is not None
    deviation = np.log(found.high / found.clv) / 1.959964
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1) / found.clv, deviation, rtol=1e-3)
    together = np.linalg.norm(moves.sum(axis=0)) / found.clv.sum()
    assert 0 < together < np.average(np.linalg.norm(moves, axis=1) / found.clv, weights=found.clv)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_history_is_too_long_or_too_dense(family: Family) -> None:
    buying, spending = fitted(family)
    # x = 400 in 10 years, one purchase a day, one purchase long ago, one today.
    known = Known(
        np.array([400, 3_650, 0, 0, 1]),
        np.array([3_640, 3_650, 0, 0, 1]),
        np.array([3_650, 3_650, 3_650, 0, 3_650]),
        np.array([400, 3_650, 0, 0, 1]),
        np.array([1e9, 0.01, 0.0, 0.0, 0.0]),
    )
    found = stored(buying, spending).value(known)
    assert ((found.p_alive >= 0) & (found.p_alive <= 1)).all()
    for column in (found.expected_purchases, found.expected_value, found.clv, found.low, found.high):
        assert column is not None
        assert np.isfinite(column).all()
        assert (column >= 0).all()
    without = stored(buying, None).value(known)
    assert (without.clv, without.low) == (None, None)
    assert not without.is_valued.any()
