"""Rules decide as plain Python does, in three values; the first that holds wins, and a hand goes before all of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.modelling.rules.conditions import Did, DidThen, InSegment, RuleSet, leaves
from app.modelling.rules.deciding import Values
from app.modelling.rules.evaluation import MAX_REASON, evaluate, reasons
from app.modelling.rules.grammar import parse
from app.modelling.rules.tracing import trace
from tests.support.rules import (
    CONDITIONS,
    NUMBERS,
    ROWS,
    SEGMENTATION,
    TEXTS,
    Row,
    compared,
    plainly,
    rule,
    ruleset,
)


def columns(rows: Sequence[Row]) -> Values:
    return {
        **{name: np.array([row[name] for row in rows], np.float64) for name in NUMBERS},
        **{name: objects(*(row[name] for row in rows)) for name in TEXTS},
    }


def objects(*values: Any) -> Any:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def numbers(*values: float | None) -> Any:
    return np.array(values, np.float64)


@given(st.lists(CONDITIONS, min_size=1, max_size=3), ROWS)
def test_arrays_decide_as_plain_python_does(conditions: list[Any], rows: list[Row]) -> None:
    expected = [
        next((place for place, each in enumerate(conditions) if plainly(each, row) is True), -1) for row in rows
    ]
    assert evaluate(ruleset(*conditions), columns(rows)).tolist() == expected


@given(CONDITIONS, ROWS)
def test_a_trace_says_of_every_condition_what_plain_python_says(condition: dict[str, Any], rows: list[Row]) -> None:
    rules, values = ruleset(condition), columns(rows)
    codes = evaluate(rules, values)
    for position, row in enumerate(rows):
        told = trace(rules, values, position)
        assert told["segment_key"] == ("a" if codes[position] == 0 else None)
        assert_told(told["rules"][0]["when"], condition, row)


def assert_told(node: dict[str, Any], condition: dict[str, Any], row: Row) -> None:
    assert node["held"] is plainly(condition, row)
    if "feature" in condition:
        assert node["value"] == row[condition["feature"]]
    elif "not" in condition:
        assert_told(node["not"], condition["not"], row)
    else:
        [word] = condition
        for part, written in zip(node[word], condition[word], strict=True):
            assert_told(part, written, row)


UNKNOWN_COUNTRY = {"attributes.country": objects(None), "purchase_count": numbers(3)}
IN_AUSTRIA = compared("attributes.country", "=", "AT")
MANY = compared("purchase_count", ">=", 3)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (IN_AUSTRIA, False),
        ({"not": IN_AUSTRIA}, False),
        (compared("attributes.country", "!=", "AT"), False),
        (compared("attributes.country", "not_in", ["AT"]), False),
        ({"any": [IN_AUSTRIA, MANY]}, True),
        ({"all": [IN_AUSTRIA, MANY]}, False),
        ({"not": {"all": [IN_AUSTRIA, {"not": MANY}]}}, True),
        (compared("attributes.country", "is_unknown"), True),
        ({"not": compared("attributes.country", "is_known")}, True),
    ],
)
def test_what_is_unknown_neither_holds_nor_fails(condition: Any, holds: bool) -> None:
    assert evaluate(ruleset(condition), UNKNOWN_COUNTRY).tolist() == [0 if holds else -1]


@pytest.mark.parametrize(
    ("condition", "column", "held"),
    [
        (compared("attributes.x", "=", "15"), numbers(15, 16, None), [True, False, None]),
        (compared("attributes.x", "in", ["15", "16.0"]), numbers(15, 16, 17), [True, True, False]),
        (compared("attributes.x", "=", "nan"), numbers(15), [None]),
        (compared("attributes.x", "=", "1e999"), numbers(15), [None]),
        (compared("attributes.x", "contains", "1"), numbers(15), [None]),
        (compared("attributes.x", "=", True), numbers(1, 0), [True, False]),
        (compared("attributes.x", "=", 15), objects("15", "15.0", "N/A", None), [True, True, None, None]),
        (compared("attributes.x", "<", 15), objects("14", ".5e2", "Infinity"), [True, False, None]),
        (compared("attributes.x", "=", True), objects("true", "false", "yes"), [True, False, None]),
        (compared("attributes.x", "not_in", [1, 2]), objects("1", "3", "x"), [False, True, None]),
        (compared("attributes.x", "=", "'; drop table customers; --"), objects("x"), [False]),
    ],
)
def test_values_of_another_type_are_unknown_but_numbers_written_as_text_are_numbers(
    condition: Any, column: Any, held: list[bool | None]
) -> None:
    rules, values = ruleset(condition), {"attributes.x": column}
    assert [trace(rules, values, place)["rules"][0]["when"]["held"] for place in range(column.size)] == held


def derived_values(rules: RuleSet, *values: Any) -> Values:
    """A column for each leaf about histories or segments, in order."""
    named = [leaf for _, leaf in leaves(rules) if isinstance(leaf, Did | DidThen | InSegment)]
    return {leaf.name: numbers(*column) for leaf, column in zip(named, values, strict=True)}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [False, True, True, True]),
        ({"at_least": 2}, [False, False, True, True]),
        ({"at_most": 1}, [True, True, False, False]),
        ({"at_most": 0}, [True, False, False, False]),
        ({"at_least": 1, "at_most": 2}, [False, True, True, False]),
    ],
)
def test_bounds_of_a_count_belong_to_it(bounds: dict[str, int], expected: list[bool]) -> None:
    rules = ruleset({"did": {"type": "visit", **bounds}})
    assert [each == 0 for each in evaluate(rules, derived_values(rules, [0, 1, 2, 3]))] == expected


def test_sequences_and_segments_hold_from_one_on() -> None:
    sequence = {"did": {"type": "cart"}, "then_not": {"type": "purchase"}, "within_days": 2}
    member = {"segment": {"segmentation_id": SEGMENTATION, "key": "vip"}}
    rules = ruleset(sequence, member)
    assert evaluate(rules, derived_values(rules, [0, 2, 1], [1, 1, 0])).tolist() == [1, 0, 0]


ANYBODY = compared("purchase_count", ">=", 0)
NOBODY = compared("purchase_count", "<", 0)


@pytest.mark.parametrize(
    ("rules", "said", "expected"),
    [
        ((ANYBODY, ANYBODY), None, 0),
        ((ANYBODY, ANYBODY), "exclude:a", 1),
        ((ANYBODY, ANYBODY), "exclude:a,exclude:b", -1),
        ((NOBODY, NOBODY), "include:b", 3),
        ((ANYBODY, NOBODY), "include:b", 3),
        ((ANYBODY, NOBODY), "exclude:b,include:b", 0),
        ((NOBODY, NOBODY), "exclude:b,include:b", -1),
        ((NOBODY, NOBODY), "include:a,include:b", 2),
        ((NOBODY, NOBODY), "exclude:a,include:a,include:b", 3),
        ((ANYBODY, NOBODY), "include:gone,exclude:gone", 0),
    ],
)
def test_a_hand_goes_before_conditions_and_out_before_in(rules: Any, said: str | None, expected: int) -> None:
    values = {"purchase_count": numbers(0, 0)}
    codes = evaluate(ruleset(*rules), values, by_hand=objects(None, said))
    assert codes[1] == expected
    assert codes[0] == evaluate(ruleset(*rules), values)[0]


def test_a_reason_is_short_and_the_same_for_all_of_a_rule() -> None:
    long = {"any": [compared("attributes.country", "starts_with", "x" * 50)] * 100}
    told = reasons(parse([rule(MANY), rule(long, "b")]))
    assert told[0] == {"rule": "a", "because": "purchase_count >= 3"}
    assert len(told[1]["because"]) == MAX_REASON
    assert told[2:] == (
        {"rule": "a", "because": "included by hand"},
        {"rule": "b", "because": "included by hand"},
    )


def test_a_trace_ends_with_the_rule_that_won_and_shows_the_values_it_saw() -> None:
    rules = ruleset(IN_AUSTRIA, {"all": [MANY, {"did": {"type": "visit"}}]}, ANYBODY)
    values = {**UNKNOWN_COUNTRY, **derived_values(rules, [2])}
    assert trace(rules, values, 0) == {
        "segment_key": "b",
        "rules": [
            {
                "rule": "a",
                "matched": False,
                "by_hand": None,
                "when": {"held": None, "condition": "attributes.country = AT", "value": None},
            },
            {
                "rule": "b",
                "matched": True,
                "by_hand": None,
                "when": {
                    "held": True,
                    "all": [
                        {"held": True, "condition": "purchase_count >= 3", "value": 3},
                        {"held": True, "condition": "visit at least once", "value": 2},
                    ],
                },
            },
        ],
    }


def test_a_trace_says_what_was_decided_by_hand() -> None:
    told = trace(ruleset(ANYBODY, NOBODY), {"purchase_count": numbers(1)}, 0, by_hand=objects("exclude:a,include:b"))
    assert told["segment_key"] == "b"
    assert [(each["by_hand"], each["matched"]) for each in told["rules"]] == [("exclude", False), ("include", True)]


def test_nobody_to_decide_about_is_no_error() -> None:
    assert evaluate(ruleset(MANY, IN_AUSTRIA), {"purchase_count": numbers(), "attributes.country": objects()}).size == 0
