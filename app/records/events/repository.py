"""Events in SQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Text, any_, bindparam, cast, select, tuple_

from app.db import copy
from app.db.engine import Session
from app.records.events.columns import EventColumns, comparable
from app.tables.events import events

_TEXTS = ARRAY(Text(collation="C"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_e = events.c
# Read as text: what reads jsonb into Python would lose digits of long numbers.
_PROPERTIES = cast(_e.properties, Text).label("properties")


async def stored_content(session: Session, source: str, event_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What is stored under these identifiers, by identifier, in the form of EventColumns.content."""
    query = select(
        _e.event_id, _e.customer_id, _e.occurred_at, _e.type, _e.channel, _e.campaign_id, _e.value, _PROPERTIES
    ).where(_e.source == source, _e.event_id == any_(bindparam("ids", list(event_ids), _TEXTS)))
    return {
        row[0]: (row[1], (row[2] - _EPOCH) // _MICROSECOND, *row[3:7], comparable(row[7].encode()))
        for row in await session.execute(query)
    }


async def add(session: Session, source: str, columns: EventColumns) -> None:
    """Insert rows in the order of the columns, which must be that of event_id."""
    fields = {
        "source": copy.constant(source, len(columns)),
        "event_id": copy.text(columns.event_id),
        "customer_id": copy.text(columns.customer_id),
        "type": copy.text(columns.type),
        "occurred_at": copy.timestamptz(columns.occurred_at),
    }
    for name in ("channel", "campaign_id"):
        if (column := getattr(columns, name)) is not None:
            fields[name] = copy.text(column)
    if columns.value is not None:
        nulls = np.array([value is None for value in columns.value])
        fields["value"] = copy.double([value or 0.0 for value in columns.value], nulls)
    if columns.properties is not None:
        fields["properties"] = copy.jsonb(columns.properties)
    await copy.copy_into(session, "events", fields)


async def page_of_customer(
    session: Session, customer_id: str, *, limit: int, before: Sequence[Any] | None
) -> list[dict[str, Any]]:
    """A customer's events, newest first, then by source and identifier; at most limit + 1."""
    order = (_e.occurred_at, _e.source, _e.event_id)
    shown = (_e.source, _e.event_id, _e.type, _e.occurred_at, _e.channel, _e.campaign_id, _e.value, _PROPERTIES)
    query = (
        select(*shown)
        .where(_e.customer_id == customer_id)
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(tuple_(*order) < (datetime.fromisoformat(before[0]), before[1], before[2]))
    return [dict(row) for row in (await session.execute(query)).mappings()]
