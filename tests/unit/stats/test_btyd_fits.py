"""What a fit says where the data say little, and whether its intervals hold what they say they do."""

from datetime import datetime

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import csv as arrow_csv
from scipy.special import bdtr

from app.stats.btyd.fitting import BtydFit, fit
from app.stats.btyd.forecasting import expected_purchases, p_alive, p_no_purchase
from app.stats.btyd.gamma_gamma import expected_value, fit_gamma_gamma, population_mean
from app.stats.btyd.histories import Histories
from app.stats.btyd.maximising import maximise
from app.stats.btyd.simulation import simulate
from app.stats.btyd.uncertainty import (
    Customers,
    customer_value,
    parameter_draws,
    total_purchases,
    total_value,
)
from app.stats.estimate import StatsError, Undetermined

SOME = {
    "bg_nbd": {"r": 0.6, "alpha": 8.0, "a": 0.8, "b": 2.5},
    "mbg_nbd": {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 1.6},
    "pareto_nbd": {"r": 0.6, "alpha": 10.0, "s": 0.6, "beta": 12.0},
}
SPEND = {"p": 6.0, "q": 4.0, "v": 15.0}
FUTURE = 39.0


def learned(some):
    return Histories.of(some.x, some.t_x, some.T)


def simulated(family, seed, *, customers=800):
    # Customers who came in one of five weeks.
    age = np.random.default_rng(10_000 + seed).choice([20.0, 28.0, 36.0, 44.0, 52.0], customers)
    return simulate(family, SOME[family], T=age, future=FUTURE, spend=SPEND, seed=seed)


def holds(covered, sets):
    """Not fewer than chance lets happen once in 1,000 times at a rate of 95 %."""
    return bdtr(covered, sets, 0.95) > 0.001


# Enough to refute 80 % nearly always; few of the slower family.
@pytest.mark.parametrize(("family", "sets"), [("bg_nbd", 50), ("mbg_nbd", 50), ("pareto_nbd", 12)])
def test_intervals_of_parameters_hold_the_true_ones_at_the_stated_rate(family, sets):
    covered = dict.fromkeys(SOME[family], 0)
    for seed in range(sets):
        found = fit(learned(simulated(family, seed)), family, starts=1)
        for name, each in found.estimates.items():
            covered[name] += each.low is None or each.low <= SOME[family][name] <= each.high
    assert {name: count for name, count in covered.items() if not holds(count, sets)} == {}


@pytest.mark.parametrize(("family", "sets"), [("bg_nbd", 12), ("mbg_nbd", 12), ("pareto_nbd", 6)])
def test_totals_and_values_of_customers_lie_in_their_intervals_at_the_stated_rate(family, sets):
    totals, money, shares = 0, 0, []
    for seed in range(sets):
        some = simulated(family, seed)
        purchases = fit(learned(some), family, starts=1)
        values = fit_gamma_gamma(some.x, some.mean_value)
        total = total_purchases(purchases, learned(some), FUTURE, seed=seed)
        totals += total.low <= some.future_purchases.sum() <= total.high
        customers = Customers(some.x, some.t_x, some.T, some.x, some.mean_value)
        worth = total_value(purchases, values, customers=customers, t=FUTURE)
        money += worth.low <= some.future_value.sum() <= worth.high
        value, low, high = customer_value(purchases, values, customers=customers, t=FUTURE)
        assert worth.value == pytest.approx(value.sum(), rel=1e-9)
        true = expected_purchases(family, SOME[family], FUTURE, some.x, some.t_x, some.T)
        true *= expected_value(SPEND, some.x, some.mean_value)
        shares.append(np.mean((low <= true) & (true <= high)))
    assert holds(totals, sets)
    assert holds(money, sets)
    # Customers of one set are covered together or not: the sets are the sample. Three standard errors.
    assert np.mean(shares) == pytest.approx(0.95, abs=max(3 * np.std(shares) / np.sqrt(sets), 0.05))


def test_an_interval_at_another_level_is_wider_or_narrower():
    some = learned(simulated("bg_nbd", 1))
    widths = []
    for level in (0.5, 0.95, 0.99):
        total = total_purchases(fit(some, "bg_nbd", level=level), some, FUTURE, level=level)
        assert total.level == level
        widths.append(total.high - total.low)
    assert widths == sorted(widths)


def test_what_is_drawn_is_what_is_learned_however_often_it_is_asked():
    some = learned(simulated("bg_nbd", 1))
    found = fit(some, "bg_nbd")
    drawn = parameter_draws(found, draws=4_000, seed=3)
    logs = np.log([list(each.values()) for each in drawn])
    # The standard error of a variance from 4,000 draws is 2.2 %; four of them.
    assert logs.var(axis=0) == pytest.approx(np.diag(found.log_covariance), rel=0.09)
    assert parameter_draws(found, draws=2, seed=3) == parameter_draws(found, draws=2, seed=3)
    assert total_purchases(found, some, 9.0, seed=1) == total_purchases(found, some, 9.0, seed=1)
    assert fit(some, "bg_nbd", starts=7, seed=5).parameters == pytest.approx(found.parameters, rel=1e-5)


def test_in_no_time_nothing_is_bought():
    some = learned(simulated("bg_nbd", 1))
    nothing = total_purchases(fit(some, "bg_nbd"), some, 0.0)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_a_sample_of_many_histories_leads_to_the_same_top():
    some = learned(simulated("bg_nbd", 1, customers=20_000))
    assert some.x.size > 8_192
    from_elsewhere = fit(some, "bg_nbd", starts=5, seed=9)
    found = fit(some, "bg_nbd")
    assert found.convergence.converged
    assert found.parameters == pytest.approx(from_elsewhere.parameters, rel=1e-5)
    # Four standard errors of a fit of 20,000.
    errors = np.sqrt(np.diag(found.log_covariance))
    assert np.log(list(found.parameters.values())) == pytest.approx(
        np.log(list(SOME["bg_nbd"].values())), abs=4 * errors.max()
    )


@pytest.mark.parametrize("family", SOME)
def test_what_no_family_can_be_learned_from_is_undetermined(family):
    assert fit(Histories.of([0] * 9, [0] * 9, [5.0] * 9), family) == Undetermined("no_repeat_purchases", 9)
    assert fit(Histories.of([1, 0], [1, 0], [5, 5]), family) == Undetermined("too_few", 2)
    assert fit(Histories.of([], [], []), family) == Undetermined("too_few", 0)


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    "histories",
    [
        Histories.of([5] * 40, [10.0] * 40, [10.0] * 40),
        Histories.of([1] * 40, [0.5] * 40, [400.0] * 40),
        Histories.of([400] * 5 + [0] * 35, [3650.0] * 5 + [0.0] * 35, [3650.0] * 40),
        Histories.of([1, 0, 0, 0], [1, 0, 0, 0], [9.0] * 4),
    ],
    ids=["all alike and active", "all gone at once", "a few buy everything", "one purchase"],
)
def test_a_fit_that_data_drive_to_a_limit_says_so_and_forecasts_all_the_same(family, histories):
    found = fit(histories, family)
    assert isinstance(found, BtydFit)
    assert found.convergence.converged == (found.convergence.reason is None)
    assert found.convergence.converged == all(each.low is not None for each in found.estimates.values())
    assert np.isfinite([found.log_likelihood, *found.parameters.values()]).all()
    history = (histories.x, histories.t_x, histories.T)
    for forecast in (
        expected_purchases(family, found.parameters, 365.0, *history),
        p_no_purchase(family, found.parameters, 365.0, *history),
    ):
        assert np.isfinite(forecast).all()
    total = total_purchases(found, histories, 30.0)
    assert (total.low is None) == (found.log_covariance is None)
    assert (total.reason is None) == (total.low is not None)


def test_a_climb_that_is_stopped_says_that_it_has_not_arrived():
    # The slope of a tower without top: every step gains, none is the last.
    endless = maximise(
        lambda p: (float(p[0]), np.ones(1), np.zeros((1, 1))), np.zeros(1), np.full(1, -1e9), np.full(1, 1e9)
    )
    assert not endless.settled
    assert not endless.at_bounds.any()


@pytest.fixture(scope="module")
def shop(real_data):
    """Purchase days of online_retail's customers to 2011-09-09, in days, and the days on which they bought after."""
    lines = arrow_csv.read_csv(
        real_data / "online_retail" / "online_retail_2010_2011.csv.gz",
        convert_options=arrow_csv.ConvertOptions(
            include_columns=["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
            column_types={"InvoiceNo": "string", "UnitPrice": "float64", "CustomerID": "float64"},
        ),
    )
    amount = pc.multiply(lines["Quantity"], lines["UnitPrice"])
    lines = lines.filter(pc.and_(pc.is_valid(lines["CustomerID"]), pc.greater(amount, 0)))
    customer = lines["CustomerID"].to_numpy().astype(int)
    day = lines["InvoiceDate"].to_numpy().astype("datetime64[D]").astype(int)
    cut = np.datetime64(datetime(2011, 9, 10), "D").astype(int) - 1  # noqa: DTZ001  # a day of the shop's calendar
    customer, day = np.divmod(np.unique(customer * 100_000 + day), 100_000)
    known = np.unique(customer[day <= cut])
    place = np.searchsorted(known, customer)
    seen = (day <= cut) & (place < known.size)
    first, last = np.full(known.size, 10**9), np.zeros(known.size, dtype=int)
    np.minimum.at(first, place[seen], day[seen])
    np.maximum.at(last, place[seen], day[seen])
    x = np.bincount(place[seen], minlength=known.size) - 1
    return x, last - first, cut - first


@pytest.mark.real_data
@pytest.mark.parametrize("family", SOME)
def test_a_shop_where_nobody_seems_to_leave_is_told_so_in_plain_words(shop, family):
    x, t_x, age = shop
    # shared reference of this data set: 3,370 customers; r .723 and alpha 9.36 weeks, drop-out towards nothing.
    assert x.size == 3370
    found = fit(Histories.of(x, t_x / 7, age / 7), family)
    assert not found.convergence.converged
    assert "no drop-out is found" in found.convergence.reason
    assert found.parameters["r"] == pytest.approx(0.7235, abs=1e-3)
    assert found.parameters["alpha"] == pytest.approx(9.365, abs=1e-2)
    # What the data do hold has its interval all the same.
    assert [name for name, each in found.estimates.items() if each.low is not None] == ["r", "alpha"]
    expected = expected_purchases(family, found.parameters, 90 / 7, x, t_x / 7, age / 7)
    # 3,346.96 there.
    assert expected.sum() == pytest.approx(3347.0, abs=0.5)
    assert p_alive(family, found.parameters, x, t_x / 7, age / 7).min() > 0.99


def test_values_without_a_mean_stay_finite():
    heavy = {"p": 2.0, "q": 0.5, "v": 10.0}
    assert population_mean(heavy) == Undetermined("singular", 0)
    found = expected_value(heavy, [0, 1, 50], [0.0, 40.0, 40.0])
    assert np.isfinite(found).all()
    # The median of 1 / Gamma(1/2): half a chi-square's, 0.2275 (R: qgamma(.5, .5)).
    assert found[0] == pytest.approx(2.0 * 10.0 / 0.2274682, rel=1e-6)
    assert found[2] == pytest.approx(40.0, rel=0.02)


def test_the_closer_to_the_own_mean_the_more_purchases():
    found = expected_value(SPEND, [0, 1, 5, 50, 5_000], [0.0, 100.0, 100.0, 100.0, 100.0])
    assert found[0] == population_mean(SPEND)
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(100.0, rel=1e-2)


def test_only_customers_with_a_positive_mean_tell_what_purchases_are_worth():
    some = simulated("bg_nbd", 4)
    bought = some.x > 0
    plain = fit_gamma_gamma(some.x[bought], some.mean_value[bought])
    beside = fit_gamma_gamma(np.append(some.x, [3, 2]), np.append(some.mean_value, [0.0, -9.0]))
    assert beside.parameters == pytest.approx(plain.parameters, rel=1e-9)
    assert beside.customers == plain.customers == bought.sum()
    twice = fit_gamma_gamma(some.x, some.mean_value, np.full(some.x.size, 2.0))
    assert twice.parameters == pytest.approx(plain.parameters, rel=1e-5)
    assert twice.log_likelihood == pytest.approx(2 * plain.log_likelihood, rel=1e-9)


def test_no_positive_value_and_too_few_are_undetermined():
    assert fit_gamma_gamma([1, 2, 0], [0.0, -3.0, 5.0]) == Undetermined("no_positive_spend", 0)
    assert fit_gamma_gamma([1, 2], [4.0, 3.0]) == Undetermined("too_few", 2)


def test_customers_who_all_spend_the_same_are_a_limit_that_is_named():
    found = fit_gamma_gamma([1, 2, 3, 4, 5, 6], [20.0] * 6)
    assert not found.convergence.converged
    assert found.convergence.reason
    assert expected_value(found.parameters, [0], [0.0])[0] == pytest.approx(20.0, rel=1e-2)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.0], [np.nan]), "mean_value is not finite in row 0"),
        (([-1.0], [2.0]), "x is negative"),
        (([1.0], []), "one length"),
    ],
)
def test_values_that_are_none_are_refused(columns, message):
    with pytest.raises(StatsError, match=message):
        fit_gamma_gamma(*columns)
