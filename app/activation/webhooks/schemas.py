"""Webhook endpoints and deliveries on the wire."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.functional_validators import BeforeValidator

from app.clock import parse_instant

Event = Literal["segment.entered", "segment.left"]
Events = Annotated[list[Event], Field(min_length=1, max_length=10, description="What to be told of.")]
URL = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_048,
        description="Where messages are sent by POST: https, a host of the public internet, no user name, no fragment.",
    ),
]
SegmentIds = Annotated[
    list[UUID] | None,
    Field(min_length=1, max_length=1_000, description="Changes of these segments only; null: of all segments."),
]
Description = Annotated[str | None, Field(max_length=1_000)]
Status = Literal["pending", "delivered", "failed"]


def _read(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("an instant is RFC 3339 text such as 2026-01-31T12:00:00Z")
    return parse_instant(value)


# RFC 3339 with an offset; numbers and naive times, which pydantic would read too, are refused.
Instant = Annotated[datetime, BeforeValidator(_read), WithJsonSchema({"type": "string", "format": "date-time"})]


class EndpointIn(BaseModel):
    """A new receiver."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "url": "https://platform.example/hooks/tessera",
                    "events": ["segment.entered", "segment.left"],
                    "description": "newsletter lists",
                }
            ]
        },
    )

    url: URL
    events: Events
    segment_ids: SegmentIds = None
    description: Description = None


class EndpointChange(BaseModel):
    """What is to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": True}]})

    # Only the fields that were sent are looked at: their defaults are never read, and null is refused where it
    # would mean nothing.
    url: URL = Field(default_factory=str)
    events: Events = Field(default_factory=list)
    segment_ids: SegmentIds = None
    description: Description = None
    enabled: bool = Field(default_factory=bool, description="Messages that wait are sent once it is true again.")


class EndpointOut(BaseModel):
    """A receiver as it is listed: never with its secret."""

    endpoint_id: UUID
    url: str
    description: str | None
    events: list[Event]
    segment_ids: list[UUID] | None = Field(description="Null: all segments.")
    enabled: bool
    disabled_reason: str | None = Field(
        description="Why the service stopped sending; null while enabled, and where somebody switched it off."
    )
    created_at: datetime
    rotated_at: datetime | None = Field(description="When the secret was changed last; null: never.")
    pending: int = Field(description="Messages still to be delivered.")
    oldest_pending_at: datetime | None = Field(description="Since when the oldest of them waits; null: none does.")


class EndpointSecret(EndpointOut):
    """The only answer that ever holds this secret."""

    secret: str | None = Field(
        description="`whsec_...`, to verify signatures with. Null when a repeated request is answered again."
    )


class EndpointPage(BaseModel):
    data: list[EndpointOut]
    next_cursor: str | None


class DeliveryOut(BaseModel):
    """One message to one receiver."""

    delivery_id: int
    message_id: UUID = Field(description="The header `webhook-id`, the same at every attempt and replay.")
    event: str
    customer_id: str | None = Field(description="Whom it is about; null for a test.")
    status: Status
    attempts: int = Field(description="How many were begun since it was made or replayed.")
    last_status_code: int | None = Field(description="Null: nothing that could be read was answered yet.")
    last_error: str | None
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="Null: there will be none.")
    delivered_at: datetime | None


class DeliveryPage(BaseModel):
    data: list[DeliveryOut]
    next_cursor: str | None


class ReplayIn(BaseModel):
    """Which messages to send again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-01T00:00:00Z", "status": "failed"}]}
    )

    since: Instant = Field(description="Those made at this instant or later.")
    until: Instant | None = Field(None, description="Those made before this instant; null: up to now.")
    status: Literal["failed", "delivered"] = Field(
        "failed", description="`delivered`: those that the receiver took and lost."
    )


class Replayed(BaseModel):
    """What was put back among what is to be delivered."""

    replayed: int = Field(description="Messages that are due again.")
