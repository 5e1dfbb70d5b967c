"""Names of segments are unique and keep what was taken."""

from hypothesis import given
from hypothesis import strategies as st

from app.modelling.segments.judgement.naming import Sayings, unique_names
from app.modelling.segments.judgement.vocabulary import Said

FREQUENT, RICH, LAPSED = Said("frequent"), Said("high spend"), Said("lapsed")
ONCE = Said("one-time buyers", is_noun=True)


def saying(*said, strength=0.5, plain="average customers"):
    return Sayings(said, tuple(strength - 0.01 * place for place in range(len(said))), plain)


def test_a_name_has_the_three_strongest_words_and_a_noun_stands_last():
    assert unique_names([saying(FREQUENT, RICH, LAPSED, Said("new"))], {}) == ["Frequent, high spend, lapsed"]
    assert unique_names([saying(ONCE, LAPSED)], {}) == ["Lapsed one-time buyers"]


def test_of_namesakes_the_strongest_is_very_and_the_others_say_more_or_are_numbered():
    names = unique_names([saying(LAPSED, strength=0.4), saying(LAPSED, strength=0.9), saying(LAPSED, strength=0.2)], {})
    assert names == ["Lapsed", "Very lapsed", "Lapsed 2"]
    more = [saying(FREQUENT, RICH), saying(RICH, FREQUENT, strength=0.4)]
    assert unique_names(more, {}) == ["Very frequent, high spend", "High spend, frequent"]
    growing = Said("growing")
    full = [saying(growing, RICH, LAPSED), saying(RICH, LAPSED, growing, FREQUENT, strength=0.4)]
    assert unique_names(full, {}) == ["Growing, high spend, lapsed", "High spend, lapsed, growing, frequent"]


def test_nobody_is_very_where_somebody_else_deserves_the_word_more():
    segments = [saying(LAPSED), saying(LAPSED, strength=0.4), saying(LAPSED, RICH, strength=0.9)]
    assert unique_names(segments, {}) == ["Lapsed", "Lapsed 2", "Lapsed, high spend"]


def test_average_customers_are_numbered_when_there_are_several():
    assert unique_names([saying(), saying(), saying()], {}) == [
        "Average customers",
        "Average customers 2",
        "Average customers 3",
    ]


def test_names_that_are_taken_stay_and_are_not_given_again():
    segments = [saying(LAPSED), saying(FREQUENT), saying(LAPSED, RICH)]
    assert unique_names(segments, {1: "Lapsed"}) == ["Lapsed 2", "Lapsed", "Lapsed, high spend"]
    # The same words in another order would be taken for the same segment.
    assert unique_names(segments, {0: "High spend, lapsed"})[2] == "Lapsed, high spend 2"


WORDS = st.lists(st.sampled_from([FREQUENT, RICH, LAPSED, ONCE, Said("growing")]), max_size=5, unique=True)


@given(st.lists(st.tuples(WORDS, st.floats(0.2, 1.0)), max_size=8), st.data())
def test_no_two_names_are_alike_and_the_same_segments_get_the_same_names(segments, data):
    sayings = [saying(*said, strength=strength) for said, strength in segments]
    label = st.integers(0, max(len(sayings) - 1, 0))
    taken = data.draw(st.dictionaries(label, st.sampled_from(["Lapsed", "Frequent", "VIP"]), max_size=1))
    names = unique_names(sayings, taken)
    assert len({name.casefold() for name in names}) == len(sayings)
    assert unique_names(sayings, taken) == names
    assert all(names[label] == name for label, name in taken.items() if label < len(names))
