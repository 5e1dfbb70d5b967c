"""Messages of tracking clients as the rows of our own record kinds, and as links between customers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

import msgspec
import orjson

from app.clock import format_instant
from app.records.intake.envelope import flaw_of_document
from app.records.intake.outcome import Refusal
from app.records.tracking import orders
from app.records.tracking.names import event_type
from app.records.tracking.reading import Sent, read
from app.records.tracking.schemas import Message
from app.records.tracking.values import Unusable, identifier, instant, needed, word

RecordKind = Literal["customers", "events", "transactions"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row for one kind of record, and where in the message each of its fields stood.

    untimed: the message did not say when it happened.
    """

    kind: RecordKind
    values: dict[str, Any]
    places: Mapping[str, str]
    untimed: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """Two identifiers of one person. Declared ones were said to be so; others are merged when source is known."""

    source: str
    target: str
    declared: bool


@dataclass(frozen=True, slots=True)
class Translated:
    """What a message means: a row, a link, or both."""

    sent: Sent
    row: Row | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading messages needs besides the messages."""

    now: datetime
    currency: str

    def translate(self, sent: Sent, *, kind: str | None = None) -> tuple[RecordKind, Translated | Refusal]:
        """What a message means, or why it means nothing, and the kind of record it is kept or refused as."""
        message = read(sent)
        if isinstance(message, Refusal):
            return "events", message
        draft = Draft(message, sent, self)
        kind = kind or message.type
        call = CALLS.get(kind or "")
        try:
            if call is None:
                known = ", ".join(CALLS)
                code = "missing_field" if kind is None else "invalid_value"
                raise Unusable(code, "type", f"must be one of {known}")
            translated = call(draft)
        except Unusable as error:
            return draft.kind, sent.refused(error.code, error.field, error.detail)
        return draft.kind, translated


@dataclass(slots=True)
class Draft:
    """A message on its way to becoming a row."""

    message: Message
    sent: Sent
    reader: Reader
    kind: RecordKind = "events"
    places: dict[str, str] = field(default_factory=dict)

    def customer(self) -> str:
        """Whom the message is about: the user where one is named, else the anonymous visitor."""
        user = identifier(self.message.user_id, "userId")
        self.places["customer_id"] = "userId" if user else "anonymousId"
        found = user or identifier(self.message.anonymous_id, "anonymousId")
        if found is None:
            raise Unusable("missing_field", "userId", "userId or anonymousId is needed")
        return found

    def at(self) -> str:
        self.places["occurred_at"] = self.places["updated_at"] = "timestamp"
        if self.untimed:
            return format_instant(self.reader.now)
        return instant(self.message.timestamp, "timestamp")

    @property
    def untimed(self) -> bool:
        return self.message.timestamp is None

    def touchpoint(self) -> dict[str, str]:
        """The campaign that led here: its name, and its medium or source as the channel."""
        context = self.message.context
        campaign = context.get("campaign") if isinstance(context, dict) else None
        found: dict[str, str] = {}
        for name, sources in (("campaign_id", ("name",)), ("channel", ("medium", "source"))):
            for source in sources:
                if name not in found and isinstance(campaign, dict) and (said := word(campaign.get(source))):
                    found[name], self.places[name] = said, f"context/campaign/{source}"
        return found

    def document(self, raw: msgspec.Raw, where: str) -> dict[str, Any]:
        """The properties or traits."""
        content = bytes(raw)
        if (flaw := flaw_of_document(content)) is not None:
            raise Unusable(flaw[0], where, flaw[1])
        value = orjson.loads(content)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Unusable("invalid_type", where, "must be an object")
        return value

    def event(self, kind: str, properties: Any, *, value: float | None = None) -> Translated:
        """An event with its properties, which may still be the bytes that were sent."""
        at = self.at()
        values = {
            "customer_id": self.customer(),
            "event_id": identifier(self.message.message_id, "messageId") or self._own_id(at),
            "type": kind,
            "occurred_at": at,
            "value": value,
            "properties": properties,
            **self.touchpoint(),
        }
        self.places["event_id"] = "messageId"
        return Translated(self.sent, Row("events", values, self.places, self.untimed))

    def _own_id(self, at: str) -> str:
        """For clients that give none: the same message sent again is recognised as long as it says when it was."""
        content = b"%d %s " % (self.sent.index, at.encode())
        return f"auto-{blake2b(content + self.sent.raw, digest_size=16).hexdigest()}"


def _identify(draft: Draft) -> Translated:
    draft.kind = "customers"
    message = draft.message
    customer_id = draft.customer()
    traits = draft.document(message.traits, "traits")
    values = {"customer_id": customer_id, "attributes": traits, "updated_at": draft.at()}
    if traits.get("createdAt") is not None:
        # What cannot be read as an instant stays an attribute.
        try:
            values["created_at"] = instant(traits["createdAt"], "traits/createdAt")
        except Unusable:
            pass
        else:
            del traits["createdAt"]
    draft.places |= {"attributes": "traits", "created_at": "traits/createdAt"}
    anonymous = identifier(message.anonymous_id, "anonymousId")
    link = Link(anonymous, customer_id, declared=False) if anonymous and anonymous != customer_id else None
    return Translated(draft.sent, Row("customers", values, draft.places), link)


def _alias(draft: Draft) -> Translated:
    draft.kind = "customers"
    source = needed(draft.message.previous_id, "previousId")
    return Translated(draft.sent, link=Link(source, draft.customer(), declared=True))


def _track(draft: Draft) -> Translated:
    name = draft.message.event
    if not name:
        raise Unusable("missing_field", "event", "event is needed")
    kind = event_type(name)
    order = ORDERS.get(kind)
    if order is not None:
        draft.kind = "transactions"
    properties = draft.document(draft.message.properties, "properties")
    if order is not None:
        return _transaction(draft, order, properties)
    draft.places["type"] = "event"
    value, said = _value(properties)
    draft.places["value"] = f"properties/{said}"
    return draft.event(kind, draft.message.properties, value=value)


def _value(properties: Mapping[str, Any]) -> tuple[float | None, str]:
    """What an event was worth, where it says so as a number."""
    for name in ("value", "revenue"):
        value = properties.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value, name
    return None, "value"


Order = Callable[..., tuple[dict[str, Any], orders.Places]]
ORDERS: Mapping[str, Order] = {"order_completed": orders.purchase, "order_refunded": orders.refund}


def _transaction(draft: Draft, order: Order, properties: Mapping[str, Any]) -> Translated:
    fields, places = order(properties, currency=draft.reader.currency)
    draft.places |= places
    values = {**fields, "customer_id": draft.customer(), "occurred_at": draft.at(), **draft.touchpoint()}
    return Translated(draft.sent, Row("transactions", values, draft.places, draft.untimed))


def _view(kind: str) -> Callable[[Draft], Translated]:
    def call(draft: Draft) -> Translated:
        properties = draft.document(draft.message.properties, "properties")
        named = {"name": draft.message.name, "category": draft.message.category}
        added = {name: text for name, text in named.items() if text and name not in properties}
        return draft.event(kind, {**properties, **added} if added else draft.message.properties)

    return call


def _group(draft: Draft) -> Translated:
    traits = draft.document(draft.message.traits, "traits")
    draft.places["properties/traits"] = "traits"
    return draft.event("group", {"group_id": needed(draft.message.group_id, "groupId"), "traits": traits})


CALLS: Mapping[str, Callable[[Draft], Translated]] = {
    "identify": _identify,
    "track": _track,
    "page": _view("page_view"),
    "screen": _view("screen_view"),
    "group": _group,
    "alias": _alias,
}
