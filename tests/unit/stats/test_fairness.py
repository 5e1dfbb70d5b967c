"""Rates by group against hand counts, their definition as a confusion table, and invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from app.stats.estimate import StatsError, Undetermined
from app.stats.fairness import RATES, gaps, group_rates
from app.stats.proportion import proportion_interval

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def members(group, *, hits, misses, false_alarms, left_alone):
    """Customers of one group by confusion table."""
    table = [(0.9, True, hits), (0.1, True, misses), (0.9, False, false_alarms), (0.1, False, left_alone)]
    return [(group, chance, happened) for chance, happened, count in table for _ in range(count)]


def rates_of(rows, *, threshold=0.5, **options):
    groups, chances, happened = zip(*rows, strict=True)
    return group_rates(groups, chances, happened, threshold=threshold, **options)


def test_the_rates_of_the_compas_scores_are_the_published_ones():
    # ProPublica, "How We Analyzed the COMPAS Recidivism Algorithm" (2016), two-year recidivism, low against medium and
    # high risk: Black defendants 805 / 1369 / 990 / 532 and white 349 / 505 / 1139 / 461 (false positives, true
    # positives, true negatives, false negatives); false positive rates 44.85 and 23.45, false negative 27.99 and 47.72,
    # positive predictive values 0.63 and 0.59.
    rows = members("black", hits=1369, misses=532, false_alarms=805, left_alone=990)
    rows += members("white", hits=505, misses=461, false_alarms=349, left_alone=1139)
    black, white = rates_of(rows)
    assert (black.group, black.n, black.positives) == ("black", 3696, 1901)
    assert [round(100 * each.false_positive_rate.value, 2) for each in (black, white)] == [44.85, 23.45]
    assert [round(100 - 100 * each.true_positive_rate.value, 2) for each in (black, white)] == [27.99, 47.72]
    assert [round(each.positive_predictive_value.value, 2) for each in (black, white)] == [0.63, 0.59]
    by_rate = {gap.rate: gap for gap in gaps([black, white])}
    # The article's own finding: nearly twice as often wrongly high.
    assert by_rate["false_positive_rate"].ratio.high < 0.6
    assert by_rate["false_positive_rate"].difference.high < 0.0
    assert by_rate["selection_rate"].four_fifths is False


@given(ROWS)
def test_every_rate_is_that_of_the_confusion_table(rows):
    for row in rates_of(rows):
        ours = [(chance >= 0.5, happened) for group, chance, happened in rows if group == row.group]
        said, happened = zip(*ours, strict=True)
        (tn, fp), (fn, tp) = confusion_matrix(happened, said, labels=[False, True])
        assert (row.n, row.positives) == (len(ours), tp + fn)
        assert row.selection_rate == proportion_interval(tp + fp, len(ours))
        assert row.true_positive_rate == proportion_interval(tp, tp + fn)
        assert row.false_positive_rate == proportion_interval(fp, fp + tn)
        assert row.positive_predictive_value == proportion_interval(tp, tp + fp)
        assert row.observed_rate == proportion_interval(tp + fn, len(ours))
        stated = np.mean([chance for group, chance, _ in rows if group == row.group])
        assert row.mean_probability.value == pytest.approx(stated, abs=1e-12)
        assert row.calibration_gap.value == pytest.approx(row.observed_rate.value - stated, abs=1e-12)


@given(ROWS)
def test_every_group_but_the_largest_is_compared_rate_by_rate(rows):
    rates = rates_of(rows)
    found = gaps(rates)
    assert [row.n for row in rates] == sorted((row.n for row in rates), reverse=True)
    assert [(gap.group, gap.rate) for gap in found] == [(row.group, rate) for row in rates[1:] for rate in RATES]
    for gap in found:
        assert gap.reference == rates[0].group
        assert (gap.four_fifths is None) == (gap.rate != "selection_rate")
        if not isinstance(gap.difference, Undetermined):
            assert -1.0 <= gap.difference.low <= gap.difference.value <= gap.difference.high <= 1.0


def test_four_fifths_is_judged_either_way_round():
    def verdict(ours, theirs):
        rows = members("a", hits=ours, misses=20 - ours, false_alarms=0, left_alone=1)
        rows += members("b", hits=theirs, misses=20 - theirs, false_alarms=0, left_alone=0)
        return gaps(rates_of(rows))[0].four_fifths

    # 8 of 21 against 6 or 7 of 20, and a small group that is chosen more often than the large one.
    assert verdict(8, 7) is True
    assert verdict(8, 6) is False
    assert verdict(8, 12) is False


def test_a_rate_of_nobody_is_undetermined_and_so_is_its_gap():
    rows = members("a", hits=3, misses=2, false_alarms=1, left_alone=4)
    rows += members("b", hits=0, misses=0, false_alarms=2, left_alone=1)
    small = rates_of(rows)[1]
    assert small.true_positive_rate == Undetermined("zero_denominator", 0)
    gap = {gap.rate: gap for gap in gaps(rates_of(rows))}["true_positive_rate"]
    assert gap.difference == gap.ratio == Undetermined("zero_denominator", 5)


def test_over_a_rate_of_zero_there_is_no_ratio():
    rows = members("a", hits=0, misses=0, false_alarms=0, left_alone=9)
    rows += members("b", hits=0, misses=0, false_alarms=1, left_alone=2)
    gap = gaps(rates_of(rows))[0]
    assert gap.ratio == Undetermined("zero_denominator", 12)
    assert gap.four_fifths is False


def test_the_threshold_itself_selects():
    assert rates_of([("a", 0.5, True)], threshold=0.5)[0].selection_rate.value == 1.0


def test_nobody_and_one_group_have_no_gaps():
    assert group_rates([], [], [], threshold=0.5) == []
    assert gaps([]) == []
    assert gaps(rates_of([("a", 0.5, True)])) == []


def test_misuse_is_refused():
    with pytest.raises(StatsError):
        group_rates(["a"], [0.5, 0.6], [True, False], threshold=0.5)
    with pytest.raises(StatsError):
        group_rates(["a"], [1.5], [True], threshold=0.5)
    with pytest.raises(StatsError):
        group_rates(["a"], [0.5], [True], threshold=50)
    with pytest.raises(StatsError):
        gaps([*rates_of([("a", 0.5, True)]), *rates_of([("b", 0.5, True)], level=0.9)])
