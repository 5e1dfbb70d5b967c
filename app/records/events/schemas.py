"""Events on the wire."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field

from app.records.intake.envelope import Envelope, Identifier, Word
from app.records.intake.instants import InstantText

TYPE_PATTERN = "^[a-z][a-z0-9_]{0,99}$"

EventType = Annotated[
    str,
    msgspec.Meta(
        description="snake_case. In use: visit, page_view, impression, click, email_sent, email_open, email_click, "
        "conversion, sign_up, survey, support, review; any other is kept.",
        extra_json_schema={"pattern": TYPE_PATTERN},
    ),
]
Properties = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="Free JSON. A survey's answers are read from `csat` (1 to 5) and `nps` (0 to 10).",
        extra_json_schema={"type": ["object", "null"]},
    ),
]
NO_PROPERTIES = msgspec.Raw(b"{}")


def _no_properties() -> msgspec.Raw:
    return NO_PROPERTIES


class EventIn(msgspec.Struct, forbid_unknown_fields=True):
    """Something a customer did or met; with a channel it is a touchpoint."""

    event_id: Identifier
    customer_id: Identifier
    type: EventType
    occurred_at: InstantText
    channel: Word | None = None
    campaign_id: Identifier | None = None
    value: float | None = None
    properties: Properties = msgspec.field(default_factory=_no_properties)


EVENTS = Envelope("events", EventIn)


class EventOut(BaseModel):
    """An event as it was stored."""

    source: str
    event_id: str
    type: str
    occurred_at: datetime
    channel: str | None
    campaign_id: str | None
    value: float | None
    properties: dict[str, Any] = Field(description="As sent; numbers keep all their digits.")


class EventPage(BaseModel):
    data: list[EventOut]
    next_cursor: str | None
