"""What rules read, in which order they are evaluated, and how they are put into words."""

from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from app.errors import InvalidInput
from app.modelling.rules.conditions import leaves
from app.modelling.rules.requirements import attribute_dtypes, derived, feature_names, order, segments
from app.modelling.rules.wording import describe
from tests.support.rules import SEGMENTATION, compared, ruleset

A, B, C, D = (UUID(int=number) for number in range(1, 5))
VISITED = {"did": {"type": "visit", "within_days": 30}}


def test_each_feature_is_read_once_however_deep_it_stands() -> None:
    rules = ruleset(
        {"all": [compared("total_spend", ">", 1), {"not": compared("attributes.age", "is_known")}]},
        compared("total_spend", "<", 1),
    )
    assert feature_names(rules) == ("total_spend", "attributes.age")
    assert derived(rules) == ()


def test_counts_that_differ_in_bounds_alone_are_one_column() -> None:
    rules = ruleset(
        VISITED,
        {"did": {"type": "visit", "within_days": 30, "at_least": 5}},
        {"did": {"type": "visit", "within_days": 31}},
        {"did": {"type": "visit"}, "then": {"type": "purchase"}, "within_days": 1},
        {"did": {"type": "visit"}, "then_not": {"type": "purchase"}, "within_days": 1},
        {"segment": {"segmentation_id": SEGMENTATION, "key": "vip"}},
    )
    names = [each.name for each in derived(rules)]
    assert [name.split("_")[0] for name in names] == ["did", "did", "sequence", "sequence", "segment"]
    assert len(set(names)) == 5
    # PostgreSQL cuts names after 63 bytes, and two that were cut could become one.
    assert max(len(name) for name in names) <= 63
    assert [(each.segmentation_id, each.key, each.name) for each in segments(rules)] == [
        (UUID(SEGMENTATION), "vip", names[4])
    ]


def test_whoever_is_asked_about_is_evaluated_first() -> None:
    assert order({C: [B], B: [A, D], A: []}) == (A, D, B, C)
    assert order({}) == ()


@pytest.mark.parametrize("dependencies", [{A: [A]}, {A: [B], B: [A]}, {A: [B], B: [C, D], C: [A], D: []}])
def test_a_circle_is_refused_by_the_names_in_it(dependencies: dict[UUID, list[UUID]]) -> None:
    with pytest.raises(InvalidInput) as refused:
        order(dependencies, {A: "Anna"})
    assert refused.value.errors[0].code == "segment_cycle"
    around = refused.value.detail.split(": ")[1].split(" -> ")
    assert around[0] == around[-1]
    assert "Anna" in around
    # Each arrow points at something that is asked about.
    asked = {told(one): {told(each) for each in some} for one, some in dependencies.items()}
    assert all(right in asked[left] for left, right in pairwise(around))


def told(segmentation: UUID) -> str:
    return "Anna" if segmentation == A else str(segmentation)


def test_a_long_chain_of_segmentations_has_an_order() -> None:
    chain = {UUID(int=number): [UUID(int=number + 1)] for number in range(1, 5_001)}
    assert order(chain)[0] == UUID(int=5_001)


@pytest.mark.parametrize(
    ("conditions", "found", "dtype"),
    [
        ([compared("attributes.x", "<", 3)], None, "number"),
        ([compared("attributes.x", "<", 3)], "number", "number"),
        ([compared("attributes.x", "<", 3)], "date", "date"),
        ([compared("attributes.x", "<", 3)], "category", "number"),
        ([compared("attributes.x", "=", True)], None, "number"),
        ([compared("attributes.x", "in", ["3", "x"])], "number", "category"),
        ([compared("attributes.x", "starts_with", "10")], "number", "category"),
        ([compared("attributes.x", "starts_with", "2026-")], "date", "category"),
        ([compared("attributes.x", "=", "n/a"), compared("attributes.x", "<", 3)], "category", "category"),
        ([compared("attributes.x", "is_known")], None, "category"),
        ([compared("attributes.x", "is_known")], "date", "date"),
    ],
)
def test_what_an_attribute_is_compared_with_says_as_what_it_is_read(
    conditions: list[Any], found: str | None, dtype: str
) -> None:
    known = {"attributes.y": "category", **({} if found is None else {"attributes.x": found})}
    assert attribute_dtypes(ruleset(*conditions), known) == {"attributes.x": dtype}


def test_a_date_compared_with_texts_and_with_days_is_refused_at_its_place() -> None:
    with pytest.raises(InvalidInput) as refused:
        attribute_dtypes(
            ruleset(compared("attributes.x", "<", 3), {"not": compared("attributes.x", "=", "2026-01-01")}),
            {"attributes.x": "date"},
        )
    assert [(each.pointer, each.code) for each in refused.value.errors] == [("/rules/1/when/not/value", "mixed_values")]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (
            {"all": [compared("purchase_count_90d", ">=", 3), compared("attributes.country", "in", ["DE", "AT"])]},
            "purchase_count_90d >= 3 and attributes.country in (AT, DE)",
        ),
        (
            {"any": [VISITED, {"all": [VISITED, {"not": VISITED}]}]},
            "visit in the last 30 days at least once or "
            "(visit in the last 30 days at least once and not (visit in the last 30 days at least once))",
        ),
        ({"all": [VISITED]}, "visit in the last 30 days at least once"),
        ({"did": {"type": "purchase", "at_most": 0, "within_days": 1}}, "no purchase in the last 1 day"),
        ({"did": {"type": "purchase", "at_least": 2, "at_most": 2}}, "purchase exactly 2 times"),
        ({"did": {"type": "purchase", "at_least": 2, "at_most": 1_000}}, "purchase 2 to 1,000 times"),
        ({"did": {"type": "purchase", "at_most": 1}}, "purchase at most once"),
        (
            {
                "did": {"type": "cart", "channel": "web", "product_id": "P"},
                "then_not": {"type": "purchase", "campaign_id": "C"},
                "within_days": 2,
            },
            "cart by channel web of product P, then no purchase of campaign C within 2 days of it",
        ),
        (
            {"did": {"type": "cart"}, "then": {"type": "purchase"}, "within_days": 1},
            "cart, then purchase within 1 day of it",
        ),
        ({"segment": {"segmentation_id": SEGMENTATION, "key": "vip"}}, f"in segment vip of {SEGMENTATION}"),
        (compared("attributes.member", "=", True), "attributes.member = true"),
        (compared("attributes.x", "between", [1, 2.5]), "attributes.x between 1 and 2.5"),
        (compared("attributes.x", "starts_with", "ab"), "attributes.x starts with ab"),
        (compared("attributes.x", "is_unknown"), "attributes.x is unknown"),
        (
            compared("attributes.x", "not_in", list(range(12))),
            "attributes.x not in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more)",
        ),
    ],
)
def test_conditions_are_told_in_words(condition: Any, words: str) -> None:
    assert describe(ruleset(condition).rules[0].when) == words


def test_every_leaf_is_told_with_its_place() -> None:
    rules = ruleset({"all": [VISITED, {"any": [VISITED, {"not": VISITED}]}]}, VISITED)
    assert [pointer for pointer, _ in leaves(rules)] == [
        "/rules/0/when/all/0",
        "/rules/0/when/all/1/any/0",
        "/rules/0/when/all/1/any/1/not",
        "/rules/1/when",
    ]
