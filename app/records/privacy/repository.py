"""Carrying out in SQL what the plans say; whatever writes here needs lock_people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    DateTime,
    LargeBinary,
    Numeric,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db.engine import Session
from app.records.privacy.definitions import AtErase, Plan
from app.records.rejections.payload import readable
from app.tables.customers import customer_aliases, customers, past_attributes
from app.tables.intake import rejections
from app.tables.privacy import erasure_receipts, tombstones

_TEXTS = ARRAY(Text(collation="C"))


async def aliases(session: Session, customer_id: str) -> dict[str, datetime]:
    """The names that were merged into this customer, in byte order, and when."""
    a = customer_aliases.c
    rows = await session.execute(select(a.alias, a.merged_at).where(a.customer_id == customer_id).order_by(a.alias))
    return {row.alias: row.merged_at for row in rows}


async def is_refused(session: Session, customer_id: str) -> bool:
    """Whether a refused row names this customer: all there may be of somebody who was never stored."""
    named = select(rejections.c.rejection_id).where(rejections.c.customer_id == customer_id)
    return bool(await session.scalar(select(named.exists())))


# Export


async def known_of(session: Session, plan: Plan, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one table about a person, by primary key, ready for JSON."""
    query = select(*map(_writable, plan.columns)).where(plan.about(names)).order_by(*plan.table.primary_key)
    rows = await session.execute(query)
    documents = [each.name for each in plan.columns if isinstance(each.type, JSONB)]
    payloads = [each.name for each in plan.columns if isinstance(each.type, LargeBinary)]
    return [_legible(dict(row), documents, payloads) for row in rows.mappings()]


def _writable(each: Column[Any]) -> ColumnElement[Any]:
    """Exact numbers and documents as text: JSON as stored may hold numbers that no double does."""
    exact = isinstance(each.type, Numeric | JSONB)
    return cast(each, Text).label(each.name) if exact else each


def _legible(row: dict[str, Any], documents: Sequence[str], payloads: Sequence[str]) -> dict[str, Any]:
    for name in documents:
        row[name] = None if row[name] is None else orjson.Fragment(row[name])
    for name in payloads:
        row[name] = readable(row[name])
    return row


# Erasure


async def erase(session: Session, plan: Plan, names: Sequence[str], *, stand_ins: Sequence[str]) -> int:
    """Do to one table what its plan says; each name has a stand-in. Returns how many rows it concerned."""
    about = plan.about(names)
    if plan.at_erase is AtErase.REPLACE:
        return sum([await _replace(session, plan, *pair) for pair in zip(names, stand_ins, strict=True)])
    if plan.at_erase is AtErase.TAKE_OUT:
        return await _take_out(session, plan, names)
    if plan.at_erase is AtErase.REMOVE:
        return (await session.execute(delete(plan.table).where(about))).rowcount
    if plan.cleared:
        return (await session.execute(update(plan.table).where(about).values(**plan.cleared))).rowcount
    return int((await session.execute(select(func.count()).select_from(plan.table).where(about))).scalar_one())


def _list_of(plan: Plan) -> Column[Any]:
    return next(each for each in plan.table.c if isinstance(each.type, ARRAY))


async def _replace(session: Session, plan: Plan, name: str, stand_in: str) -> int:
    statement = update(plan.table).where(plan.about([name]))
    if "customer_id" in plan.table.c:
        return (await session.execute(statement.values(customer_id=stand_in))).rowcount
    listed = _list_of(plan)
    return (await session.execute(statement.values({listed: func.array_replace(listed, name, stand_in)}))).rowcount


async def _take_out(session: Session, plan: Plan, names: Sequence[str]) -> int:
    """Take identifiers out of lists; lists that held nobody else go."""
    listed = _list_of(plan)
    each = func.unnest(listed).column_valued("each")
    gone = bindparam("gone", list(names), _TEXTS)
    others = func.array(select(each).where(each != func.all(gone)).scalar_subquery())
    statement = update(plan.table).where(plan.about(names)).values({listed: others})
    concerned = (await session.execute(statement)).rowcount
    if concerned:
        await session.execute(delete(plan.table).where(func.cardinality(listed) == 0))
    return concerned


async def receipt_of(session: Session, digest: bytes) -> dict[str, Any] | None:
    """The receipt of the erasure that left this tombstone; null when nobody of that hash was erased."""
    r = erasure_receipts.c
    query = (
        select(r.receipt_id, r.erased_at, r.removed, r.kept_anonymous)
        .join(tombstones, tombstones.c.receipt_id == r.receipt_id)
        .where(tombstones.c.customer_hash == digest)
    )
    row = (await session.execute(query)).mappings().one_or_none()
    return dict(row) if row else None


async def add_receipt(
    session: Session, *, removed: dict[str, int], kept_anonymous: dict[str, int], now: datetime
) -> dict[str, Any]:
    statement = (
        insert(erasure_receipts)
        .values(removed=removed, kept_anonymous=kept_anonymous, erased_at=now)
        .returning(*(erasure_receipts.c[name] for name in ("receipt_id", "erased_at", "removed", "kept_anonymous")))
    )
    return dict((await session.execute(statement)).mappings().one())


async def add_tombstones(session: Session, digests: Sequence[bytes], *, receipt_id: UUID, now: datetime) -> None:
    rows = [{"customer_hash": digest, "receipt_id": receipt_id, "erased_at": now} for digest in digests]
    await session.execute(insert(tombstones), rows)


# Merge


async def move(session: Session, plan: Plan, *, source: str, target: str) -> int:
    """Make the rows of one customer those of another."""
    moved = update(plan.table).where(plan.about([source])).values(customer_id=target)
    return (await session.execute(moved)).rowcount


async def join(session: Session, plan: Plan, *, source: str, target: str) -> int:
    """Make the rows of one customer those of another, but for those that would have the key of one of theirs."""
    own, theirs = plan.table, plan.table.alias("theirs")
    rest = [each for each in own.primary_key if each.name != "customer_id"]
    has_counterpart = exists().where(theirs.c.customer_id == target, *(theirs.c[each.name] == each for each in rest))
    moved = update(own).where(plan.about([source]), ~has_counterpart).values(customer_id=target)
    count = (await session.execute(moved)).rowcount
    await remove(session, plan, source=source)
    return count


async def remove(session: Session, plan: Plan, *, source: str) -> int:
    return (await session.execute(delete(plan.table).where(plan.about([source])))).rowcount


async def rename(session: Session, plan: Plan, *, source: str, target: str) -> None:
    """Let lists name one customer where they named another; who stood in them anyway may stand twice."""
    listed = _list_of(plan)
    renamed = update(plan.table).where(plan.about([source]))
    await session.execute(renamed.values({listed: func.array_replace(listed, source, target)}))


async def fold(session: Session, *, source: str, target: str, now: datetime) -> None:
    """Make two customers one row: the target's word wins, the stricter consent holds; leave an alias behind.

    Consent by SQL's own logic: false and anything is false, true and null (nobody was asked) is null. Of past
    attributes the target's stay, and those of the source only where the target never had any.
    """
    gone = customers.alias("gone")
    c, g = customers.c, gone.c
    both = g.attributes.op("||")(c.attributes)
    both_since = case(
        (c.attributes_since.is_(None), g.attributes_since),
        (both == c.attributes, c.attributes_since),
        else_=func.greatest(c.attributes_since, now),
    )
    await _fold_past(session, source=source, target=target, now=now)
    await session.execute(
        update(customers)
        .where(c.customer_id == target, g.customer_id == source, c.customer_id != g.customer_id)
        .values(
            attributes=both,
            attributes_since=both_since,
            consent_profiling=and_(c.consent_profiling, g.consent_profiling),
            consent_marketing=and_(c.consent_marketing, g.consent_marketing),
            created_at=func.least(c.created_at, g.created_at),
            updated_at=func.greatest(c.updated_at, g.updated_at),
            first_seen_at=func.least(c.first_seen_at, g.first_seen_at),
            changed_at=func.now(),
        )
    )
    a = customer_aliases
    await session.execute(delete(past_attributes).where(past_attributes.c.customer_id == source))
    await session.execute(update(a).where(a.c.customer_id == source).values(customer_id=target))
    await session.execute(delete(customers).where(c.customer_id == source))
    await session.execute(insert(a).values(alias=source, customer_id=target, merged_at=now))


async def _fold_past(session: Session, *, source: str, target: str, now: datetime) -> None:
    """Before two customers become one: keep what held of the target until now, or take over the source's past."""
    gone = customers.alias("gone")
    c, g, p = customers.c, gone.c, past_attributes
    pair = and_(c.customer_id == target, g.customer_id == source)
    replaced = select(c.customer_id, c.attributes_since, literal(now, DateTime(timezone=True)), c.attributes).where(
        pair, c.attributes_since < now, g.attributes.op("||")(c.attributes) != c.attributes
    )
    await session.execute(insert(p).from_select(["customer_id", "valid_from", "valid_to", "attributes"], replaced))
    never_had_any = exists().where(c.customer_id == target, c.attributes_since.is_(None))
    await session.execute(update(p).where(p.c.customer_id == source, never_had_any).values(customer_id=target))
