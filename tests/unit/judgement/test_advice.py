"""Warnings on segmentations that have too many segments, none on those that do not; and rules that tell them apart."""

from uuid import UUID

import numpy as np

from app.modelling.segments.fitting import account_of
from app.modelling.segments.judgement.advice import warnings_of
from app.modelling.segments.task import Task
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
    found = account_of(asked(features), values, labels)
    assert found["fidelity"] == 1.0
    assert {rule["segment"] for rule in found["rules"]} == {0, 1, 2}
    assert sum(rule["customers"] for rule in found["rules"]) == 120
    assert all(rule["rule"] and rule["purity"] == 1.0 for rule in found["rules"])


def test_of_customers_in_no_segment_rules_say_nothing():
    values, labels, features = shop()
    found = account_of(asked(features), values, np.where(labels == 1, -1, labels))
    assert {rule["segment"] for rule in found["rules"]} == {0, 2}
    assert sum(rule["customers"] for rule in found["rules"]) == 80


def asked(features):
    named = [{"name": each.name, "dtype": each.dtype, "kind": each.kind} for each in features]
    return Task("kmeans", str(UUID(int=1)), named, "buyers", "EUR", 0.02)
