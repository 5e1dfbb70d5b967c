"""Rules as they are written, read strictly: every mistake is named with the place where it stands."""

import re
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from app.errors import FieldError, InvalidInput
from app.modelling.rules import limits
from app.modelling.rules.comparing import read_comparison
from app.modelling.rules.conditions import (
    ByHand,
    Condition,
    Effect,
    Every,
    InSegment,
    Not,
    Rule,
    RuleSet,
    Some,
)
from app.modelling.rules.deeds import read_did
from app.modelling.rules.reading import Reading, present
from app.tables.metadata import MAX_IDENTIFIER

KEY = re.compile(r"[a-z][a-z0-9_]*")
FORMS = ("all", "any", "not", "feature", "did", "segment")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse(rules: Any) -> RuleSet:
    """Rules from their JSON, as sent or as stored by `to_json`. Raises InvalidInput, naming what is wrong and where."""
    if not isinstance(rules, list) or not rules:
        detail = "rules is a list of at least one rule"
        raise InvalidInput(detail, errors=[FieldError("/rules", "invalid_rules", detail)])
    limits.refuse_excess(rules)
    reading = Reading()
    found = [_rule(reading, rule, f"/rules/{place}") for place, rule in enumerate(rules)]
    _refuse_repeated_keys(reading, rules)
    reading.finish()
    read = [each for each in found if each is not None]
    return RuleSet(tuple(rule for rule, _ in read), tuple(each for _, some in read for each in some))


def _refuse_repeated_keys(reading: Reading, rules: list[Any]) -> None:
    first: dict[str, int] = {}
    for place, rule in enumerate(rules):
        key = rule.get("key") if isinstance(rule, dict) else None
        if isinstance(key, str) and first.setdefault(key, place) != place:
            reading.refuse(f"/rules/{place}/key", "duplicate_key", f"rule {first[key]} has the same key")


def _rule(reading: Reading, value: Any, pointer: str) -> tuple[Rule, list[ByHand]] | None:
    optional = ("description", "include", "exclude")
    said = reading.fields(value, pointer, needed=("key", "name", "when"), optional=optional)
    if said is None:
        return None
    key = reading.text(said["key"], f"{pointer}/key", at_most=limits.MAX_KEY)
    if key is not None and not KEY.fullmatch(key):
        reading.refuse(f"{pointer}/key", "invalid_key", "must be snake_case: a-z, 0-9 and _, a letter first")
    name = reading.text(said["name"], f"{pointer}/name", at_most=limits.MAX_NAME)
    description = None
    if "description" in said:
        description = reading.text(said["description"], f"{pointer}/description", at_most=limits.MAX_DESCRIPTION)
    when = _condition(reading, said["when"], f"{pointer}/when")
    by_hand = [each for effect in ("include", "exclude") for each in _by_hand(reading, said, pointer, effect)]
    if key is None or name is None or when is None:
        return None
    return Rule(key, name, when, description), by_hand


def _by_hand(reading: Reading, said: Mapping[str, Any], pointer: str, effect: str) -> list[ByHand]:
    """Who was put in or kept out, each once. An empty list says what no list says."""
    if not said.get(effect, [None]) or effect not in said:
        return []
    ids = reading.items(said[effect], f"{pointer}/{effect}", at_most=limits.MAX_BY_HAND) or []
    read = [reading.text(each, f"{pointer}/{effect}/{place}", at_most=MAX_IDENTIFIER) for place, each in enumerate(ids)]
    key, what = str(said["key"]), cast(Effect, effect)
    return [ByHand(key, each, what) for each in dict.fromkeys(read) if each is not None]


def _condition(reading: Reading, value: Any, pointer: str) -> Condition | None:
    """Not deeper than the quick look let pass."""
    if not isinstance(value, dict):
        return reading.refuse(pointer, "invalid_type", "a condition is a JSON object")
    forms = present(value, FORMS)
    if len(forms) != 1:
        return reading.refuse(pointer, "invalid_condition", f"a condition has exactly one of {', '.join(FORMS)}")
    match forms[0]:
        case "feature":
            return read_comparison(reading, value, pointer)
        case "did":
            return read_did(reading, value, pointer)
        case "segment":
            return _segment(reading, value, pointer)
        case word:
            return _combined(reading, value, pointer, word)


def _combined(reading: Reading, value: Any, pointer: str, word: str) -> Condition | None:
    said = reading.fields(value, pointer, needed=(word,))
    if said is None:
        return None
    if word == "not":
        part = _condition(reading, said["not"], f"{pointer}/not")
        return None if part is None else Not(part)
    parts = reading.items(said[word], f"{pointer}/{word}", at_most=limits.MAX_CONDITIONS) or []
    read = [_condition(reading, part, f"{pointer}/{word}/{place}") for place, part in enumerate(parts)]
    usable = tuple(part for part in read if part is not None)
    return Every(usable) if word == "all" else Some(usable)


def _segment(reading: Reading, value: Any, pointer: str) -> InSegment | None:
    outer = reading.fields(value, pointer, needed=("segment",))
    inner = outer and reading.fields(outer["segment"], f"{pointer}/segment", needed=("segmentation_id", "key"))
    if not inner:
        return None
    place = f"{pointer}/segment/segmentation_id"
    text = reading.text(inner["segmentation_id"], place)
    if text is not None and not _UUID.fullmatch(text):
        text = reading.refuse(place, "invalid_uuid", "must be the segmentation_id of a segmentation")
    key = reading.text(inner["key"], f"{pointer}/segment/key", at_most=MAX_IDENTIFIER)
    return None if text is None or key is None else InSegment(UUID(text), key)
