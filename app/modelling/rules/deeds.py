"""What customers did, as it is written: how often, since when, and what followed or did not."""

import re
from collections.abc import Mapping
from typing import Any

from app.modelling.rules.conditions import Deed, Did, DidThen
from app.modelling.rules.limits import MAX_DAYS, MAX_TIMES
from app.modelling.rules.reading import Reading, present
from app.tables.metadata import MAX_IDENTIFIER

# As events are taken in: tests hold the two together.
TYPE = re.compile(r"[a-z][a-z0-9_]{0,99}")
NARROWING = ("channel", "campaign_id", "product_id")
TIMES = ("at_least", "at_most")
FOLLOWING = ("then", "then_not")


def read_did(reading: Reading, value: Mapping[str, Any], pointer: str) -> Did | DidThen | None:
    """`did` alone counts; with `then` or `then_not` it looks at what came after."""
    following = present(value, FOLLOWING)
    if len(following) > 1:
        return reading.refuse(
            pointer, "invalid_condition", "say either then or then_not; two of them are two conditions"
        )
    if following:
        return _sequence(reading, value, pointer, following[0])
    if "within_days" in value:
        place = f"{pointer}/within_days"
        return reading.refuse(place, "not_applicable", "goes with then and then_not; the age of a fact stands in did")
    said = reading.fields(value, pointer, needed=("did",))
    return None if said is None else _count(reading, said["did"], f"{pointer}/did")


def _count(reading: Reading, value: Any, pointer: str) -> Did | None:
    said = reading.fields(value, pointer, needed=("type",), optional=(*NARROWING, "within_days", *TIMES))
    if said is None:
        return None
    before = len(reading.errors)
    deed = _deed(reading, said, pointer)
    bounds = {
        name: reading.whole(said[name], f"{pointer}/{name}", at_least=0, at_most=MAX_TIMES)
        for name in present(said, TIMES)
    }
    if deed is None or len(reading.errors) > before:
        return None
    at_most = bounds.get("at_most")
    at_least = bounds.get("at_least")
    if at_least is None:
        # "At most 3" and "at most 0", never, would mean little if they also said "at least once".
        at_least = 1 if at_most is None else 0
    return _possible(reading, Did(deed, at_least, at_most), pointer)


def _possible(reading: Reading, did: Did, pointer: str) -> Did | None:
    if did.at_most is None and did.at_least == 0:
        detail = "everybody did everything at least 0 times; for never say at_most 0"
        return reading.refuse(f"{pointer}/at_least", "always_true", detail)
    if did.at_most is not None and did.at_most < did.at_least:
        return reading.refuse(f"{pointer}/at_most", "never_true", f"is below at_least, which is {did.at_least}")
    return did


def _sequence(reading: Reading, value: Mapping[str, Any], pointer: str, word: str) -> DidThen | None:
    said = reading.fields(value, pointer, needed=("did", word, "within_days"))
    if said is None:
        return None
    first_said = reading.fields(said["did"], f"{pointer}/did", needed=("type",), optional=(*NARROWING, "within_days"))
    then_said = reading.fields(said[word], f"{pointer}/{word}", needed=("type",), optional=NARROWING)
    days = reading.whole(said["within_days"], f"{pointer}/within_days", at_least=1, at_most=MAX_DAYS)
    first = None if first_said is None else _deed(reading, first_said, f"{pointer}/did")
    then = None if then_said is None else _deed(reading, then_said, f"{pointer}/{word}")
    if first is None or then is None or days is None:
        return None
    if word == "then_not" and first.within_days is not None and first.within_days <= days:
        detail = f"is over before the {days} days are, after which it is known that nothing followed"
        return reading.refuse(f"{pointer}/did/within_days", "never_true", detail)
    return DidThen(first, then, days, word == "then")


def _deed(reading: Reading, said: Mapping[str, Any], pointer: str) -> Deed | None:
    before = len(reading.errors)
    kind = reading.text(said["type"], f"{pointer}/type")
    if kind is not None and not TYPE.fullmatch(kind):
        detail = "must be purchase, refund or an event type: snake_case of at most 100 characters"
        reading.refuse(f"{pointer}/type", "invalid_event_type", detail)
    texts = {
        name: reading.text(said[name], f"{pointer}/{name}", at_most=MAX_IDENTIFIER) for name in present(said, NARROWING)
    }
    days = None
    if "within_days" in said:
        days = reading.whole(said["within_days"], f"{pointer}/within_days", at_least=1, at_most=MAX_DAYS)
    if kind is None or len(reading.errors) > before:
        return None
    return Deed(kind, within_days=days, **texts)
