"""Storing events: each once, whatever is sent how often."""

from typing import Any

import orjson

from app.records.events import repository
from app.records.events.columns import EventColumns, columns_of
from app.records.events.schemas import EVENTS, EventIn
from app.records.intake.bulk import Kind
from app.records.intake.once import Shelf, adding, by_content, storing
from app.tables.events import events

SHELF: Shelf[EventColumns] = Shelf(
    events.c.event_id, EventColumns.take, by_content(events.c.event_id, repository.stored_content), repository.add
)

EVENT_KIND: Kind[EventIn, EventColumns] = Kind(
    "events", EVENTS, columns_of, EventColumns.take, storing(SHELF), adding(SHELF)
)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A stored event as it is answered."""
    return {**row, "properties": orjson.Fragment(row["properties"])}
