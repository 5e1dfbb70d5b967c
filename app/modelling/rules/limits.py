"""How large rules may be, and the quick look that refuses larger ones before anything of them is read."""

from collections.abc import Sequence
from typing import Any

from app.errors import FieldError, InvalidInput

MAX_CONDITIONS = 1_000
MAX_DEPTH = 20
MAX_VALUES = 1_000
MAX_BY_HAND = 1_000
# Over all rules, values and customers by hand together: as many as are read in a tenth of a second.
MAX_LISTED = 20_000
MAX_TEXT = 1_000
MAX_KEY = 100
MAX_NAME = 255
MAX_DESCRIPTION = 2_000
# A century, and more often than anybody did anything.
MAX_DAYS = 36_500
MAX_TIMES = 1_000_000_000
# Whoever made more mistakes has a program to correct, not places.
MAX_ERRORS = 50


def refuse_excess(rules: Sequence[Any]) -> None:
    """Raise InvalidInput for more conditions over all rules, or deeper ones, than are read; without recursion."""
    if len(rules) > MAX_CONDITIONS:
        raise _too_many()
    waiting = [
        (rule.get("when"), 1, f"/rules/{place}/when") for place, rule in enumerate(rules) if isinstance(rule, dict)
    ]
    seen = 0
    listed = sum(_listed(rule, "include", "exclude") for rule in rules)
    while waiting:
        condition, depth, pointer = waiting.pop()
        seen += 1
        listed += _listed(condition, "value")
        if seen > MAX_CONDITIONS:
            raise _too_many()
        if listed > MAX_LISTED:
            raise _refused("/rules", "too_many_values", f"all rules together list at most {MAX_LISTED:,} values")
        if depth > MAX_DEPTH:
            raise _refused(pointer, "too_deep", f"conditions are nested at most {MAX_DEPTH} deep")
        waiting += [(part, depth + 1, f"{pointer}/{step}") for step, part in _parts(condition)]


def _parts(condition: Any) -> list[tuple[str, Any]]:
    if not isinstance(condition, dict):
        return []
    parts = [("not", condition["not"])] if "not" in condition else []
    for word in ("all", "any"):
        some = condition.get(word)
        if isinstance(some, list):
            # One more than is allowed is enough to be refused.
            parts += [(f"{word}/{place}", part) for place, part in enumerate(some[: MAX_CONDITIONS + 1])]
    return parts


def _listed(holder: Any, *names: str) -> int:
    lists = (holder.get(name) for name in names) if isinstance(holder, dict) else ()
    return sum(len(each) for each in lists if isinstance(each, list))


def _too_many() -> InvalidInput:
    detail = f"all rules together hold at most {MAX_CONDITIONS:,} conditions, all, any and not counted"
    return _refused("/rules", "too_many_conditions", detail)


def _refused(pointer: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(f"The rules are too large: {detail}", errors=[FieldError(pointer, code, detail)])
