"""The five entries of the MASDA card on populations that can be counted by hand."""

import json

import numpy as np
import pytest

from app.modelling.segments.judgement.columns import (
    CONSENT_MARKETING,
    CONSENT_PROFILING,
    EXPOSED,
    REACHABLE,
    RESPONDED,
)
from app.modelling.segments.judgement.masda import scorecard
from app.stats.effect_size import eta_squared
from tests.unit.judgement.populations import attribute_feature, cliffs_delta, features_named, labels_of, numbers, words

ENTRIES = ["measurable", "accessible", "substantial", "differentiable", "actionable"]


def card(values, labels, *, read=(), after=None, days=30.0, k=None):
    return scorecard(values, labels, read=read, spend_after=after, days_after=days, k=k)


def test_all_five_are_always_there_and_say_why_they_are_null():
    [entry, empty] = card({}, labels_of(3), k=2)
    assert list(entry) == ENTRIES
    assert {name: each.get("reason") for name, each in entry.items()} == {
        "measurable": "not_read",
        "accessible": "not_read",
        "substantial": None,
        "differentiable": "no_behaviour_after_fit",
        "actionable": "not_read",
    }
    assert {each["reason"] for each in empty.values()} == {"no_members"}


def test_measurable_is_the_mean_share_known_of_what_the_version_reads():
    country = attribute_feature("attributes.country", "category")
    values = {"mean_csat": numbers(1, np.nan, np.nan, np.nan, 5), country.name: words("FR", "DE", None, "FR", None)}
    first, second = card(values, labels_of(4, 1), read=[*features_named(["mean_csat"]), country])
    assert first["measurable"] == {
        "value": 0.5,
        "detail": {"known": {"mean_csat": 0.25, "attributes.country": 0.75}},
    }
    assert second["measurable"]["value"] == 0.5


def test_accessible_is_the_share_that_can_be_reached():
    values = {
        CONSENT_MARKETING: numbers(1, 1, 0, np.nan, 1),
        CONSENT_PROFILING: numbers(1, 0, 0, np.nan, 1),
        REACHABLE: numbers(1, 0, 0, 0, 1),
    }
    assert card(values, labels_of(4, 1))[0]["accessible"] == {
        "value": 0.25,
        "detail": {
            "consented_share": 0.5,
            "refused_share": 0.25,
            "not_asked_share": 0.25,
            "profiling_consented_share": 0.25,
        },
    }


def test_substantial_is_the_share_of_revenue_or_of_customers_where_there_is_none():
    first, _ = card({"total_spend": numbers(10, 20, 70, 0)}, labels_of(2, 1, unassigned=1))
    assert first["substantial"] == {
        "value": 0.3,
        "detail": {"basis": "revenue", "size": 2, "size_share": 0.5, "revenue_share": 0.3},
    }
    first, _ = card({"total_spend": numbers(0, 0, 0, 0)}, labels_of(3, 1))
    assert first["substantial"] == {
        "value": 0.75,
        "detail": {"basis": "size", "size": 3, "size_share": 0.75, "revenue_share": None},
    }


def test_differentiable_compares_what_was_spent_after_the_fit():
    after, labels = numbers(30, 60, 90, 120, 0, 0, 0, 30), labels_of(4, 4)
    first, second = (each["differentiable"] for each in card({}, labels, after=after))
    assert first["value"] == pytest.approx(cliffs_delta(after[:4], after[4:]))
    assert second["value"] == pytest.approx(-first["value"])
    detail = first["detail"]
    assert (detail["spend_per_day"], detail["spend_per_day_of_others"]) == (2.5, 0.25)
    assert detail["eta_squared"] == eta_squared(np.log1p(after), labels)
    # k - 1 of n - 1 degrees of freedom.
    assert detail["eta_squared_by_chance"] == 1 / 7
    assert detail["interval"]["low"] < first["value"] < detail["interval"]["high"] <= 1.0


def test_the_interval_of_the_difference_covers_the_truth_as_often_as_it_says():
    # Two normal populations one standard deviation apart: delta = 2 Phi(1 / sqrt 2) - 1 = .5205 (McGraw and Wong 1992).
    random, covered = np.random.default_rng(7), 0
    for _ in range(300):
        after = np.concatenate((random.normal(101, 1, 15), random.normal(100, 1, 40)))
        interval = card({}, labels_of(15, 40), after=after)[0]["differentiable"]["detail"]["interval"]
        covered += interval["low"] <= 0.5205 <= interval["high"]
    # 95 % of 300 less four standard errors of 3.8; the variance is an upper bound, so that more are to be expected.
    assert covered >= 270


@pytest.mark.parametrize(
    ("after", "days", "reason"),
    [
        (None, 30.0, "no_behaviour_after_fit"),
        (numbers(1, 2, 3, 4), 6.9, "no_behaviour_after_fit"),
        (numbers(0, 0, 0, 0), 30.0, "no_purchases_after_fit"),
    ],
)
def test_without_behaviour_after_the_fit_nothing_is_said_of_it(after, days, reason):
    assert card({}, labels_of(2, 2), after=after, days=days)[0]["differentiable"] == {
        "value": None,
        "reason": reason,
        "detail": {"days": days},
    }


def test_a_segment_of_everybody_differs_from_nobody():
    entry = card({}, labels_of(3), after=numbers(1, 2, 3))[0]["differentiable"]
    assert (entry["value"], entry["reason"], entry["detail"]["eta_squared"]) == (None, "no_others", None)


def test_actionable_is_the_rate_of_response_less_that_of_everyone():
    values = {EXPOSED: numbers(2, 2, 0, 4, 2), RESPONDED: numbers(2, 1, 0, 0, 0)}
    first, second = (each["actionable"] for each in card(values, labels_of(3, 2)))
    # 3 of 4 and 0 of 6 exposures, 3 of 10 altogether.
    assert first["value"] == pytest.approx(0.75 - 0.3)
    assert second["value"] == pytest.approx(-0.3)
    rate = first["detail"]["response_rate"]
    assert (rate["value"], rate["n"], rate["method"]) == (0.75, 2, "wilson")
    assert rate["low"] < 0.75 < rate["high"]
    assert first["detail"]["everyone"]["n"] == 4
    assert first["detail"]["exposures"] == 4


def test_without_campaigns_nothing_is_said_of_responses():
    none = {EXPOSED: numbers(0, 0), RESPONDED: numbers(0, 0)}
    assert card(none, labels_of(1, 1))[0]["actionable"] == {"value": None, "reason": "no_campaigns", "detail": {}}
    some = {EXPOSED: numbers(0, 1), RESPONDED: numbers(0, 1)}
    assert [each["actionable"].get("reason") for each in card(some, labels_of(1, 1))] == ["no_exposures", None]


def test_a_card_is_plain_json_without_nan():
    after, exposed = numbers(1, 0, 3, np.nan), numbers(1, 0, np.nan, 2)
    values = {"total_spend": numbers(1, np.nan, 3, 4), EXPOSED: exposed, RESPONDED: numbers(3, 0, 0, 0)}
    cards = card(values, labels_of(2, 1, unassigned=1), after=after, k=3)
    assert json.loads(json.dumps(cards, allow_nan=False)) == cards
