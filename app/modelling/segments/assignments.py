"""Writing memberships in SQL: what is assigned now against what stood before, as time ranges without gap or overlap.

Every writer holds the lock of memberships, so that evaluations of one customer never cross; and the shared lock of
people, so that nobody is merged or erased between being evaluated and being written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

import numpy as np
import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Double,
    Executable,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.db import copy
from app.db.engine import Session
from app.modelling.features.compiler import Range, Scope, within
from app.modelling.segments.methods import Assignment
from app.modelling.segments.repository import Version
from app.tables.customers import customers
from app.tables.events import events
from app.tables.intake import dirty_customers
from app.tables.privacy import privacy_state
from app.tables.segments import memberships
from app.tables.transactions import transactions

MEMBERSHIPS_LOCK = 7_355_608_020
# The lock under which the records wing merges and erases; a test holds the two to the same number.
PRIVACY_LOCK = 7_355_608_010

# What one evaluation assigns, while its transaction lasts. Not of the schema: it lives in the session.
_assigned = Table(
    "assigned",
    MetaData(),
    Column("customer_id", Text(collation="C")),
    Column("segment_id", Uuid),
    Column("reason", JSONB),
    Column("confidence", Double),
)
_CREATE_ASSIGNED = text(
    """
    create temporary table if not exists assigned (
      customer_id text collate "C" not null, segment_id uuid not null, reason jsonb not null,
      confidence double precision
    ) on commit delete rows
    """
)

_m, _a = memberships.c, _assigned.c
# Named unlike any column, or an update would take them for values to set.
_SEGMENTATION = bindparam("of_segmentation", type_=Uuid)
_VERSION = bindparam("by_version", type_=Integer)
_NOW = bindparam("now", type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Changes:
    """What an evaluation did: ranges closed (left, or changed) and ranges begun."""

    closed: int
    begun: int


async def lock_memberships(session: Session) -> None:
    """Wait for other writers of memberships and keep new ones out until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(MEMBERSHIPS_LOCK)))


async def hold_people(session: Session) -> int:
    """Keep merges and erasures waiting until the transaction ends; the privacy epoch, which moves with each."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(PRIVACY_LOCK)))
    return await privacy_epoch(session)


async def privacy_epoch(session: Session) -> int:
    """To be read after hold_people, in a statement of its own, so that it sees what the lock waited for."""
    return int((await session.execute(select(privacy_state.c.epoch))).scalar_one())


async def begin(session: Session) -> None:
    """Make room for assignments, empty."""
    await session.execute(_CREATE_ASSIGNED)
    await session.execute(delete(_assigned))


async def add(session: Session, version: Version, assignment: Assignment, customer_ids: Sequence[str]) -> None:
    """Put what a method assigned to these customers beside what it assigned before in this transaction."""
    if not assignment.positions.size:
        return
    ids = [version.segment_ids[outcome.segment_key].bytes for outcome in assignment.outcomes]
    reasons = [orjson.dumps(outcome.reason) for outcome in assignment.outcomes]
    confidence = assignment.confidence
    unsure = confidence is None
    await copy.copy_into(
        session,
        "assigned",
        {
            "customer_id": copy.text([customer_ids[position] for position in assignment.positions]),
            "segment_id": copy.uuid([ids[code] for code in assignment.codes]),
            "reason": copy.jsonb([reasons[code] for code in assignment.codes]),
            "confidence": copy.double(
                np.zeros(assignment.positions.size) if confidence is None else confidence,
                np.full(assignment.positions.size, unsure),
            ),
        },
    )


async def leave_out_the_gone(session: Session) -> None:
    """Forget assignments of customers who were merged or erased since they were made."""
    await session.execute(delete(_assigned).where(~exists().where(customers.c.customer_id == _a.customer_id)))


async def apply(session: Session, version: Version, *, scope: Scope | None, now: datetime, confirm: bool) -> Changes:
    """Make the memberships of the scope (null: everybody) what was assigned, from `now` on.

    Whoever is in no segment any more, in another one, or in the same for another reason or by another version,
    has the range closed; the new one begins the same instant. A range that would have lasted no time leaves no
    trace. confirm: say on unchanged ranges that they were evaluated; for everybody the version's refreshed_at
    says so at no cost.
    """
    values: dict[str, Any] = {"of_segmentation": version.segmentation_id, "by_version": version.version, "now": now}
    if isinstance(scope, Range):
        values |= {"after": scope.after, "upto": scope.upto}
    elif scope is not None:
        values["customer_ids"] = list(scope)
    statements = _statements("everybody" if scope is None else "range" if isinstance(scope, Range) else "some")
    closed = await session.execute(statements.close, values)
    await session.execute(statements.undo, values)
    begun = await session.execute(statements.begin, values, execution_options={"preserve_rowcount": True})
    if confirm:
        await session.execute(statements.confirm, values)
    return Changes(closed.rowcount, begun.rowcount)


@dataclass(frozen=True, slots=True)
class _Statements:
    """What makes memberships so, in this order."""

    close: Executable
    undo: Executable
    begin: Executable
    confirm: Executable


@cache
def _statements(scope: Literal["everybody", "range", "some"]) -> _Statements:
    in_scope = true() if scope == "everybody" else within(_m.customer_id, by_range=scope == "range")
    standing = and_(_m.segmentation_id == _SEGMENTATION, _m.valid_to.is_(None), in_scope)
    same = exists().where(
        _a.customer_id == _m.customer_id,
        _a.segment_id == _m.segment_id,
        _a.reason == _m.reason,
        _m.version == _VERSION,
    )
    return _Statements(
        close=update(memberships).where(standing, _m.valid_from < _NOW, ~same).values(valid_to=_NOW),
        # What began this very instant and is already otherwise leaves no trace.
        undo=delete(memberships).where(standing, _m.valid_from >= _NOW, ~same),
        begin=_begin(),
        confirm=update(memberships).where(standing, _m.evaluated_at < _NOW, same).values(evaluated_at=_NOW),
    )


def _begin() -> Executable:
    """A range for every assignment without an open one, after the last of the same customer and segmentation.

    That is from now on, or from the end of the last where the clock was set back since.
    """
    last = (
        select(_m.segment_id, _m.since, _m.valid_from, _m.valid_to)
        .where(_m.customer_id == _a.customer_id, _m.segmentation_id == _SEGMENTATION)
        .order_by(_m.valid_from.desc())
        .limit(1)
        .lateral("last")
    )
    begins = func.greatest(_NOW, last.c.valid_to)
    stayed = and_(last.c.valid_to == begins, last.c.segment_id == _a.segment_id)
    values: dict[str, ColumnElement[Any]] = {
        "customer_id": _a.customer_id,
        "segmentation_id": _SEGMENTATION,
        "segment_id": _a.segment_id,
        "version": _VERSION,
        "valid_from": begins,
        "since": case((stayed, last.c.since), else_=begins),
        "evaluated_at": _NOW,
        "confidence": _a.confidence,
        "reason": _a.reason,
    }
    fresh = (
        select(*values.values())
        .outerjoin_from(_assigned, last, true())
        .where(or_(last.c.valid_from.is_(None), last.c.valid_to.is_not(None)))
        # In the order of the indexes, so that their pages are written one after the other.
        .order_by(_a.customer_id)
    )
    return insert(memberships).from_select(list(values), fresh)


async def close_all(session: Session, version: Version, *, now: datetime) -> int:
    """Close every open range of a segmentation; those that began this instant leave no trace. How many there were."""
    await begin(session)
    changes = await apply(session, version, scope=None, now=now, confirm=False)
    return changes.closed


async def touch_active_since(session: Session, instant: datetime, *, chunk: int) -> None:
    """Put customers with facts at or after an instant into the dirty set, in rows of so many."""
    t, e = transactions.c, events.c
    recent = (
        select(t.customer_id)
        .where(t.occurred_at >= instant, t.customer_id.is_not(None))
        .union(select(e.customer_id).where(e.occurred_at >= instant, e.customer_id.is_not(None)))
        .subquery()
    )
    numbered = select(
        recent.c.customer_id, ((func.row_number().over(order_by=recent.c.customer_id) - 1) // chunk).label("part")
    ).subquery()
    rows: Select[Any] = select(func.array_agg(numbered.c.customer_id)).group_by(numbered.c.part)
    await session.execute(insert(dirty_customers).from_select(["customer_ids"], rows))


async def take_dirty(session: Session, *, batches: int, customers_at_most: int) -> list[str]:
    """Take the oldest batches out of the dirty set and give their customers, each once, in order.

    As many batches as hold so many customers, but at least one. They come back if the transaction fails.
    """
    d = dirty_customers.c
    oldest = select(d.batch_id, func.cardinality(d.customer_ids).label("size")).order_by(d.batch_id).limit(batches)
    sized = oldest.subquery()
    before = func.sum(sized.c.size).over(order_by=sized.c.batch_id) - sized.c.size
    counted = select(sized.c.batch_id, before.label("before")).subquery()
    chosen = select(counted.c.batch_id).where(counted.c.before < customers_at_most)
    taken = delete(dirty_customers).where(d.batch_id.in_(chosen)).returning(d.customer_ids)
    return sorted({each for ids in await session.scalars(taken) for each in ids})
