"""An estimate says what it is or cannot be built."""

import math
from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from app.stats.estimate import Estimate, Reason, StatsError, Undetermined


def estimate(**changes):
    return Estimate(**{"value": 1.0, "low": 0.5, "high": 2.0, "level": 0.95, "method": "student_t", "n": 9, **changes})


def test_an_estimate_with_an_interval_has_no_reason():
    assert estimate().reason is None


def test_a_value_without_an_interval_says_why():
    assert estimate(low=None, high=None, reason="too_few").value == 1.0


def test_an_interval_may_be_a_point_at_zero():
    assert estimate(value=0.0, low=0.0, high=0.0).high == 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {"value": math.nan},
        {"value": math.inf},
        {"low": -math.inf},
        {"high": math.nan},
        {"low": 3.0},
        {"low": None},
        {"high": None, "reason": "too_few"},
        {"low": None, "high": None},
        {"reason": "too_few"},
        {"level": 0.0},
        {"level": 1.0},
        {"level": 95},
        {"level": math.nan},
        {"n": -1},
    ],
)
def test_what_is_no_estimate_cannot_be_built(changes):
    with pytest.raises(StatsError):
        estimate(**changes)


def test_an_undetermined_figure_is_a_value_with_a_reason():
    figure = Undetermined("no_exposures", n=0)
    assert (figure.reason, figure.n) == ("no_exposures", 0)
    with pytest.raises(StatsError):
        Undetermined("no_exposures", n=-1)


def test_the_answers_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        estimate().value = 2.0
    with pytest.raises(FrozenInstanceError):
        Undetermined("too_few", n=1).n = 2


def test_the_reasons_are_those_of_the_contract():
    assert set(get_args(Reason)) == {
        "no_exposures",
        "zero_denominator",
        "uncertain_denominator",
        "too_few",
        "zero_variance",
        "not_converged",
        "baseline_missing",
        "no_active_model",
        "no_repeat_purchases",
        "everyone_active",
        "one_class",
        "too_few_positives",
        "horizon_exceeds_history",
        "no_positive_spend",
        "singular",
        "no_gain",
        "not_measured",
        "margin_unknown",
    }
