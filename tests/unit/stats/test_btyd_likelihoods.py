"""The likelihoods against the stories they are told by, integrated by brute force, and their derivatives."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate
from scipy.special import betaln, gammaln

from app.stats.btyd.gamma_gamma import _LogLikelihood
from app.stats.btyd.histories import Histories
from app.stats.btyd.leaving import Span
from app.stats.btyd.processes import PROCESSES
from app.stats.estimate import StatsError

FAMILIES = tuple(PROCESSES)
SOME = {"bg_nbd": (0.6, 8.0, 0.8, 2.5), "mbg_nbd": (0.8, 6.0, 0.9, 1.6), "pareto_nbd": (0.6, 10.0, 0.7, 12.0)}
HISTORIES = [(0, 0.0, 20.0), (1, 4.0, 30.0), (4, 25.0, 30.0), (2, 30.0, 30.0)]


def gamma(at, shape, rate):
    return np.exp(shape * np.log(rate) - gammaln(shape) + (shape - 1) * np.log(at) - rate * at)


def beta(at, a, b):
    return np.exp((a - 1) * np.log(at) + (b - 1) * np.log1p(-at) - betaln(a, b))


def told(family, x, t_x, age):
    """The likelihood of one customer whose own rates are known, as the papers tell the story."""
    if family == "pareto_nbd":
        return lambda rate, leaving: (
            rate**x
            * (leaving * np.exp(-(rate + leaving) * t_x) + rate * np.exp(-(rate + leaving) * age))
            / (rate + leaving)
        )
    made = x + 1 if family == "mbg_nbd" else x
    gone = 1.0 if made else 0.0
    return lambda rate, p: (
        rate**x * ((1 - p) ** made * np.exp(-rate * age) + gone * p * (1 - p) ** max(made - 1, 0) * np.exp(-rate * t_x))
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("history", HISTORIES)
def test_a_likelihood_is_its_story_averaged_over_customers(family, history):
    r, alpha, third, fourth = SOME[family]
    one = told(family, *history)
    # u^(1/shape) takes the pole of the densities at 0 away.
    top, power = (5.0, 1 / third) if family == "pareto_nbd" else (1.0, 1 / third)
    other = gamma if family == "pareto_nbd" else beta

    def inside(v, u):
        rate, fate = u ** (1 / r), v**power
        density = gamma(rate, r, alpha) * other(fate, third, fourth)
        return one(rate, fate) * density * (rate / u / r) * (fate / v * power)

    nodes, weights = np.polynomial.legendre.leggauss(160)
    u, v = (nodes + 1) / 2 * 6.0**r, (nodes + 1) / 2 * top**third
    total = (weights / 2 * 6.0**r) @ inside(v[None, :], u[:, None]) @ (weights / 2 * top**third)
    [found] = [PROCESSES[family].log_likelihood(Histories.of(*([value] for value in history)))(np.log(SOME[family]))[0]]
    # The nodes of brute force are as dense as 1/160; its own error is about 1e-6.
    assert np.exp(found) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shift", [0.0, 1.5, -1.5])
def test_slope_and_curvature_are_those_of_the_likelihood(family, shift):
    rng = np.random.default_rng(3)
    age = rng.uniform(5, 50, 40)
    x = rng.integers(0, 9, 40) * (rng.random(40) < 0.7)
    f = PROCESSES[family].log_likelihood(
        Histories.of(x, np.where(x > 0, age * rng.uniform(0.1, 1, 40), 0.0), age, rng.integers(1, 5, 40))
    )
    at = np.log(SOME[family]) + shift * np.array([1.0, -1.0, 1.0, 0.5])
    assert_derivatives(f, at)


def test_slope_and_curvature_of_the_value_of_purchases():
    rng = np.random.default_rng(4)
    f = _LogLikelihood.of(rng.integers(1, 9, 40).astype(float), rng.gamma(3.0, 10.0, 40), rng.uniform(1, 3, 40))
    assert_derivatives(f, np.log([6.0, 3.7, 15.0]))


def assert_derivatives(f, at):
    step = 1e-5
    value, slope, bend = f(at)
    ends = [(f(at + step * axis), f(at - step * axis)) for axis in np.eye(at.size)]
    differences = [(up[0] - down[0]) / (2 * step) for up, down in ends]
    # A central difference is off by step^2 and by the rounding of the value over the step.
    rounding = 1e-15 * abs(value) / step
    assert slope == pytest.approx(differences, abs=20 * rounding + 1e-6 * np.abs(slope).max())
    assert bend == pytest.approx(
        np.array([(up[1] - down[1]) / (2 * step) for up, down in ends]), abs=1e-6 * np.abs(bend).max()
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_customers_count_as_often_as_there_are(family):
    x, t_x, age = np.repeat(np.array(HISTORIES).T, [3, 1, 2, 4], axis=1)
    one_each = Histories.of(x, t_x, age)
    assert one_each.x.size == len(HISTORIES)
    assert one_each.customers == 10
    weighted = Histories.of(*np.array(HISTORIES).T, weights=[3, 1, 2, 4])
    apart = Histories(x.astype(float), t_x, age, np.ones(10))
    values = [PROCESSES[family].log_likelihood(each)(np.log(SOME[family]))[0] for each in (one_each, weighted, apart)]
    assert values[1:] == pytest.approx(values[:1] * 2, rel=1e-13)


@pytest.mark.parametrize("powers", [(0.2, 0.01, 0.001, 1000.0), (0.2, 1000.0, 3.0, 0.01), (0.2, 0.01, 50.0, 1000.0)])
@pytest.mark.parametrize("x", [0.0, 20.0, 400.0])
@pytest.mark.parametrize("span", [(0.0, 1000.0), (30.0, 3650.0), (5.0, 5.1)])
def test_the_moments_of_leaving_are_added_up_however_far_the_scales_lie_apart(powers, x, span):
    r, alpha, s, beta = powers
    start, end = span

    def fallen(u):
        return np.exp(-(r + x) * np.log1p(u / (alpha + start)) - (s + 1) * np.log1p(u / (beta + start)))

    edges = np.append(0.0, np.geomspace(1e-9, end - start, 60))
    pieces = [integrate.quad(fallen, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in pairwise(edges)]
    found = Span.of(np.array(powers), np.array([x]), np.array([start]), np.array([end])).log_integral[0]
    whole = np.log(sum(pieces)) - (r + x) * np.log(alpha + start) - (s + 1) * np.log(beta + start)
    assert found == pytest.approx(whole, abs=1e-8)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.nan, 0, 1), "x is not finite in row 1"),
        ((1, 1, np.inf), "T is not finite in row 1"),
        ((-1, 0, 1), "x is negative"),
        ((1.5, 1, 2), "x counts purchases"),
        ((1, 3, 2), "t_x 3 lies after T 2 in row 1"),
        ((0, 1, 2), "x = 0 but t_x = 1"),
        ((2, 0, 2), "x = 2 but t_x = 0"),
    ],
)
def test_what_is_no_history_is_refused_and_named(row, message):
    with pytest.raises(StatsError, match=message):
        Histories.of(*np.array([(0, 0, 5), row]).T)


def test_histories_are_columns_of_one_length():
    with pytest.raises(StatsError, match="columns of one length"):
        Histories.of([1, 2], [1.0], [2.0])


def test_rows_of_no_customers_are_left_out_and_nobody_is_an_answer():
    assert Histories.of([1, 0], [1, 0], [2, 3], weights=[0, 2]).x.tolist() == [0.0]
    assert Histories.of([], [], []).customers == 0


def test_times_that_lie_on_no_grid_are_kept_as_they_are():
    age = np.array([np.pi, np.e, np.pi])
    merged = Histories.of([0, 0, 0], [0, 0, 0], age)
    assert merged.T.tolist() == [np.e, np.pi]
    assert merged.weights.tolist() == [1.0, 2.0]
