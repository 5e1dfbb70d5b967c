"""Warnings on segmentations that have too many segments, and none on those that do not."""

import pickle

import numpy as np
import pytest

from app.modelling.segments.judgement.advice import warnings_of
from app.modelling.segments.judgement.judging import Asked, judge
from app.modelling.segments.judgement.surrogate import rules_of
from tests.unit.judgement.populations import attribute_feature, features_named, labels_of, numbers, shop, words


def warnings(values, labels, **options):
    return warnings_of(values, labels, features=features_named(values), **options)


def test_segments_that_can_be_told_apart_raise_no_warning():
    values, labels, features = shop()
    assert warnings_of(values, labels, features=features) == []


def test_two_segments_that_nothing_tells_apart_are_one_too_many():
    # A third segment between the halves of the first would be seen; a random split of it is not.
    values = {"purchase_count": numbers(*[1, 2] * 20, *[8, 9] * 20)}
    found = warnings(values, labels_of(20, 20, 40))
    assert [(each["code"], each["segments"]) for each in found] == [
        ("indistinct_segments", [0, 1]),
        ("more_segments_than_needed", [1]),
    ]
    assert found[0]["detail"] == "they differ most in purchase_count, and there by 0.00 only, a negligible effect"
    assert found[1]["detail"] == "of 3 segments 2 can be told apart from each other; the others add none"


def test_one_feature_that_tells_two_segments_apart_is_enough():
    country = attribute_feature("attributes.country", "category")
    values = {"purchase_count": numbers(*[1, 2] * 20), country.name: words(*["FR"] * 20, *["DE"] * 20)}
    features = [*features_named(["purchase_count"]), country]
    assert warnings_of(values, labels_of(20, 20), features=features) == []
    assert warnings_of(values, labels_of(20, 20), features=features[:1])[0]["segments"] == [0, 1]


def test_small_and_empty_segments_are_named():
    found = warnings({"purchase_count": numbers(*[1] * 97, *[9] * 3)}, labels_of(97, 3), k=3)
    assert found == [
        {"code": "empty_segments", "detail": "1 segment without any member", "segments": [2]},
        {"code": "segments_too_small", "detail": "1 segment below 5.00% of the customers: 3.00%", "segments": [1]},
    ]
    assert warnings({"purchase_count": numbers(*[1] * 97, *[9] * 3)}, labels_of(97, 3), least_share=0.03) == []


def test_of_many_alike_only_the_most_alike_pairs_are_listed():
    found = warnings({"purchase_count": numbers(*[1, 2] * 60)}, labels_of(*[20] * 6))
    assert len([each for each in found if each["code"] == "indistinct_segments"]) == 10
    assert found[-1]["segments"] == [1, 2, 3, 4, 5]


def test_a_feature_known_of_nobody_tells_nobody_apart():
    found = warnings({"purchase_count": numbers(*[np.nan] * 4)}, labels_of(2, 2))
    assert found[0]["code"] == "indistinct_segments"


def test_rules_read_the_segments_aloud():
    values, labels, features = shop()
    found = rules_of(values, labels, features=features)
    assert found["fidelity"] == 1.0
    assert {rule["segment"] for rule in found["rules"]} == {0, 1, 2}
    assert sum(rule["customers"] for rule in found["rules"]) == 120


@pytest.mark.parametrize(("labels", "reason"), [(labels_of(4), "one_segment"), (labels_of(2, 2), "too_few")])
def test_rules_that_cannot_be_told_say_why(labels, reason):
    same = {"purchase_count": numbers(1, 1, 1, 1)}
    assert rules_of(same, labels, features=features_named(same)) == {"fidelity": None, "reason": reason, "rules": []}


def test_a_judgement_can_be_asked_of_another_process():
    values, labels, features = shop()
    read = tuple((feature.name, feature.dtype) for feature in features)
    asked = Asked(
        read, k=3, currency="EUR", names_taken={2: "Regulars"}, spend_after=values["total_spend"], days_after=30
    )
    found = judge(values, labels, pickle.loads(pickle.dumps(asked)))
    assert [portrait.name for portrait in pickle.loads(pickle.dumps(found)).portraits] == [
        "Recent, frequent, high spend",
        "Lapsed, low spend one-time buyers",
        "Regulars",
    ]
    assert (len(found.scorecards), found.warnings, found.rules["fidelity"]) == (3, [], 1.0)
