"""Which rule puts a customer into which segment, and the reason that is kept with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.rules.conditions import RuleSet
from app.modelling.rules.deciding import HOLDS, Columns, Values, decide
from app.modelling.rules.wording import describe, shortened

Integers = npt.NDArray[np.int64]
# Kept with every membership, and the same for all of a rule.
MAX_REASON = 200


def evaluate(ruleset: RuleSet, values: Values, *, by_hand: npt.NDArray[Any] | None = None) -> Integers:
    """For each customer the position in `reasons` of what applies; -1: no segment.

    A rule's own place where its condition decided, that place plus the number of rules where a hand did. values: the
    columns of `feature_names` and `derived`; by_hand: that of `history.by_hand`, None: nobody decided anything.
    """
    columns = Columns(values)
    hands = Hands(ruleset, by_hand)
    codes = np.full(len(next(iter(values.values()))), -1, np.int64)
    for place, rule in enumerate(ruleset.rules):
        open_ = codes < 0
        if not open_.any():
            break
        matched = (decide(rule.when, columns) == HOLDS) & open_
        matched[hands.kept_out(place)] = False
        codes[matched] = place
    for position, place in hands.put_in.items():
        codes[position] = len(ruleset.rules) + place
    return codes


def reasons(ruleset: RuleSet) -> tuple[Mapping[str, str], ...]:
    """Why a customer is in the segment of a rule, by the codes of `evaluate`: by its condition, then by hand."""
    by_condition = [
        {"rule": rule.key, "because": shortened(describe(rule.when), at_most=MAX_REASON)} for rule in ruleset.rules
    ]
    return (*by_condition, *({"rule": key, "because": "included by hand"} for key in ruleset.keys))


class Hands:
    """What was decided by hand, by position of the customer and place of the rule.

    put_in: where a customer was put in, the first such rule that did not also keep them out; it goes before all
    conditions. Keys that no rule has any more decide nothing.
    """

    def __init__(self, ruleset: RuleSet, column: npt.NDArray[Any] | None) -> None:
        places = {key: place for place, key in enumerate(ruleset.keys)}
        self.put_in: dict[int, int] = {}
        self._kept_out: dict[int, list[int]] = {}
        for position, said in _said(column):
            effects = [(effect, places[key]) for effect, key in said if key in places]
            out = {place for effect, place in effects if effect == "exclude"}
            for place in out:
                self._kept_out.setdefault(place, []).append(position)
            first = min((place for effect, place in effects if effect == "include" and place not in out), default=None)
            if first is not None:
                self.put_in[position] = first

    def kept_out(self, place: int) -> list[int]:
        """Positions of the customers whom a hand kept out of this rule's segment."""
        return self._kept_out.get(place, [])


def _said(column: npt.NDArray[Any] | None) -> list[tuple[int, Sequence[tuple[str, str]]]]:
    if column is None:
        return []
    told = np.flatnonzero(column != None)  # noqa: E711  # elementwise; `is` would look at the array
    return [(int(position), [_effect(each) for each in str(column[position]).split(",")]) for position in told]


def _effect(said: str) -> tuple[str, str]:
    effect, _, key = said.partition(":")
    return effect, key
