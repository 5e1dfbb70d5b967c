"""Transactions in SQL."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
from sqlalchemy import ARRAY, Text, any_, bindparam, select, tuple_

from app.db import arrays, copy
from app.db.batch import Call, Statement, run
from app.db.engine import Session, driver
from app.records.intake.once import Known
from app.records.transactions.columns import TransactionColumns
from app.records.transactions.items import ItemColumns
from app.tables.transactions import transaction_items, transactions

_TEXTS = ARRAY(Text(collation="C"))


# Columns that are null in every row are passed as empty arrays: unnest fills the shorter ones with null. Materialized, by
# the whole list of identifiers: one sorted pass over the key, where a join may descend it for each row or, worse, read
# every transaction of the source.
_COMPARE = """
with stored as materialized (
  select * from transactions where source = %s and transaction_id = any(%b)
)
select coalesce(array_agg(place) filter (where same and not has_lines), '{}'),
       coalesce(array_agg(place) filter (where not same), '{}'),
       coalesce(array_agg(place) filter (where same and has_lines), '{}')
  from (select given.place - 1 as place,
               t.line_count > 0 as has_lines,
               t.customer_id is not distinct from given.customer_id collate "C"
               and t.occurred_at = given.occurred_at
               and t.kind = given.kind collate "C"
               and t.amount_minor = given.amount_minor
               and t.currency = given.currency
               and t.margin_minor is not distinct from given.margin_minor
               and t.refunds is not distinct from given.refunds collate "C"
               and t.channel is not distinct from given.channel collate "C"
               and t.campaign_id is not distinct from given.campaign_id collate "C"
               and t.line_count = coalesce(given.line_count, 0) as same
          from unnest(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b) with ordinality as given (
                 transaction_id, customer_id, occurred_at, kind, amount_minor, currency,
                 margin_minor, refunds, channel, campaign_id, line_count, place)
          join stored as t on t.transaction_id = given.transaction_id collate "C"
       ) as compared
"""


async def compare(session: Session, source: str, columns: TransactionColumns) -> Known:
    """Which of these rows are stored, and which of those with other content."""
    margins = columns.margin_minor or []
    given = [
        arrays.texts(columns.transaction_id),
        arrays.texts(columns.customer_id),
        arrays.timestamps(columns.occurred_at),
        arrays.texts(columns.kind),
        arrays.bigints(columns.amount_minor),
        arrays.texts(columns.currency),
        arrays.bigints([margin or 0 for margin in margins], np.array([margin is None for margin in margins], np.bool_)),
        arrays.texts(columns.refunds or []),
        arrays.texts(columns.channel or []),
        arrays.texts(columns.campaign_id or []),
        arrays.bigints(columns.items.counts if columns.items is not None else []),
    ]
    connection = await driver(session)
    cursor = await connection.execute(_COMPARE, [source, given[0], *given], binary=True)
    same, other, with_lines = await cursor.fetchone() or ([], [], [])
    if with_lines:
        other_lines = await _with_other_lines(session, source, columns.take(with_lines))
        other += [with_lines[place] for place in other_lines]
        same += sorted(set(with_lines).difference(other))
    return Known(same, sorted(other))


# As many lines are stored as were sent, so all are equal when each that was sent finds its equal. Materialized: one
# descent of the index for each transaction, where joining line by line would make one for each line.
_COMPARE_LINES = """
with stored as materialized (
  select sent.place - 1 as place, item.line, item.product_id, item.quantity * 1000000 as quantity,
         item.unit_price * 1000000 as unit_price
    from unnest(%b) with ordinality as sent (transaction_id, place)
    join transaction_items as item on item.source = %s and item.transaction_id = sent.transaction_id collate "C"
)
select coalesce(array_agg(distinct given.place), '{}')
  from unnest(%b, %b, %b, %b, %b) as given (place, line, product_id, quantity, unit_price)
  left join stored
    on stored.place = given.place
   and stored.line = given.line
   and stored.product_id = given.product_id collate "C"
   and stored.quantity = given.quantity
   and stored.unit_price = given.unit_price
 where stored.line is null
"""


async def _with_other_lines(session: Session, source: str, columns: TransactionColumns) -> list[int]:
    """Which of these transactions, stored with as many lines, are stored with other lines."""
    items = columns.items
    assert items is not None, "equal counts above zero mean that lines were sent"
    given = [
        arrays.bigints(items.transaction),
        arrays.bigints(items.line),
        arrays.texts(items.products.pick(items.product)),
        arrays.bigints(items.quantity),
        arrays.bigints(items.unit_price),
    ]
    connection = await driver(session)
    parameters = [arrays.texts(columns.transaction_id), source, *given]
    cursor = await connection.execute(_COMPARE_LINES, parameters, binary=True)
    found = await cursor.fetchone()
    return sorted(found[0]) if found else []


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
        "kind": copy.words(columns.kind),
        "amount_minor": copy.bigint(columns.amount_minor),
        "currency": copy.words(columns.currency),
    }
    for name in ("refunds", "channel", "campaign_id"):
        if (column := getattr(columns, name)) is not None:
            fields[name] = copy.text(column)
    if columns.margin_minor is not None:
        nulls = np.array([margin is None for margin in columns.margin_minor])
        fields["margin_minor"] = copy.bigint([margin or 0 for margin in columns.margin_minor], nulls)
    if columns.items is not None:
        fields["line_count"] = copy.integer(columns.items.counts)
    await copy.copy_into(session, "transactions", fields)
    if columns.items is not None:
        await _add_items(session, source, columns, columns.items)


# What is not sent stands as null. Microseconds are exact as doubles until long after the last day that is taken.
_ADD_FEW = """
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency,
                          margin_minor, refunds, channel, campaign_id, line_count)
select $1, transaction_id, customer_id, timestamptz '1970-01-01Z' + occurred_at * interval '1 microsecond', kind,
       amount_minor, currency, margin_minor, refunds, channel, campaign_id, coalesce(line_count, 0)
  from json_to_recordset($2) as given (
         transaction_id text, customer_id text, occurred_at bigint, kind text, amount_minor bigint, currency text,
         margin_minor bigint, refunds text, channel text, campaign_id text, line_count integer)
 where {condition}
    on conflict do nothing
returning transaction_id
"""
_ADD_UNKNOWN = Statement(_ADD_FEW.format(condition="true"))
_OF_SOMEBODY = "customer_id is null or exists (select from customers c where c.customer_id = given.customer_id)"
_ADD_OF_THE_KNOWN = Statement(_ADD_FEW.format(condition=_OF_SOMEBODY))


async def add_unknown(session: Session, source: str, columns: TransactionColumns) -> set[str]:
    """Insert those of a few rows that are not stored, with their lines; their identifiers."""
    (found,) = await run(session, (_ADD_UNKNOWN, [source, _few(columns)]))
    inserted = {each for (each,) in found}
    if columns.items is not None and inserted:
        added = columns.take([place for place, each in enumerate(columns.transaction_id) if each in inserted])
        assert added.items is not None, "rows taken keep their lines"
        await _add_items(session, source, added, added.items)
    return inserted


def insertion(source: str, columns: TransactionColumns) -> Call | None:
    """What inserts those of a few rows that are not stored, of guests and of customers who exist; one row for each.

    Null where there are lines to be stored with them. Needs lock_intake, as add_unknown does.
    """
    return None if columns.items is not None else (_ADD_OF_THE_KNOWN, [source, _few(columns)])


def _few(columns: TransactionColumns) -> str:
    """The rows as the statements take them."""
    given: dict[str, Sequence[Any]] = {
        "transaction_id": columns.transaction_id,
        "customer_id": columns.customer_id,
        "occurred_at": columns.occurred_at.tolist(),
        "kind": columns.kind,
        "amount_minor": columns.amount_minor.tolist(),
        "currency": columns.currency,
    }
    for name in ("margin_minor", "refunds", "channel", "campaign_id"):
        if (column := getattr(columns, name)) is not None:
            given[name] = column
    if columns.items is not None:
        given["line_count"] = columns.items.counts.tolist()
    rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    return orjson.dumps(rows).decode()


async def _add_items(session: Session, source: str, columns: TransactionColumns, items: ItemColumns) -> None:
    fields = {
        "source": copy.constant(source, len(items.transaction)),
        "transaction_id": copy.Vocabulary.of(columns.transaction_id).pick(items.transaction),
        "line": copy.integer(items.line),
        "product_id": items.products.pick(items.product),
        "quantity": copy.numeric(items.quantity),
        "unit_price": copy.numeric(items.unit_price),
    }
    await copy.copy_into(session, "transaction_items", fields)


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
