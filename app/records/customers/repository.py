"""Customers in SQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    Column,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.engine import Session
from app.records.customers.content import Content, PastAttributes
from app.tables.customers import customers, past_attributes

_TEXTS = ARRAY(Text(collation="C"))
_c = customers.c
_PUSHED = (_c.attributes, _c.consent_profiling, _c.consent_marketing, _c.created_at, _c.updated_at)
_CONTENT = (*_PUSHED, _c.attributes_since)
SHOWN = (_c.customer_id, *_PUSHED, _c.first_seen_at)


async def contents(session: Session, customer_ids: Sequence[str]) -> dict[str, Content]:
    """What is known of those of these customers that exist."""
    given = bindparam("ids", list(customer_ids), _TEXTS)
    rows = await session.execute(select(_c.customer_id, *_CONTENT).where(_c.customer_id == any_(given)))
    return {row[0]: Content(*row[1:]) for row in rows}


async def write(session: Session, changed: Mapping[str, Content], *, past: Sequence[PastAttributes]) -> int:
    """Store what is known of customers, in the order given, which must be sorted, and which attributes hold no more.

    Returns how many customers existed.
    """
    rows = [
        {
            "customer_id": customer_id,
            "attributes": content.attributes,
            "consent_profiling": content.consent_profiling,
            "consent_marketing": content.consent_marketing,
            "created_at": _in_utc(content.created_at),
            "updated_at": _in_utc(content.updated_at),
            "attributes_since": _in_utc(content.attributes_since),
        }
        for customer_id, content in changed.items()
    ]
    given = _recordset(rows, (_c.customer_id, *_CONTENT))
    statement = upsert(customers).from_select(given.c.keys(), select(*given.c))
    new = statement.excluded
    written = (
        statement.on_conflict_do_update(
            index_elements=["customer_id"],
            set_={**{each.name: new[each.name] for each in _CONTENT}, "changed_at": func.now()},
        )
        # A row version that this statement inserted has no predecessor to lock: its xmax is 0.
        .returning((literal_column("customers.xmax::text::bigint", BigInteger) != 0).label("existed"))
        .cte("written")
    )
    counted = select(func.count()).where(written.c.existed)
    if past:
        counted = counted.add_cte(_replaced(past))
    return int((await session.execute(counted)).scalar_one())


def _replaced(past: Sequence[PastAttributes]) -> CTE:
    rows = [
        {
            "customer_id": each.customer_id,
            "valid_from": _in_utc(each.valid_from),
            "valid_to": _in_utc(each.valid_to),
            "attributes": each.attributes,
        }
        for each in past
    ]
    given = _recordset(rows, tuple(past_attributes.c))
    return upsert(past_attributes).from_select(given.c.keys(), select(*given.c)).cte("replaced")


def _recordset(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column[Any]]) -> TableValuedAlias:
    """Rows as a table of these columns. One document beats arrays: nothing is escaped twice, and JSON stays what it is."""
    document = cast(bindparam(None, orjson.dumps(rows).decode(), Text, unique=True), JSON)
    record = [column(each.name, each.type) for each in columns]
    return func.json_to_recordset(document).table_valued(*record).render_derived(with_types=True)


def _in_utc(instant: datetime | None) -> datetime | None:
    """RFC 3339 knows offsets of nearly a day; PostgreSQL reads none beyond 16 hours."""
    return None if instant is None else instant.astimezone(UTC)


async def find(session: Session, customer_id: str) -> dict[str, Any] | None:
    """One customer by the identifier itself, merges not followed; null when there is none."""
    row = (await session.execute(select(*SHOWN).where(_c.customer_id == customer_id))).mappings().one_or_none()
    return dict(row) if row else None


async def page(session: Session, *, limit: int, after: str | None) -> list[dict[str, Any]]:
    """Customers by identifier in byte order, after the given one; at most limit + 1."""
    query = select(*SHOWN).order_by(_c.customer_id).limit(limit + 1)
    if after is not None:
        query = query.where(_c.customer_id > after)
    return [dict(row) for row in (await session.execute(query)).mappings()]
