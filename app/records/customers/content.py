"""What a push says of a customer, and what it makes of what is known: pure rules, no database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from app.records.customers.schemas import ConsentIn, CustomerIn
from app.records.intake.envelope import MAX_DEPTH
from app.records.intake.outcome import Flaw

MAX_ATTRIBUTES_BYTES = 65_536
MAX_NAME = 100
# Beyond it jsonb spells a number out as an integer that JSON readers cannot hold in 64 bits.
NUMBERS_BELOW = 2**63
# Outside of these nobody was a customer: a wrong unit or a default value of some program.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that pushes say of one customer. A null consent flag: nobody was asked.

    The attributes hold since attributes_since; null: none were ever given.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    consent_profiling: bool | None = None
    consent_marketing: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attributes_since: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes of the attributes as JSON."""
        return len(orjson.dumps(self.attributes))


UNKNOWN = Content()


@dataclass(frozen=True, slots=True)
class PastAttributes:
    """Attributes that held from one instant until, exclusively, another."""

    customer_id: str
    valid_from: datetime
    valid_to: datetime
    attributes: dict[str, Any]


def applied(content: Content, row: CustomerIn, *, now: datetime) -> Content:
    """What is known after a push; the very same object when the push changes nothing.

    A push with an `updated_at` before the known one only fills what is missing.
    """
    older = row.updated_at is not None and content.updated_at is not None and row.updated_at < content.updated_at
    return _filled(content, row) if older else _overwritten(content, row, now=now)


def _since(content: Content, row: CustomerIn, *, now: datetime) -> datetime:
    """From when on the attributes of a push hold: never from later than now, nor from before what they replace."""
    told = now if row.updated_at is None else min(row.updated_at, now)
    return told if content.attributes_since is None else max(told, content.attributes_since)


def _overwritten(content: Content, row: CustomerIn, *, now: datetime) -> Content:
    attributes = content.attributes
    news = {name: value for name, value in (row.attributes or {}).items() if _is_news(attributes, name, value)}
    if news:
        attributes = {name: value for name, value in {**attributes, **news}.items() if value is not None}
    consent = row.consent or _SAYS_NOTHING
    return _unless_same(
        content,
        Content(
            attributes,
            _either(consent.profiling, content.consent_profiling),
            _either(consent.marketing, content.consent_marketing),
            _either(row.created_at, content.created_at),
            _either(row.updated_at, content.updated_at),
            _since(content, row, now=now) if news else content.attributes_since,
        ),
    )


def _is_news(attributes: dict[str, Any], name: str, value: Any) -> bool:
    if value is None or name not in attributes:
        return (value is None) == (name in attributes)
    return not is_same(attributes[name], value)


def _filled(content: Content, row: CustomerIn) -> Content:
    given = row.attributes or {}
    missing = {name: given[name] for name in given if given[name] is not None and name not in content.attributes}
    consent = row.consent or _SAYS_NOTHING
    return _unless_same(
        content,
        Content(
            {**content.attributes, **missing} if missing else content.attributes,
            _either(content.consent_profiling, consent.profiling),
            _either(content.consent_marketing, consent.marketing),
            _either(content.created_at, row.created_at),
            content.updated_at,
            # It held then, and so it did ever since attributes were known: what came later said nothing of it.
            row.updated_at if missing and content.attributes_since is None else content.attributes_since,
        ),
    )


_SAYS_NOTHING = ConsentIn()


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first


def _unless_same(before: Content, after: Content) -> Content:
    """The very object from before, unless something changed; attributes were copied only if they did."""
    same = (
        after.attributes is before.attributes
        and after.consent_profiling is before.consent_profiling
        and after.consent_marketing is before.consent_marketing
        and after.created_at == before.created_at
        and after.updated_at == before.updated_at
    )
    return before if same else after


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values say the same: true is not 1, but 1 is 1.0."""
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def flaws_of(rows: Sequence[CustomerIn]) -> tuple[Sequence[CustomerIn], list[Flaw]]:
    """The rows themselves, and what is wrong with them as far as that can be told without the database."""
    flaws: list[Flaw] = []
    for position, row in enumerate(rows):
        for name in ("created_at", "updated_at"):
            instant = getattr(row, name)
            if instant is not None and not EARLIEST <= instant.timestamp() < LATEST:
                flaws.append(Flaw(position, "absurd_instant", name, "must lie between 1900 and 2200"))
        if row.attributes:
            flaws.extend(Flaw(position, code, where, why) for code, where, why in _attribute_flaws(row.attributes))
    return rows, flaws


def taken(rows: Sequence[CustomerIn], positions: Sequence[int]) -> Sequence[CustomerIn]:
    return [rows[position] for position in positions]


Found = list[tuple[str, str, str]]


def _attribute_flaws(attributes: dict[str, Any]) -> Found:
    found: Found = []
    for name, value in attributes.items():
        if not 1 <= len(name) <= MAX_NAME:
            found.append(("invalid_length", "attributes", f"attribute names have 1 to {MAX_NAME} characters"))
        elif not isinstance(value, str):
            _look_into(value, f"attributes/{name.replace('~', '~0').replace('/', '~1')}", 2, found)
    if not found and len(orjson.dumps(attributes)) > MAX_ATTRIBUTES_BYTES:
        found.append(("too_large", "attributes", f"at most {MAX_ATTRIBUTES_BYTES} bytes as JSON"))
    return found


def _look_into(value: Any, pointer: str, depth: int, found: Found) -> None:
    if depth > MAX_DEPTH:
        found.append(("too_deep", pointer, f"nested more than {MAX_DEPTH} levels deep"))
    elif isinstance(value, int | float):
        if not -NUMBERS_BELOW <= value < NUMBERS_BELOW:
            found.append(("number_out_of_range", pointer, "numbers must fit in 64 bits; send longer ones as text"))
    elif isinstance(value, dict):
        for name, item in value.items():
            _look_into(item, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", depth + 1, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _look_into(item, f"{pointer}/{index}", depth + 1, found)
