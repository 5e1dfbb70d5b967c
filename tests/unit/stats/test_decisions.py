"""When an intervention pays: worked cases, the definition as an inequality, and the edges of nothing to save."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stats.decisions import (
    ASSUMED,
    Intervention,
    break_even_probability,
    expected_gain,
    risk_bands,
    risk_thresholds,
)
from app.stats.estimate import StatsError

MONEY = st.floats(0, 1e6, allow_subnormal=False)
SHARES = st.floats(0, 1, allow_subnormal=False)


def test_a_worked_case_pays_from_one_in_four():
    # A call of 5 that keeps one in five of those who would leave, worth 100 each: 5 / (0.2 x 100).
    assert float(break_even_probability(5.0, 100.0, 0.2)) == 0.25
    assert expected_gain(0.25, cost=5.0, value_saved=100.0, success_rate=0.2) == 0.0


def test_what_saves_nothing_never_pays():
    found = break_even_probability([0.0, 5.0, 5.0, 5.0], [0.0, 0.0, -20.0, 100.0], [0.5, 0.5, 0.5, 0.0])
    assert found.tolist() == [math.inf] * 4
    assert float(break_even_probability(0.0, 100.0, 0.5)) == 0.0


@given(SHARES, MONEY, MONEY, SHARES)
def test_it_pays_just_above_break_even(probability, cost, value, rate):
    edge = float(break_even_probability(cost, value, rate))
    gain = float(expected_gain(probability, cost=cost, value_saved=value, success_rate=rate))
    # A few roundings of the products decide only where the two are nearly equal.
    if abs(probability - edge) > 1e-9 * max(probability, edge) and cost > 1e-100:
        assert (gain > 0) == (probability > edge)


@given(st.lists(st.tuples(SHARES, st.floats(-1e6, 1e6)), min_size=1, max_size=20), MONEY, SHARES, SHARES)
def test_bands_are_what_the_two_ends_of_the_success_rate_earn(customers, cost, one, other):
    action = Intervention(cost, (min(one, other), max(one, other)))
    chances, values = (np.array(column) for column in zip(*customers, strict=True))
    bands = risk_bands(chances, values, intervention=action)
    medium, high = risk_thresholds(values, intervention=action)
    assert (medium <= high).all()
    words = np.where(chances > high, "high", np.where(chances > medium, "medium", "low"))
    assert bands.tolist() == words.tolist()
    assert (bands[values <= 0] == "low").all()


def test_the_same_risk_is_high_for_whom_there_is_more_to_lose():
    call = Intervention(cost=5.0, success_rates=(0.1, 0.25))
    assert risk_bands([0.6] * 4, [100.0, 50.0, 30.0, -5.0], intervention=call).tolist() == [
        "high",
        "medium",
        "low",
        "low",
    ]


def test_without_a_known_cost_bands_begin_at_a_sixth_and_a_half():
    # 0.05 / 0.3 and 0.05 / 0.1 of a customer worth 1, whatever the values are.
    assert (ASSUMED.cost, ASSUMED.success_rates) == (0.05, (0.1, 0.3))
    assert risk_bands([0.0, 0.16, 0.17, 0.49, 0.51, 1.0], 0.0).tolist() == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
        "high",
    ]


def test_misuse_is_refused():
    for cost, rates in [(-1.0, (0.1, 0.2)), (math.inf, (0.1, 0.2)), (1.0, (0.3, 0.2)), (1.0, (0.1, 1.2))]:
        with pytest.raises(StatsError):
            Intervention(cost, rates)
    for arguments in [(-1.0, 1.0, 0.5), (1.0, math.nan, 0.5), (1.0, 1.0, 1.5)]:
        with pytest.raises(StatsError):
            break_even_probability(*arguments)
    with pytest.raises(StatsError):
        risk_bands([1.5], [1.0])
    with pytest.raises(StatsError):
        risk_bands([math.nan], [1.0])
