"""Effects of segments by one ranking against the pairwise definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.modelling.features.definitions import BY_NAME
from app.modelling.segments.judgement import effects
from app.modelling.segments.judgement.effects import Groups, effects_of, magnitude
from tests.unit.judgement.populations import attribute_feature, cliffs_delta, labels_of, numbers, words

SPEND = BY_NAME["total_spend"]
COUNTRY = attribute_feature("attributes.country", "category")

CUSTOMERS = st.lists(st.tuples(st.integers(-1, 3), st.one_of(st.none(), st.integers(0, 6))), min_size=1, max_size=60)


def effect(values, labels, k=None):
    return effects_of({"total_spend": values}, Groups.of(labels, k), [SPEND])[0]


@given(CUSTOMERS)
def test_one_ranking_gives_the_delta_of_every_segment_and_pair(customers):
    labels = np.array([label for label, _ in customers], dtype=np.int64)
    values = np.array([np.nan if value is None else value for _, value in customers], dtype=np.float64)
    found = effect(values, labels, 4)
    known = np.isfinite(values)
    for one in range(4):
        mine, others = values[known & (labels == one)], values[known & (labels != one)]
        if mine.size and others.size:
            assert found.against_others[one] == pytest.approx(cliffs_delta(mine, others), abs=1e-12)
        else:
            assert np.isnan(found.against_others[one])
        for other in range(4):
            theirs = values[known & (labels == other)]
            if one != other and mine.size and theirs.size:
                assert found.pairs[one, other] == pytest.approx(abs(cliffs_delta(mine, theirs)), abs=1e-12)


def test_ties_across_a_block_of_distinct_values_are_ties(monkeypatch):
    monkeypatch.setattr(effects, "BLOCK", 2)
    values, labels = numbers(1, 2, 3, 3, 4, 5, 3, 3, 2, 9), labels_of(5, 5)
    assert effect(values, labels).against_others[0] == pytest.approx(cliffs_delta(values[:5], values[5:]), abs=1e-12)


def test_a_sample_of_many_is_near_the_exact_delta(monkeypatch):
    random = np.random.default_rng(3)
    labels = labels_of(30_000, 9_000, 300, unassigned=700)
    values = random.normal(size=labels.size) + labels * 0.3
    exact = effect(values, labels)
    monkeypatch.setattr(effects, "MOST_RANKED", 20_000)
    sampled = effect(values, labels)
    # The standard error of a delta of samples of m1 and m2 is at most sqrt((m1 + m2 + 1) / (3 m1 m2)) where both are
    # drawn from one population, here with 5,000 of the large segments and all 300: .035 at most; four of them.
    assert sampled.against_others == pytest.approx(exact.against_others, abs=0.14)
    assert sampled.compared[0].tolist() == [5_000, 5_000, 300]
    assert effect(values, labels).against_others.tolist() == sampled.against_others.tolist()


def test_infinite_numbers_count_as_unknown():
    found = effect(numbers(1, np.inf, 3, np.nan), labels_of(2, 2))
    assert found.known.tolist() == [0.5, 0.5]
    assert found.against_others.tolist() == [-1.0, 1.0]


def test_a_category_differs_by_the_share_of_its_level_that_differs_most():
    column = words(*["FR"] * 8, "DE", None, *["DE"] * 6, *["FR"] * 2, *[None] * 2)
    found = effects_of({COUNTRY.name: column}, Groups.of(labels_of(10, 10)), [COUNTRY])[0]
    # 8 of 9 against 2 of 8 are French.
    assert found.against_others[0] == pytest.approx(8 / 9 - 2 / 8)
    assert found.levels[0] == "FR"
    assert found.known.tolist() == [0.9, 0.8]
    assert found.pairs[0, 1] == pytest.approx(8 / 9 - 2 / 8)


def test_a_level_of_hardly_anybody_is_never_named():
    column = words(*["Ada"] * 4, *[f"other {place}" for place in range(16)])
    found = effects_of({COUNTRY.name: column}, Groups.of(labels_of(4, 16)), [COUNTRY])[0]
    assert found.levels == (None, None)
    assert np.isnan(found.against_others).all()


@pytest.mark.parametrize(
    ("delta", "word"),
    # The bounds of Romano et al. (2006).
    [(0.146, "negligible"), (-0.147, "small"), (0.33, "medium"), (-0.474, "large"), (1.0, "large")],
)
def test_the_size_of_a_delta_has_the_words_of_the_field(delta, word):
    assert magnitude(delta) == word


def test_labels_beyond_the_segments_are_refused():
    with pytest.raises(ValueError, match="labels go up to 2, beyond 2 segments"):
        Groups.of(labels_of(1, 1, 1), 2)
