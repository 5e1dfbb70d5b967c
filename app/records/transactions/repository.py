"""Transactions in SQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Text, any_, bindparam, insert, select, tuple_

from app.db import copy
from app.db.engine import Session
from app.records.transactions.columns import TransactionColumns
from app.tables.transactions import transaction_items, transactions

_TEXTS = ARRAY(Text(collation="C"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def stored_content(session: Session, source: str, transaction_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What is stored under these identifiers, by identifier, in the form of TransactionColumns.content."""
    given = bindparam("ids", list(transaction_ids), _TEXTS)
    t = transactions.c
    query = select(
        t.transaction_id,
        t.customer_id,
        t.occurred_at,
        t.kind,
        t.amount_minor,
        t.currency,
        t.margin_minor,
        t.refunds,
        t.channel,
        t.campaign_id,
        t.line_count,
    ).where(t.source == source, t.transaction_id == any_(given))
    rows = (await session.execute(query)).all()
    lines = await items_of(session, [(source, row.transaction_id) for row in rows if row.line_count])
    return {
        row[0]: (row[1], (row[2] - _EPOCH) // _MICROSECOND, *row[3:10], tuple(lines.get((source, row[0]), ())))
        for row in rows
    }


async def items_of(
    session: Session, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[tuple[str, Decimal, Decimal]]]:
    """Lines (product_id, quantity, unit_price) in their order, by (source, transaction_id)."""
    found: dict[tuple[str, str], list[tuple[str, Decimal, Decimal]]] = {}
    i = transaction_items.c
    query = select(i.source, i.transaction_id, i.product_id, i.quantity, i.unit_price).order_by(
        i.source, i.transaction_id, i.line
    )
    for source in {source for source, _ in keys}:
        given = bindparam("ids", [each for named, each in keys if named == source], _TEXTS)
        rows = await session.execute(query.where(i.source == source, i.transaction_id == any_(given)))
        for row in rows:
            found.setdefault((row[0], row[1]), []).append((row[2], row[3], row[4]))
    return found


async def add(session: Session, source: str, columns: TransactionColumns) -> None:
    """Insert rows in the order of the columns, which must be that of transaction_id, with their lines."""
    rows = len(columns)
    fields = {
        "source": copy.constant(source, rows),
        "transaction_id": copy.text(columns.transaction_id),
        "customer_id": copy.text(columns.customer_id),
        "occurred_at": copy.timestamptz(columns.occurred_at),
        "kind": copy.text(columns.kind),
        "amount_minor": copy.bigint(columns.amount_minor),
        "currency": copy.text(columns.currency),
    }
    for name in ("refunds", "channel", "campaign_id"):
        if (column := getattr(columns, name)) is not None:
            fields[name] = copy.text(column)
    if columns.margin_minor is not None:
        nulls = np.array([margin is None for margin in columns.margin_minor])
        fields["margin_minor"] = copy.bigint([margin or 0 for margin in columns.margin_minor], nulls)
    if columns.items is not None:
        fields["line_count"] = copy.integer([len(lines or ()) for lines in columns.items])
    await copy.copy_into(session, "transactions", fields)
    if columns.items is not None:
        await _add_items(session, source, columns)


async def _add_items(session: Session, source: str, columns: TransactionColumns) -> None:
    lines = [
        {
            "source": source,
            "transaction_id": transaction_id,
            "line": line,
            "product_id": product_id,
            "quantity": quantity,
            "unit_price": unit_price,
        }
        for transaction_id, items in zip(columns.transaction_id, columns.items or (), strict=True)
        for line, (product_id, quantity, unit_price) in enumerate(items or ())
    ]
    if lines:
        await session.execute(insert(transaction_items), lines)


async def page_of_customer(
    session: Session, customer_id: str, *, limit: int, before: Sequence[Any] | None
) -> list[dict[str, Any]]:
    """A customer's transactions, newest first, then by source and identifier; at most limit + 1."""
    t = transactions.c
    order = (t.occurred_at, t.source, t.transaction_id)
    query = (
        select(transactions)
        .where(t.customer_id == customer_id)
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(tuple_(*order) < (datetime.fromisoformat(before[0]), before[1], before[2]))
    return [dict(row) for row in (await session.execute(query)).mappings()]
