"""Customers in SQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ARRAY, JSON, BigInteger, Text, any_, bindparam, cast, column, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.engine import Session
from app.records.customers.content import Content
from app.tables.customers import customers

_TEXTS = ARRAY(Text(collation="C"))
_c = customers.c
_CONTENT = (_c.attributes, _c.consent_profiling, _c.consent_marketing, _c.created_at, _c.updated_at)
_RECORD = [column(each.name, each.type) for each in (_c.customer_id, *_CONTENT)]
SHOWN = (_c.customer_id, *_CONTENT, _c.first_seen_at)


async def contents(session: Session, customer_ids: Sequence[str]) -> dict[str, Content]:
    """What is known of those of these customers that exist."""
    given = bindparam("ids", list(customer_ids), _TEXTS)
    rows = await session.execute(select(_c.customer_id, *_CONTENT).where(_c.customer_id == any_(given)))
    return {row[0]: Content(*row[1:]) for row in rows}


async def write(session: Session, changed: Mapping[str, Content]) -> int:
    """Store what is known of customers, in the order given, which must be sorted. Returns how many existed."""
    rows = [
        {
            "customer_id": customer_id,
            "attributes": content.attributes,
            "consent_profiling": content.consent_profiling,
            "consent_marketing": content.consent_marketing,
            "created_at": _in_utc(content.created_at),
            "updated_at": _in_utc(content.updated_at),
        }
        for customer_id, content in changed.items()
    ]
    # One document beats arrays: nothing is escaped twice, and attributes arrive as the JSON they are.
    document = cast(bindparam("rows", orjson.dumps(rows).decode(), Text), JSON)
    given = func.json_to_recordset(document).table_valued(*_RECORD, name="given").render_derived(with_types=True)
    statement = upsert(customers).from_select([each.name for each in _RECORD], select(*given.c))
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
    return int((await session.execute(select(func.count()).where(written.c.existed))).scalar_one())


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
