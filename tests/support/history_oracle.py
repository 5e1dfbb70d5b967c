"""What conditions ask of one customer's history, in plain Python: slow, obvious, written without looking at the SQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Fact:
    """A transaction (type purchase or refund) or an event."""

    at: datetime
    type: str
    cents: int = 100
    channel: str | None = None
    campaign_id: str | None = None
    product_id: str | None = None


@dataclass(frozen=True)
class Stay:
    """A membership from an instant on and up to another; null: to this day."""

    begins: datetime
    ends: datetime | None


def is_such(fact: Fact, asked: Mapping[str, Any]) -> bool:
    return (
        fact.type == asked["type"]
        and (fact.type != "purchase" or fact.cents > 0)
        and all(
            getattr(fact, name) == asked[name] for name in ("channel", "campaign_id", "product_id") if name in asked
        )
    )


def count(facts: Sequence[Fact], condition: Mapping[str, Any], as_of: datetime) -> int:
    """How many facts, or firsts of a sequence, there are as of an instant."""
    known = [fact for fact in facts if fact.at < as_of]
    asked = condition["did"]
    firsts = [fact for fact in known if is_such(fact, asked) and is_recent(fact, asked, as_of)]
    if "within_days" not in condition:
        return len(firsts)
    reach = timedelta(days=condition["within_days"])

    def followed(first: Fact, by: Mapping[str, Any]) -> bool:
        return any(is_such(fact, by) and first.at < fact.at <= first.at + reach for fact in known)

    if "then" in condition:
        return sum(followed(first, condition["then"]) for first in firsts)
    return sum(as_of > first.at + reach and not followed(first, condition["then_not"]) for first in firsts)


def is_recent(fact: Fact, asked: Mapping[str, Any], as_of: datetime) -> bool:
    days = asked.get("within_days")
    return days is None or fact.at >= as_of - timedelta(days=days)


def next_change(
    facts: Sequence[Fact], condition: Mapping[str, Any], as_of: datetime, value: Callable[..., int] = count
) -> datetime | None:
    """The first later instant at which the count is another, by trying every instant at which it could be."""
    days = {0, condition.get("within_days", 0), condition["did"].get("within_days", 0)}
    reaches = {timedelta(days=one + other) for one in days for other in days}
    instants = {
        fact.at + reach + tick for fact in facts for reach in reaches for tick in (-TICK, 0 * TICK, TICK, 2 * TICK)
    }
    now = value(facts, condition, as_of)
    return next((at for at in sorted(instants) if at > as_of and value(facts, condition, at) != now), None)


def is_member(stays: Sequence[Stay], as_of: datetime) -> bool:
    return any(stay.begins <= as_of and (stay.ends is None or as_of < stay.ends) for stay in stays)


def next_move(stays: Sequence[Stay], as_of: datetime) -> datetime | None:
    """The first later instant at which somebody is a member and was not, or the reverse."""
    ends = {end for stay in stays for end in (stay.begins, stay.ends) if end is not None}
    now = is_member(stays, as_of)
    return next((at for at in sorted(ends) if at > as_of and is_member(stays, at) != now), None)
