"""Conditions decided for many customers at once, in three values: it holds, it does not, nobody knows."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.rules.comparing import number_of
from app.modelling.rules.conditions import (
    Comparison,
    Condition,
    Did,
    DidThen,
    Every,
    InSegment,
    Not,
    Some,
)

# 1 it holds, -1 it does not, 0 nobody knows: then `not` is the sign, `all` the least and `any` the greatest
# (the strong logic of Kleene).
Truth = npt.NDArray[np.int8]
HOLDS, UNKNOWN, FAILS = 1, 0, -1
# One array per feature or derived column, all in one order of customers: float64 with NaN where it is not known, or
# text as objects with None.
Values = Mapping[str, npt.NDArray[Any]]

_ORDERED: Mapping[str, Callable[[Any, float], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Columns:
    """Columns, with what several comparisons of one column would otherwise find out again each."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self._unknown: dict[str, npt.NDArray[np.bool_]] = {}
        self._coded: dict[str, tuple[list[str | None], npt.NDArray[np.int64]]] = {}

    def is_text(self, name: str) -> bool:
        return self.values[name].dtype == object

    def unknown(self, name: str) -> npt.NDArray[np.bool_]:
        """Which numbers are not known."""
        if name not in self._unknown:
            self._unknown[name] = np.isnan(self.values[name])
        return self._unknown[name]

    def coded(self, name: str) -> tuple[list[str | None], npt.NDArray[np.int64]]:
        """The different texts of a column, and which of them each customer has."""
        if name not in self._coded:
            codes: dict[str | None, int] = {}
            column = self.values[name]
            places = np.fromiter((codes.setdefault(each, len(codes)) for each in column), np.int64, column.size)
            self._coded[name] = list(codes), places
        return self._coded[name]


def decide(condition: Condition, columns: Columns) -> Truth:
    """Whether the condition holds, for every customer."""
    match condition:
        case Every(parts):
            return reduce(_least, (decide(part, columns) for part in parts))
        case Some(parts):
            return reduce(_greatest, (decide(part, columns) for part in parts))
        case Not(part):
            return np.negative(decide(part, columns))
        case Comparison():
            return _text(condition, columns) if columns.is_text(condition.feature) else _number(condition, columns)
        case Did(_, at_least, at_most):
            counts = columns.values[condition.name]
            held = counts >= at_least
            return _truth(held if at_most is None else held & (counts <= at_most), columns.unknown(condition.name))
        case DidThen() | InSegment():
            return _truth(columns.values[condition.name] >= 1, columns.unknown(condition.name))


def _least(one: Truth, other: Truth) -> Truth:
    return np.minimum(one, other, out=one)


def _greatest(one: Truth, other: Truth) -> Truth:
    return np.maximum(one, other, out=one)


def _truth(held: npt.NDArray[np.bool_], unknown: npt.NDArray[np.bool_]) -> Truth:
    truth = held.astype(np.int8)
    truth += truth
    truth -= 1
    truth[unknown] = UNKNOWN
    return truth


def _number(asked: Comparison, columns: Columns) -> Truth:
    column, unknown = columns.values[asked.feature], columns.unknown(asked.feature)
    if asked.op in ("is_known", "is_unknown"):
        return _truth(unknown if asked.op == "is_unknown" else ~unknown, np.zeros_like(unknown))
    numbers = [number for each in asked.values if (number := number_of(each)) is not None]
    if asked.op in ("contains", "starts_with") or len(numbers) < len(asked.values):
        # Of another type than the feature: neither equal nor different.
        return np.zeros(column.size, np.int8)
    return _truth(_among_numbers(asked.op, column, numbers), unknown)


def _among_numbers(op: str, column: npt.NDArray[Any], numbers: Sequence[float]) -> npt.NDArray[np.bool_]:
    if op == "between":
        within: npt.NDArray[np.bool_] = (column >= numbers[0]) & (column <= numbers[1])
        return within
    if op in ("in", "not_in"):
        return np.isin(column, numbers, invert=op == "not_in")
    held: npt.NDArray[np.bool_] = _ORDERED[op](column, numbers[0])
    return held


def _text(asked: Comparison, columns: Columns) -> Truth:
    texts, codes = columns.coded(asked.feature)
    words = [each for each in asked.values if isinstance(each, str)]
    is_about_words = len(words) == len(asked.values)
    truth = _words(asked.op, texts, words) if is_about_words else _spelled(asked, texts)
    decided: Truth = truth[codes]
    return decided


def _spelled(asked: Comparison, texts: Sequence[str | None]) -> Truth:
    """Of texts that spell numbers; the others are no numbers to compare with."""
    spelled = (None if text is None else number_of(text) for text in texts)
    numbers = np.array([math.nan if each is None else each for each in spelled], np.float64)
    return _number(asked, Columns({asked.feature: numbers}))


def _words(op: str, texts: Sequence[str | None], words: Sequence[str]) -> Truth:
    if op in ("is_known", "is_unknown"):
        return np.array([HOLDS if (text is None) == (op == "is_unknown") else FAILS for text in texts], np.int8)
    test = _word_test(op, words)
    held = (UNKNOWN if text is None else HOLDS if test(text) else FAILS for text in texts)
    return np.array(list(held), np.int8)


def _word_test(op: str, words: Sequence[str]) -> Callable[[str], bool]:
    known = frozenset(words)
    match op:
        case "=" | "in":
            return known.__contains__
        case "!=" | "not_in":
            return lambda text: text not in known
        case "contains":
            return lambda text: words[0] in text
        case _:
            return lambda text: text.startswith(words[0])
