"""Comparisons of features as they are written: which operators fit which features and which values."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from app.modelling.features.definitions import BY_NAME
from app.modelling.rules.conditions import Comparison, Operator, Scalar
from app.modelling.rules.limits import MAX_NAME, MAX_VALUES
from app.modelling.rules.reading import Reading, kind_of

ATTRIBUTE = "attributes."
OPERATORS: tuple[str, ...] = get_args(Operator)
WITHOUT_VALUE = ("is_known", "is_unknown")
OF_LISTS = ("in", "not_in")
OF_ORDER = ("<", "<=", ">", ">=", "between")
OF_TEXT = ("contains", "starts_with")
# As attributes are read in SQL.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_TRUTHS = {"true": 1.0, "false": 0.0}


def read_comparison(reading: Reading, value: Any, pointer: str) -> Comparison | None:
    """A feature, an operator, and a value where the operator has one."""
    said = reading.fields(value, pointer, needed=("feature", "op"), optional=("value",))
    if said is None:
        return None
    feature = _feature(reading, said["feature"], f"{pointer}/feature")
    op = _operator(reading, said["op"], f"{pointer}/op")
    if feature is None or op is None:
        return None
    values = _values(reading, said, f"{pointer}/value", op)
    if values is None or not _fits(reading, pointer, feature=feature, op=op, values=values):
        return None
    return Comparison(feature, op, tuple(values))


def _feature(reading: Reading, value: Any, pointer: str) -> str | None:
    name = reading.text(value, pointer, at_most=len(ATTRIBUTE) + MAX_NAME)
    if name is None or name in BY_NAME or (name.startswith(ATTRIBUTE) and name != ATTRIBUTE):
        return name
    detail = f"{name!r} is no feature of GET /v1/features, and not attributes.<name> either"
    return reading.refuse(pointer, "unknown_feature", detail)


def _operator(reading: Reading, value: Any, pointer: str) -> Operator | None:
    if not isinstance(value, str) or value not in OPERATORS:
        return reading.refuse(pointer, "unknown_operator", f"must be one of {' '.join(OPERATORS)}")
    return cast(Operator, value)


def _values(reading: Reading, said: Mapping[str, Any], pointer: str, op: Operator) -> list[Scalar] | None:
    if op in WITHOUT_VALUE:
        return reading.refuse(pointer, "not_applicable", f"{op} takes no value") if "value" in said else []
    if "value" not in said:
        return reading.refuse(pointer, "missing_field", f"{op} needs a value")
    if op not in (*OF_LISTS, "between"):
        one = reading.scalar(said["value"], pointer)
        return None if one is None else [one]
    listed = reading.items(said["value"], pointer, at_most=MAX_VALUES)
    if listed is None:
        return None
    read = [reading.scalar(each, f"{pointer}/{place}") for place, each in enumerate(listed)]
    values = [each for each in read if each is not None]
    if len(values) < len(read):
        return None
    return _bounds(reading, values, pointer) if op == "between" else _members(reading, values, pointer)


def _bounds(reading: Reading, values: list[Scalar], pointer: str) -> list[Scalar] | None:
    numbers = [each for each in values if not isinstance(each, bool | str)]
    if len(values) == len(numbers) == 2 and numbers[0] <= numbers[1]:
        return values
    detail = "between takes two numbers, the lower first; both belong to it"
    return reading.refuse(pointer, "invalid_bounds", detail)


def _members(reading: Reading, values: list[Scalar], pointer: str) -> list[Scalar] | None:
    if len({kind_of(each) for each in values}) > 1:
        return reading.refuse(
            pointer, "mixed_values", "a list holds numbers, or texts, or true and false, not a mixture"
        )
    return sorted(set(values))


def _fits(reading: Reading, pointer: str, *, feature: str, op: Operator, values: Sequence[Scalar]) -> bool:
    """Whether operator, value and feature go together, as far as the feature's type is known."""
    kind = kind_of(values[0]) if values else None
    if op in OF_ORDER and kind != "number":
        reading.refuse(f"{pointer}/value", "invalid_type", f"{op} compares with a number")
    elif op in OF_TEXT and (kind != "text" or not values[0]):
        reading.refuse(f"{pointer}/value", "invalid_type", f"{op} looks for text of at least one character")
    elif feature in BY_NAME and kind is not None and kind != (wanted := kind_of_feature(feature)):
        reading.refuse(f"{pointer}/value", "invalid_type", f"{feature} is a {wanted}; the value must be one too")
    else:
        return True
    return False


def number_of(value: Scalar) -> float | None:
    """The number that a value is, or spells: files give numbers as text, and true and false are 1 and 0."""
    if isinstance(value, str):
        if value in _TRUTHS:
            return _TRUTHS[value]
        if not _NUMBER.fullmatch(value):
            return None
    number = float(value)
    return number if math.isfinite(number) else None


def kind_of_feature(name: str) -> str:
    """Text for categories of the registry, number for everything else there, dates counted in days among them."""
    return "text" if str(BY_NAME[name].dtype) == "category" else "number"
