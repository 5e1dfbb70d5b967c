"""Segment's messages on the wire, as far as they are read; whatever else a client sends is let pass."""

from typing import Annotated, Any

import msgspec
from pydantic import Field

from app.records.intake.answers import BulkAnswer

# Clients spell identifiers as text; the protocol lets callers send numbers.
Id = Annotated[str | int | None, msgspec.Meta(description="Text of 1 to 255 characters, or a whole number.")]
Document = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": ["object", "null"]})]
NOTHING = msgspec.Raw(b"{}")


def _nothing() -> msgspec.Raw:
    return NOTHING


class Message(msgspec.Struct, rename="camel"):
    """One call of a tracking client. Fields that are not listed are accepted and not read."""

    type: Annotated[
        str | None,
        msgspec.Meta(description="identify, track, page, screen, group or alias; needed in a batch only."),
    ] = None
    message_id: Id = None
    user_id: Id = None
    anonymous_id: Id = None
    previous_id: Id = None
    group_id: Id = None
    event: Annotated[str | None, msgspec.Meta(description="What happened, of a track call.")] = None
    name: str | None = None
    category: str | None = None
    timestamp: Annotated[
        Any,
        msgspec.Meta(
            description="ISO 8601; without an offset it is read as UTC. When it is missing: the time of arrival."
        ),
    ] = None
    properties: Document = msgspec.field(default_factory=_nothing)
    traits: Document = msgspec.field(default_factory=_nothing)
    context: Annotated[
        Any,
        msgspec.Meta(description="`campaign.name` becomes campaign_id; `campaign.medium`, else `.source`, channel."),
    ] = None


class BatchIn(msgspec.Struct):
    """Messages in the order in which they happened."""

    batch: list[Message]


class RawBatch(msgspec.Struct):
    """The same, each message still as it was sent."""

    batch: list[msgspec.Raw]


class TrackingAnswer(BulkAnswer):
    """What the protocol answers, and what became of the messages."""

    success: bool = Field(description="The messages were taken in; those that could not be used are under rejected.")
