"""Why one customer is where they are: every rule that was tried, what it asked, and what the customer's values were."""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.rules.conditions import Comparison, Condition, Every, Leaf, Not, RuleSet, Some, leaves
from app.modelling.rules.deciding import FAILS, HOLDS, UNKNOWN, Columns, Values, decide
from app.modelling.rules.evaluation import Hands, evaluate
from app.modelling.rules.wording import describe

_HELD = {HOLDS: True, FAILS: False, UNKNOWN: None}


def trace(
    ruleset: RuleSet, values: Values, position: int, *, by_hand: npt.NDArray[Any] | None = None
) -> dict[str, Any]:
    """The segment of the customer at a position, or null, and the rules in order up to the one that put them there.

    held: true, false, or null where nobody knows. A leaf has its condition in words and the value it was compared
    with; `all`, `any` and `not` have their parts. by_hand: include or exclude where somebody decided.
    """
    columns = Columns({name: values[name][position : position + 1] for name in _read(ruleset)})
    hand = None if by_hand is None else by_hand[position : position + 1]
    code = int(evaluate(ruleset, columns.values, by_hand=hand)[0])
    count = len(ruleset.rules)
    winner = code % count if code >= 0 else None
    hands = Hands(ruleset, hand)
    tried = ruleset.rules if winner is None else ruleset.rules[: winner + 1]
    told = [
        {
            "rule": rule.key,
            "matched": place == winner,
            "by_hand": _hand(hands, place),
            "when": _node(rule.when, columns)[1],
        }
        for place, rule in enumerate(tried)
    ]
    return {"segment_key": None if winner is None else ruleset.rules[winner].key, "rules": told}


def _read(ruleset: RuleSet) -> set[str]:
    return {_column(leaf) for _, leaf in leaves(ruleset)}


def _column(leaf: Leaf) -> str:
    return leaf.feature if isinstance(leaf, Comparison) else leaf.name


def _hand(hands: Hands, place: int) -> str | None:
    if hands.kept_out(place):
        return "exclude"
    return "include" if hands.put_in.get(0) == place else None


def _node(condition: Condition, columns: Columns) -> tuple[int, dict[str, Any]]:
    """What became of a condition, with its parts, each of which is decided once."""
    match condition:
        case Every(parts) | Some(parts):
            told = [_node(part, columns) for part in parts]
            is_every = isinstance(condition, Every)
            truth = (min if is_every else max)(truth for truth, _ in told)
            return truth, {"held": _HELD[truth], "all" if is_every else "any": [node for _, node in told]}
        case Not(part):
            inner, node = _node(part, columns)
            return -inner, {"held": _HELD[-inner], "not": node}
        case _:
            truth = int(decide(condition, columns)[0])
            value = _plain(columns.values[_column(condition)][0])
            return truth, {"held": _HELD[truth], "condition": describe(condition), "value": value}


def _plain(value: Any) -> str | int | float | None:
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() else number
