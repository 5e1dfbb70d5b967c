"""Portraits of populations whose differences are known: every word is a figure's."""

import json

import numpy as np
import pytest

from app.modelling.segments.judgement.portraits import portray
from tests.unit.judgement.populations import BY_NAME, attribute_feature, features_named, labels_of, numbers, shop, words


def portraits(values, labels, features=None, *, taken=None, k=None):
    features = features_named(values) if features is None else features
    return portray(values, labels, names_taken=taken or {}, features=features, currency="EUR", k=k)


def test_a_shop_of_three_kinds_of_customers_is_told_apart_in_words():
    values, labels, features = shop()
    spenders, lapsed, between = portraits(values, labels, features)
    # The forty lie beyond all eighty others in all three features.
    assert spenders.name == "Recent, frequent, high spend"
    assert [driver.effect_size for driver in spenders.drivers] == [-1.0, 1.0, 1.0]
    assert lapsed.name == "Lapsed, low spend one-time buyers"
    assert [driver.direction for driver in lapsed.drivers] == ["high", "low", "low"]
    # Above one forty and below the other in each: a delta of 0.
    assert between.name == "Average customers"
    assert between.drivers == ()
    assert between.description == "40 of 120 customers (33.3%). No feature tells them from the other customers."


def test_a_driver_says_what_it_is_made_of():
    values, labels, features = shop()
    driver = next(each for each in portraits(values, labels, features)[0].drivers if each.feature == "purchase_count")
    assert (driver.direction, driver.magnitude, driver.unit) == ("high", "large", "purchases")
    assert (driver.segment_median, driver.everyone_median) == (23.5, 5.0)
    # All 40 of the spenders are above 5, and the ten of the others who bought 6 times.
    assert (driver.bound, driver.segment_share, driver.everyone_share) == ("above", 1.0, 0.4167)
    assert driver.meaning == "higher purchase count: median 23.50 purchases, of everyone 5 purchases"


def test_the_typical_customer_has_the_medians_of_those_of_whom_they_are_known():
    values = {"average_order_value": numbers(10, np.nan, 30, 99, 99), "dominant_channel": words(*["web"] * 5)}
    portrait = portraits(values, labels_of(3, 2))[0]
    assert portrait.typical == {
        "average_order_value": {"median": 20.0, "unit": "EUR", "known": 2},
        "dominant_channel": {"most_common": "web", "share": 1.0, "unit": "channel", "known": 3},
    }


def test_where_medians_tie_the_share_beyond_them_is_said():
    values = {"refund_share": numbers(*[0.0] * 6, *[0.5] * 4, *[0.0] * 20), "purchase_count": numbers(*[1] * 30)}
    driver = portraits(values, labels_of(10, 20))[0].drivers[0]
    assert driver.effect_size == 0.4
    assert driver.meaning == "higher refund share: 40% of members above everyone's median of 0.0%, of everyone 13%"
    low = {"purchase_count": numbers(*[1] * 10, *[1] * 11, *[3] * 9)}
    driver = portraits(low, labels_of(10, 20))[0].drivers[0]
    assert driver.meaning == (
        "lower purchase count: 100% of members at most everyone's median of 1 purchase, of everyone 70%"
    )


def test_a_category_is_named_by_the_level_that_is_more_or_less_frequent():
    country = attribute_feature("attributes.country", "category")
    values = {country.name: words(*["FR"] * 16, *["DE"] * 4, *["FR"] * 5, *["DE"] * 15)}
    first, second = portraits(values, labels_of(20, 20), [country])
    assert first.name == "Mostly country FR"
    assert first.drivers[0].meaning == "country more often FR: 80% of members, 52% of everyone"
    assert (first.drivers[0].effect_size, first.drivers[0].category, first.drivers[0].direction) == (0.55, "FR", "is")
    assert second.drivers[0].direction == "is_not"
    assert second.name == "Less often country FR"


def test_what_is_known_of_few_members_does_not_speak_for_them():
    values = {"mean_csat": numbers(5, 5, *[np.nan] * 8, *[1] * 10), "purchase_count": numbers(*range(20))}
    portrait = portraits(values, labels_of(10, 10))[0]
    assert [driver.feature for driver in portrait.drivers] == ["purchase_count"]
    assert portrait.typical["mean_csat"] == {"median": 5.0, "unit": "points", "known": 2}


def test_features_of_one_meaning_are_named_once():
    spend = numbers(*range(20))
    values = {"total_spend": spend, "net_spend": spend - 0.5, "purchase_days": spend, "purchase_count": spend}
    assert portraits(values, labels_of(10, 10))[1].name == "High spend, frequent"


def test_a_difference_that_is_negligible_is_not_named():
    # 107 of 200 against 93 of 200 above: a delta of .07.
    values = {"purchase_count": numbers(*[2] * 107, *[1] * 93, *[2] * 93, *[1] * 107)}
    names = [portrait.name for portrait in portraits(values, labels_of(200, 200))]
    assert names == ["Average customers", "Average customers 2"]


def test_customers_in_no_segment_are_among_the_others():
    values = {"purchase_count": numbers(*[9] * 10, *[1] * 10)}
    [portrait] = portraits(values, labels_of(10, unassigned=10))
    assert portrait.name == "Frequent"
    assert portrait.share == 0.5


def test_a_segment_of_everybody_has_nobody_to_be_compared_with():
    [portrait] = portraits({"purchase_count": numbers(1, 2, 3)}, labels_of(3))
    assert portrait.name == "All customers"
    assert portrait.description == "3 of 3 customers (100.0%): there is nobody else to compare them with."
    assert portrait.drivers == ()


def test_a_segment_of_nobody_is_said_to_be_empty():
    empty = portraits({"purchase_count": numbers(1, 2)}, labels_of(2), k=2)[1]
    assert (empty.name, empty.size, empty.share) == ("Empty segment", 0, 0.0)
    assert empty.description == "None of 2 customers."
    assert empty.typical == {"purchase_count": {"median": None, "unit": "purchases", "known": 0}}
    assert portraits({"purchase_count": numbers()}, labels_of(), k=1)[0].share is None


def test_a_feature_known_of_nobody_says_nothing():
    country = attribute_feature("attributes.country", "category")
    values = {"purchase_count": numbers(*[np.nan] * 4), country.name: words(*[None] * 4)}
    portrait = portraits(values, labels_of(2, 2), [BY_NAME["purchase_count"], country])[0]
    # To be average is a finding too.
    assert portrait.name == "Little known customers"
    assert portrait.typical[country.name] == {"most_common": None, "share": None, "unit": "as given", "known": 0}


def test_names_that_are_taken_stay_while_the_figures_are_of_today():
    values, labels, features = shop()
    kept, lapsed, _ = portraits(values, labels, features, taken={0: "VIP"})
    assert (kept.name, kept.drivers[0].effect_size) == ("VIP", -1.0)
    assert lapsed.name == "Lapsed, low spend one-time buyers"


def test_the_same_customers_in_another_order_give_the_same_portraits():
    values, labels, features = shop()
    order = np.random.default_rng(1).permutation(labels.size)
    shuffled = portraits({name: column[order] for name, column in values.items()}, labels[order], features)
    assert shuffled == portraits(values, labels, features)


@pytest.mark.parametrize("k", [None, 5])
def test_a_portrait_is_plain_json_without_nan(k):
    values, labels, features = shop()
    for portrait in portraits(values, labels, features, k=k):
        assert json.loads(json.dumps(portrait.shown(), allow_nan=False))["name"] == portrait.name
