"""Forecasts against simulated customers, against closed forms, and where others overflow."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate
from scipy.special import betaln, hyp2f1

from app.stats.btyd.forecasting import (
    discounted_by_parameters,
    discounted_expected_purchases,
    expected_purchases,
    outlook,
    p_alive,
    p_no_purchase,
)
from app.stats.btyd.histories import Histories
from app.stats.btyd.processes import PROCESSES
from app.stats.btyd.simulation import simulate
from app.stats.estimate import StatsError

SOME = {
    "bg_nbd": {"r": 0.6, "alpha": 8.0, "a": 0.8, "b": 2.5},
    "mbg_nbd": {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 1.6},
    "pareto_nbd": {"r": 0.6, "alpha": 10.0, "s": 0.7, "beta": 12.0},
}
FAMILIES = tuple(SOME)
FUTURE = 26.0
# Histories as they occur, and as they hardly do.
X = np.array([0.0, 0.0, 1.0, 2.0, 5.0, 30.0])
AGE = np.array([1.0, 38.0, 38.86, 20.0, 365.0, 100.0])
T_X = AGE * np.array([0.0, 0.0, 0.1, 0.7, 0.9, 0.99])


@pytest.fixture(scope="module", params=FAMILIES)
def watched(request):
    """60,000 customers who lived by the story of a family."""
    age = np.random.default_rng(1).uniform(10, 50, 60_000)
    return request.param, simulate(request.param, SOME[request.param], T=age, future=FUTURE, seed=2)


# Four standard errors: one in 16,000 by chance, with a fixed seed either always or never.
SIGMAS = 4.0


@pytest.mark.parametrize("group", [(0, 0), (1, 1), (2, 4), (5, 1_000)])
def test_simulated_customers_do_what_is_expected_of_those_with_their_history(watched, group):
    family, some = watched
    # Early and late last purchases apart: what they say of being alive is the point of these models.
    for late in (False, True):
        chosen = (some.x >= group[0]) & (some.x <= group[1]) & ((some.t_x > 0.7 * some.T) == late)
        if not chosen.sum():
            assert group == (0, 0)
            continue
        history = (some.x[chosen], some.t_x[chosen], some.T[chosen])
        bought = some.future_purchases[chosen]
        for happened, foreseen in (
            (some.alive[chosen], p_alive(family, SOME[family], *history)),
            (bought, expected_purchases(family, SOME[family], FUTURE, *history)),
            (bought == 0, p_no_purchase(family, SOME[family], FUTURE, *history)),
        ):
            off = happened - foreseen
            assert abs(off.sum()) <= SIGMAS * np.sqrt((off**2).sum()) + 1e-9, (group, late)


@pytest.mark.parametrize("family", FAMILIES)
def test_silence_is_what_a_longer_history_without_purchase_would_be_likelier_by(family):
    likelihood, at = PROCESSES[family].log_likelihood, np.log(list(SOME[family].values()))
    silent = p_no_purchase(family, SOME[family], FUTURE, X, T_X, AGE)
    for place, history in enumerate(zip(X, T_X, AGE, strict=True)):
        now, later = (
            likelihood(Histories.of(*([value] for value in (*history[:2], history[2] + t))))(at)[0]
            for t in (0.0, FUTURE)
        )
        assert silent[place] == pytest.approx(np.exp(later - now), rel=1e-11)


@pytest.mark.parametrize("t", [1.0, 39.0, 3650.0])
def test_the_mean_over_dropping_out_is_the_published_hypergeometric_function(t):
    # Fader, Hardie and Lee (2005), equation 10, where it neither overflows nor divides by 0.
    r, alpha, a, b = SOME["bg_nbd"].values()
    factor = (a + b + X - 1) / (a - 1)
    function = hyp2f1(r + X, b + X, a + b + X - 1, t / (alpha + AGE + t))
    published = factor * (1 - ((alpha + AGE) / (alpha + AGE + t)) ** (r + X) * function)
    published *= p_alive("bg_nbd", SOME["bg_nbd"], X, T_X, AGE)
    assert expected_purchases("bg_nbd", SOME["bg_nbd"], t, X, T_X, AGE) == pytest.approx(published, rel=1e-10)


def test_nothing_happens_where_the_published_formula_divides_by_nothing():
    around = [
        expected_purchases("bg_nbd", {**SOME["bg_nbd"], "a": a}, 39.0, X, T_X, AGE) for a in (1 - 1e-7, 1.0, 1 + 1e-7)
    ]
    assert around[1] == pytest.approx((around[0] + around[2]) / 2, rel=1e-12)
    left = [
        expected_purchases("pareto_nbd", {**SOME["pareto_nbd"], "s": s}, 39.0, X, T_X, AGE)
        for s in (1 - 1e-7, 1.0, 1 + 1e-7)
    ]
    assert left[1] == pytest.approx((left[0] + left[2]) / 2, rel=1e-12)


def test_many_purchases_over_ten_years_are_added_up_to_the_last_digit():
    # 400 purchases in 3,650 days: the chance to drop out is nearly known, Beta(.8, 402.5), and so is the rate.
    r, alpha, a, b = SOME["bg_nbd"].values()
    k, age, t = r + 400, alpha + 3650, 365.0

    def purchases(y):
        # p = exp(y): the density of Beta(a, b + 400) times what is bought at p.
        log_density = a * y + (b + 399) * np.log1p(-np.exp(y)) - betaln(a, b + 400)
        return np.exp(log_density) * -np.expm1(-k * np.log1p(np.exp(y) * t / age)) / np.exp(y)

    edges = np.append(np.linspace(-60, -9, 30), np.linspace(-8, -1e-12, 30))
    whole = sum(integrate.quad(purchases, *ends, epsabs=0, epsrel=1e-12)[0] for ends in pairwise(edges))
    alive = p_alive("bg_nbd", SOME["bg_nbd"], [400], [3649], [3650])
    found = expected_purchases("bg_nbd", SOME["bg_nbd"], t, [400], [3649], [3650])
    assert found == pytest.approx(alive * whole, rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rate", [0.001, 0.05])
def test_discounting_is_an_integral_over_the_forecast(family, rate):
    t, given = 60.0, (SOME[family], X[2:4], T_X[2:4], AGE[2:4])

    def at(s, place):
        return expected_purchases(family, given[0], s, *(column[place : place + 1] for column in given[1:]))[0]

    for place in range(2):
        inside = integrate.quad(lambda s, place=place: rate * np.exp(-rate * s) * at(s, place), 0, t, epsabs=1e-12)[0]
        [found] = discounted_expected_purchases(
            family, given[0], t, rate, *(column[place : place + 1] for column in given[1:])
        )
        assert found == pytest.approx(np.exp(-rate * t) * at(t, place) + inside, rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_million_and_one_customer_are_told_the_same(family):
    rng = np.random.default_rng(5)
    x = rng.integers(0, 4, 3_000).astype(float)
    # Times on no grid, and times of a calendar.
    for age in (rng.uniform(1, 700, 3_000), rng.integers(1, 700, 3_000).astype(float)):
        t_x = np.where(x > 0, age * 0.6, 0.0)
        together = discounted_expected_purchases(family, SOME[family], 90.0, 0.001, x, t_x, age)
        for place in range(0, 3_000, 300):
            one = slice(place, place + 1)
            alone = discounted_expected_purchases(family, SOME[family], 90.0, 0.001, x[one], t_x[one], age[one])
            assert together[one] == pytest.approx(alone, rel=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rate", [0.0, 0.001])
@pytest.mark.parametrize("times", [1, 30])
def test_what_is_forecast_together_is_what_each_forecast_says(family, rate, times):
    # 6 customers are worked out together by all parameters, 180 by one set after the other.
    history = tuple(np.tile(column, times) for column in (X, T_X, AGE))
    several = [{name: value * factor for name, value in SOME[family].items()} for factor in (1.0, 0.9, 1.2)]
    alive, expected, discounted = outlook(family, several[0], FUTURE, rate, *history)
    assert alive == pytest.approx(p_alive(family, several[0], *history), rel=1e-12)
    assert expected == pytest.approx(expected_purchases(family, several[0], FUTURE, *history), rel=1e-12)
    for place, found in enumerate(discounted_by_parameters(family, several, FUTURE, rate, *history)):
        alone = discounted_expected_purchases(family, several[place], FUTURE, rate, *history)
        assert found == pytest.approx(alone, rel=1e-10)
        if place == 0:
            assert discounted == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(("a", "b", "x"), [(0.05, 0.5, 0), (2.4, 31.2, 400), (9.9, 59.5, 400), (60.0, 90.0, 3)])
def test_neither_a_flat_nor_a_narrow_spread_of_dropping_out_costs_digits(a, b, x):
    # The same mean over p = 1 / (1 + exp(-y)) by far more nodes, their weights as they sum up.
    r, alpha, t, age = 1.5, 16.6, 3650.0, 97.0
    y = np.arange(-900.0, 900.0, 0.02) if a < 1 else np.arange(-90.0, 90.0, 0.01)
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-y))
    weights = np.exp(a * y - (a + b + x) * np.logaddexp(0.0, y) - betaln(a, b + x))
    some = p > 0
    bought = np.full(y.size, (r + x) * t / (alpha + age))
    bought[some] = -np.expm1(-(r + x) * np.log1p(p[some] * t / (alpha + age))) / p[some]
    found = PROCESSES["bg_nbd"].purchases_if_alive(np.array([r, alpha, a, b]), t, np.array([float(x)]), np.array([age]))
    assert found[0] == pytest.approx(weights @ bought / weights.sum(), rel=3e-10)


EXTREMES = [1e-5, 1.0, 1e5]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "factors", [(1, 1, u, v) for u in EXTREMES for v in EXTREMES] + [(1e5, 1e5, 1, 1), (1e-4,) * 4]
)
def test_no_forecast_is_ever_missing_however_odd_customers_and_parameters_are(family, factors):
    x, age = (column.ravel() for column in np.meshgrid([0.0, 1.0, 400.0], [0.0, 0.5, 3650.0]))
    t_x = np.where(x > 0, age / 2, 0.0)
    x = np.where(age > 0, x, 0.0)
    parameters = {name: value * factor for (name, value), factor in zip(SOME[family].items(), factors, strict=True)}
    history = (x, t_x, age)
    alive = p_alive(family, parameters, *history)
    assert ((alive >= 0) & (alive <= 1)).all()
    for t in (0.0, 30.0, 3650.0):
        expected = expected_purchases(family, parameters, t, *history)
        bound = alive * (parameters["r"] + x) / (parameters["alpha"] + age) * t
        assert ((expected >= 0) & (expected <= bound * (1 + 1e-9) + 1e-12)).all()
        discounted = discounted_expected_purchases(family, parameters, t, 0.001, *history)
        assert ((discounted >= 0) & (discounted <= expected * (1 + 1e-9) + 1e-12)).all()
        silent = p_no_purchase(family, parameters, t, *history)
        assert ((silent >= 1 - alive - 1e-12) & (silent <= 1)).all()
    assert p_no_purchase(family, parameters, 0.0, *history) == pytest.approx(np.ones(x.size))


def test_nobody_gets_no_forecast():
    for family in FAMILIES:
        assert discounted_expected_purchases(family, SOME[family], 9.0, 0.1, [], [], []).shape == (0,)
        assert p_no_purchase(family, SOME[family], 9.0, [], [], []).shape == (0,)


@pytest.mark.parametrize(("t", "rate"), [(-1.0, 0.0), (np.inf, 0.0), (np.nan, 0.0), (1.0, -0.1), (1.0, np.nan)])
def test_a_horizon_or_rate_that_is_none_is_refused(t, rate):
    with pytest.raises(StatsError, match="finite number and not negative"):
        discounted_expected_purchases("bg_nbd", SOME["bg_nbd"], t, rate, X, T_X, AGE)
    with pytest.raises(StatsError, match="columns of one length"):
        p_alive("bg_nbd", SOME["bg_nbd"], X, T_X, AGE[:2])


def test_nobody_is_simulated_for_no_time():
    with pytest.raises(StatsError, match="positive time"):
        simulate("bg_nbd", SOME["bg_nbd"], T=[1.0, 0.0])
