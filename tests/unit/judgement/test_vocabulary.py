"""Every feature has its words."""

from app.modelling.features.definitions import FEATURES
from app.modelling.segments.judgement import vocabulary
from app.modelling.segments.judgement.columns import JUDGED, REVENUE
from app.modelling.segments.judgement.vocabulary import Said, category_said, number_said, shortened, theme_of
from tests.unit.judgement.populations import BY_NAME, attribute_feature


def test_every_feature_of_the_registry_has_words_and_no_word_is_of_another():
    assert set(vocabulary._WORDS) == {feature.name for feature in FEATURES}


def test_the_features_judged_have_a_theme_each_and_include_revenue():
    themes = [theme_of(feature) for feature in JUDGED]
    assert len(set(themes)) == len(themes)
    assert REVENUE in {feature.name for feature in JUDGED}


def test_growing_is_only_said_of_spend_that_grew():
    trend = BY_NAME["spend_trend_90d"]
    assert number_said(trend, "high", (-0.1, 0.2, 0.5)) == Said("growing")
    assert number_said(trend, "high", (-0.5, -0.2, 0.0)) == Said("high spend trend 90d")
    assert number_said(trend, "low", (-0.5, -0.2, 0.0)) == Said("declining")


def test_one_time_is_only_said_where_the_middle_half_bought_once():
    count = BY_NAME["purchase_count"]
    assert number_said(count, "low", (1, 1, 1)) == Said("one-time buyers", is_noun=True)
    assert number_said(count, "low", (1, 1, 2)) == Said("infrequent")
    assert number_said(count, "low", (0, 0, 0)) == Said("non-buyers", is_noun=True)


def test_attributes_are_said_by_their_own_name():
    income = attribute_feature("attributes.AnnualIncome", "number")
    birthday = attribute_feature("attributes.birthday", "date")
    country = attribute_feature("attributes.country", "category")
    assert number_said(income, "high", (1, 2, 3)).text == "high AnnualIncome"
    assert number_said(birthday, "high", (1, 2, 3)).text == "earlier birthday"
    assert category_said(country, "is", "FR", 0.6).text == "mostly country FR"
    assert category_said(country, "is", "FR", 0.5).text == "more often country FR"
    assert category_said(country, "is_not", "FR", 0.1).text == "less often country FR"
    assert category_said(country, "is_not", "FR", 0.0).text == "never country FR"


def test_what_customers_wrote_stays_one_short_line():
    assert shortened("a\n\tb\x00 c") == "a b c"
    assert len(shortened("x" * 1_000)) == 40
