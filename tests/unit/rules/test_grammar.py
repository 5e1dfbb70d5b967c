"""Rules are read strictly: what is wrong is named with its place, what is right reads back to the same."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.modelling.rules.conditions import ByHand, Comparison, Did, RuleSet, leaves, to_json
from app.modelling.rules.deeds import TYPE
from app.modelling.rules.grammar import parse
from app.records.events.schemas import TYPE_PATTERN
from tests.support.rules import CONDITIONS, SEGMENTATION, compared, rule, ruleset

BOUGHT = {"did": {"type": "purchase"}}
MANY = compared("purchase_count", ">=", 3)


def errors_of(rules: Any) -> list[tuple[str, str]]:
    """Place and code of everything that is refused."""
    with pytest.raises(InvalidInput) as refused:
        parse(rules)
    return [(each.pointer, each.code) for each in refused.value.errors]


def errors_of_condition(when: Any) -> list[tuple[str, str]]:
    return [(pointer.removeprefix("/rules/0/when"), code) for pointer, code in errors_of([rule(when)])]


@given(st.lists(CONDITIONS, min_size=1, max_size=4))
def test_what_is_stored_reads_back_to_the_same_rules(conditions: list[Any]) -> None:
    read = ruleset(*conditions)
    stored = json.loads(json.dumps(to_json(read)))
    assert parse(stored) == read
    assert to_json(parse(stored)) == stored


@pytest.mark.parametrize(
    "condition",
    [
        {"did": {"type": "refund", "channel": "web", "campaign_id": "C'1", "product_id": "P", "within_days": 30}},
        {"did": {"type": "visit", "at_least": 2, "at_most": 5}},
        {"did": {"type": "cart", "within_days": 9}, "then_not": {"type": "purchase"}, "within_days": 2},
        {"did": {"type": "cart"}, "then": {"type": "purchase", "product_id": "P"}, "within_days": 2},
        {"segment": {"segmentation_id": SEGMENTATION, "key": "vip"}},
        compared("attributes.member", "=", True),
    ],
)
def test_every_form_reads_back_to_itself(condition: dict[str, Any]) -> None:
    read = ruleset(condition)
    assert parse(to_json(read)) == read


def test_the_canonical_form_says_defaults_and_forgets_order_and_repeats_of_lists() -> None:
    assert to_json(ruleset({"any": [BOUGHT, compared("purchase_count", "in", [3, 1, 3.0, 1])]}))[0]["when"] == {
        "any": [{"did": {"type": "purchase", "at_least": 1}}, compared("purchase_count", "in", [1, 3])]
    }


def test_at_most_alone_includes_never() -> None:
    [(_, never)] = leaves(ruleset({"did": {"type": "purchase", "at_most": 0}}))
    assert isinstance(never, Did)
    assert (never.at_least, never.at_most) == (0, 0)


def test_null_in_an_optional_field_is_as_if_it_were_left_out() -> None:
    assert ruleset({"did": {"type": "visit", "channel": None, "at_most": None}}) == ruleset({"did": {"type": "visit"}})


def test_decisions_by_hand_are_read_once_each_and_never_stored_with_the_rules() -> None:
    read = parse([rule(BOUGHT, include=["C-1", "C-2", "C-1"], exclude=["C-3"])])
    assert read.by_hand == (ByHand("a", "C-1", "include"), ByHand("a", "C-2", "include"), ByHand("a", "C-3", "exclude"))
    assert "C-" not in json.dumps(to_json(read))
    assert parse(to_json(read)).by_hand == ()


@pytest.mark.parametrize("rules", [None, {}, [], "rules"])
def test_rules_are_a_list_of_at_least_one(rules: Any) -> None:
    assert errors_of(rules) == [("/rules", "invalid_rules")]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([7], ("/rules/0", "invalid_type")),
        ([rule(BOUGHT), rule(BOUGHT)], ("/rules/1/key", "duplicate_key")),
        ([rule(BOUGHT, "Not Snake")], ("/rules/0/key", "invalid_key")),
        ([rule(BOUGHT, "x" * 101)], ("/rules/0/key", "invalid_length")),
        ([rule(BOUGHT, colour="red")], ("/rules/0/colour", "unknown_field")),
        ([rule(BOUGHT, **{"a/b~": 1})], ("/rules/0/a~1b~0", "unknown_field")),
        ([{"key": "a", "name": "A"}], ("/rules/0/when", "missing_field")),
        ([rule(BOUGHT, description="x" * 2_001)], ("/rules/0/description", "invalid_length")),
        ([rule(BOUGHT, include="C-1")], ("/rules/0/include", "invalid_type")),
        ([rule(BOUGHT, include=["C-1", 7])], ("/rules/0/include/1", "invalid_type")),
        ([rule(BOUGHT, include=[f"C-{n}" for n in range(1_001)])], ("/rules/0/include", "invalid_length")),
        ([rule(BOUGHT, exclude=["\x00"])], ("/rules/0/exclude/0", "invalid_text")),
    ],
)
def test_a_flawed_rule_is_refused_at_its_place(rules: Any, expected: tuple[str, str]) -> None:
    assert errors_of(rules) == [expected]


@pytest.mark.parametrize(
    ("when", "pointer", "code"),
    [
        ("x", "", "invalid_type"),
        ({}, "", "invalid_condition"),
        ({"all": [BOUGHT], "any": [BOUGHT]}, "", "invalid_condition"),
        ({"all": []}, "/all", "invalid_length"),
        ({"all": BOUGHT}, "/all", "invalid_type"),
        ({"all": [BOUGHT], "note": 1}, "/note", "unknown_field"),
        ({"all": [BOUGHT, {"not": {**MANY, "op": "~"}}]}, "/all/1/not/op", "unknown_operator"),
        ({"not": None}, "/not", "invalid_type"),
        (compared("shoe_size", "=", 1), "/feature", "unknown_feature"),
        (compared("attributes.", "=", 1), "/feature", "unknown_feature"),
        (compared("attributes." + "x" * 256, "=", 1), "/feature", "invalid_length"),
        (compared("purchase_count", "="), "/value", "missing_field"),
        (compared("purchase_count", "=", None), "/value", "missing_field"),
        (compared("purchase_count", "is_known", 1), "/value", "not_applicable"),
        (compared("purchase_count", "=", "3"), "/value", "invalid_type"),
        (compared("purchase_count", "=", True), "/value", "invalid_type"),
        (compared("purchase_count", "contains", "3"), "/value", "invalid_type"),
        (compared("attributes.x", "<", "3"), "/value", "invalid_type"),
        (compared("attributes.x", "<", True), "/value", "invalid_type"),
        (compared("attributes.x", "contains", ""), "/value", "invalid_type"),
        (compared("attributes.x", "contains", 3), "/value", "invalid_type"),
        (compared("attributes.x", "=", {}), "/value", "invalid_type"),
        (compared("attributes.x", "=", "x" * 1_001), "/value", "invalid_length"),
        (compared("attributes.x", "=", "\ud800"), "/value", "invalid_text"),
        (compared("attributes.x", "in", []), "/value", "invalid_length"),
        (compared("attributes.x", "in", "DE"), "/value", "invalid_type"),
        (compared("attributes.x", "in", [1, "1"]), "/value", "mixed_values"),
        (compared("attributes.x", "in", [1, True]), "/value", "mixed_values"),
        (compared("attributes.x", "in", [1, None]), "/value/1", "invalid_type"),
        (compared("attributes.x", "in", list(range(1_001))), "/value", "invalid_length"),
        (compared("attributes.x", "between", [1]), "/value", "invalid_bounds"),
        (compared("attributes.x", "between", [2, 1]), "/value", "invalid_bounds"),
        (compared("attributes.x", "between", ["a", "b"]), "/value", "invalid_bounds"),
        (compared("purchase_count", "=", float("nan")), "/value", "not_finite"),
        (compared("purchase_count", "=", float("inf")), "/value", "not_finite"),
        (compared("purchase_count", "=", 10**400), "/value", "not_finite"),
        ({"did": {}}, "/did/type", "missing_field"),
        ({"did": {"type": "Purchase!"}}, "/did/type", "invalid_event_type"),
        ({"did": {"type": "visit", "at_least": 0}}, "/did/at_least", "always_true"),
        ({"did": {"type": "visit", "at_least": 3, "at_most": 2}}, "/did/at_most", "never_true"),
        ({"did": {"type": "visit", "at_least": 1.5}}, "/did/at_least", "invalid_type"),
        ({"did": {"type": "visit", "at_least": True}}, "/did/at_least", "invalid_type"),
        ({"did": {"type": "visit", "at_most": -1}}, "/did/at_most", "out_of_range"),
        ({"did": {"type": "visit", "within_days": 0}}, "/did/within_days", "out_of_range"),
        ({"did": {"type": "visit", "within_days": 10**9}}, "/did/within_days", "out_of_range"),
        ({"did": {"type": "visit", "value": 7}}, "/did/value", "unknown_field"),
        ({"did": {"type": "visit"}, "within_days": 3}, "/within_days", "not_applicable"),
        ({"did": {"type": "visit"}, "then": {"type": "visit"}}, "/within_days", "missing_field"),
        (
            {"did": {"type": "visit"}, "then": {"type": "visit"}, "then_not": {"type": "visit"}, "within_days": 3},
            "",
            "invalid_condition",
        ),
        (
            {"did": {"type": "visit", "at_least": 2}, "then": {"type": "visit"}, "within_days": 3},
            "/did/at_least",
            "unknown_field",
        ),
        (
            {"did": {"type": "visit"}, "then": {"type": "visit", "within_days": 3}, "within_days": 3},
            "/then/within_days",
            "unknown_field",
        ),
        (
            {"did": {"type": "cart", "within_days": 3}, "then_not": {"type": "purchase"}, "within_days": 3},
            "/did/within_days",
            "never_true",
        ),
        ({"segment": {"segmentation_id": SEGMENTATION}}, "/segment/key", "missing_field"),
        (
            {"segment": {"segmentation_id": "{" + SEGMENTATION + "}", "key": "a"}},
            "/segment/segmentation_id",
            "invalid_uuid",
        ),
    ],
)
def test_a_flawed_condition_is_refused_at_its_place(when: Any, pointer: str, code: str) -> None:
    assert errors_of_condition(when) == [(pointer, code)]


def test_all_mistakes_are_told_at_once_but_not_without_end() -> None:
    assert errors_of_condition({"all": [compared("a", "=", 1), {"did": {"type": 7}}]}) == [
        ("/all/0/feature", "unknown_feature"),
        ("/all/1/did/type", "invalid_type"),
    ]
    assert len(errors_of_condition({"all": [7] * 500})) == 50


def test_a_thousand_conditions_are_read_and_one_more_is_refused() -> None:
    assert len(list(leaves(ruleset({"any": [BOUGHT] * 999})))) == 999
    assert errors_of([rule({"any": [BOUGHT] * 999}), rule(BOUGHT, "b")]) == [("/rules", "too_many_conditions")]
    assert errors_of([rule(BOUGHT)] * 1_001) == [("/rules", "too_many_conditions")]


def test_twenty_thousand_listed_values_are_read_and_one_more_is_refused() -> None:
    thousand = compared("attributes.x", "in", list(range(1_000)))
    full = rule({"any": [thousand] * 19}, include=[f"C-{number}" for number in range(1_000)])
    assert len(parse([full]).by_hand) == 1_000
    one_more = rule(compared("attributes.x", "in", [1]), "b")
    assert errors_of([full, one_more]) == [("/rules", "too_many_values")]


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = BOUGHT
    for _ in range(depth - 1):
        found = {"not": found}
    return found


def test_twenty_levels_are_read_and_one_more_is_refused() -> None:
    assert len(ruleset(nested(20)).rules) == 1
    assert errors_of_condition(nested(21)) == [("/not" * 20, "too_deep")]


@pytest.mark.parametrize(
    "when",
    [{"any": [BOUGHT] * 10_000}, {"any": [{"all": [BOUGHT] * 100}] * 100}, nested(10_000)],
    ids=["wide", "bushy", "deep"],
)
def test_ten_thousand_conditions_are_refused_before_they_are_read(when: Any) -> None:
    started = time.perf_counter()
    assert errors_of([rule(when)])[0][1] in ("too_many_conditions", "too_deep")
    # A hundredth of what a request may take; measured: under 5 ms.
    assert time.perf_counter() - started < 0.1


def test_event_types_are_those_that_are_taken_in() -> None:
    assert f"^{TYPE.pattern}$" == TYPE_PATTERN


@pytest.mark.parametrize(("value", "same"), [(3.0, 3), (-0.0, 0), (True, True), (2.5, 2.5)])
def test_numbers_have_one_form(value: float, same: float) -> None:
    [(_, leaf)] = leaves(ruleset(compared("attributes.x", "=", value)))
    assert isinstance(leaf, Comparison)
    assert json.dumps(leaf.values[0]) == json.dumps(same)


def test_order_of_rules_is_kept() -> None:
    read: RuleSet = ruleset(BOUGHT, MANY, BOUGHT)
    assert read.keys == ("a", "b", "c")
