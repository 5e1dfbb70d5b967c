"""Rules for tests: written briefly, drawn at random, and decided by plain Python that knows no arrays."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from app.modelling.rules.conditions import RuleSet
from app.modelling.rules.grammar import parse

SEGMENTATION = "11111111-2222-4333-8444-555555555555"
Row = Mapping[str, float | str | None]

# Numbers of the registry, an attribute of numbers and one of text: few values, so that they meet.
NUMBERS = ("purchase_count", "total_spend", "attributes.age")
TEXTS = ("attributes.country",)
_number = st.sampled_from([-1, 0, 1, 2.5, 3])
_word = st.sampled_from(["", "A", "AT", "DE", "at"])


def rule(when: Any, key: str = "a", **more: Any) -> dict[str, Any]:
    return {"key": key, "name": key.upper(), "when": when, **more}


def ruleset(*conditions: Any) -> RuleSet:
    """One rule per condition, with the keys a, b, c and so on."""
    return parse([rule(each, "abcdefghij"[place]) for place, each in enumerate(conditions)])


def compared(feature: str, op: str, *value: Any) -> dict[str, Any]:
    return {"feature": feature, "op": op, **({"value": value[0]} if value else {})}


def _numeric() -> st.SearchStrategy[dict[str, Any]]:
    feature = st.sampled_from(NUMBERS)
    return st.one_of(
        st.builds(compared, feature, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _number),
        st.builds(compared, feature, st.just("between"), st.tuples(_number, _number).map(sorted)),
        st.builds(compared, feature, st.sampled_from(["in", "not_in"]), st.lists(_number, min_size=1, max_size=3)),
        st.builds(compared, feature, st.sampled_from(["is_known", "is_unknown"])),
    )


def _textual() -> st.SearchStrategy[dict[str, Any]]:
    feature = st.sampled_from(TEXTS)
    return st.one_of(
        st.builds(compared, feature, st.sampled_from(["=", "!="]), _word),
        st.builds(compared, feature, st.sampled_from(["in", "not_in"]), st.lists(_word, min_size=1, max_size=3)),
        st.builds(compared, feature, st.sampled_from(["contains", "starts_with"]), _word.filter(bool)),
        st.builds(compared, feature, st.sampled_from(["is_known", "is_unknown"])),
    )


CONDITIONS = st.recursive(
    st.one_of(_numeric(), _textual()),
    lambda part: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(part, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(part, min_size=1, max_size=3)),
        st.builds(lambda one: {"not": one}, part),
    ),
    max_leaves=8,
)
ROWS = st.lists(
    st.fixed_dictionaries({**dict.fromkeys(NUMBERS, st.none() | _number), **dict.fromkeys(TEXTS, st.none() | _word)}),
    min_size=1,
    max_size=6,
)


def plainly(condition: Mapping[str, Any], row: Row) -> bool | None:
    """Whether a written condition holds for one customer; None: nobody knows."""
    if "not" in condition:
        inner = plainly(condition["not"], row)
        return None if inner is None else not inner
    if "all" in condition:
        parts = [plainly(each, row) for each in condition["all"]]
        return False if False in parts else None if None in parts else True
    if "any" in condition:
        parts = [plainly(each, row) for each in condition["any"]]
        return True if True in parts else None if None in parts else False
    return _compared(row[condition["feature"]], condition["op"], condition.get("value"))


def _compared(actual: Any, op: str, value: Any) -> bool | None:
    if op in ("is_known", "is_unknown"):
        return (actual is None) == (op == "is_unknown")
    if actual is None:
        return None
    decided: dict[str, Any] = {
        "=": lambda: actual == value,
        "!=": lambda: actual != value,
        "<": lambda: actual < value,
        "<=": lambda: actual <= value,
        ">": lambda: actual > value,
        ">=": lambda: actual >= value,
        "between": lambda: value[0] <= actual <= value[1],
        "in": lambda: actual in value,
        "not_in": lambda: actual not in value,
        "contains": lambda: value in actual,
        "starts_with": lambda: actual.startswith(value),
    }
    found: bool = decided[op]()
    return found
