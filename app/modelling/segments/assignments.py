"""Writing memberships in SQL: what is assigned now against what stood before, as time ranges without gap or overlap.

Every writer holds the lock of memberships, so that evaluations of one customer never cross; and the shared lock of
people, so that nobody is merged or erased between being evaluated and being written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Double,
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
from sqlalchemy.dialects.postgresql import insert as upsert

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
    has the range closed; the new one begins the same instant. A range that would have lasted no time is rewritten
    in place. confirm: say on unchanged ranges that they were evaluated; for everybody the version's refreshed_at
    says so at no cost.
    """
    in_scope = true() if scope is None else within(_m.customer_id, by_range=isinstance(scope, Range))
    values: dict[str, Any] = {"of_segmentation": version.segmentation_id, "by_version": version.version, "now": now}
    if isinstance(scope, Range):
        values |= {"after": scope.after, "upto": scope.upto}
    elif scope is not None:
        values["customer_ids"] = list(scope)
    closed = await session.execute(_close(in_scope), values)
    await session.execute(_undo(in_scope), values)
    begun = await session.execute(_begin(), values, execution_options={"preserve_rowcount": True})
    if confirm:
        await session.execute(_confirm(in_scope), values)
    return Changes(closed.rowcount, begun.rowcount)


def _open(in_scope: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(_m.segmentation_id == _SEGMENTATION, _m.valid_to.is_(None), in_scope)


def _same() -> ColumnElement[bool]:
    """Whether an open range says what is assigned now."""
    return exists().where(
        _a.customer_id == _m.customer_id,
        _a.segment_id == _m.segment_id,
        _a.reason == _m.reason,
        _m.version == _VERSION,
    )


def _close(in_scope: ColumnElement[bool]) -> Any:
    return update(memberships).where(_open(in_scope), _m.valid_from < _NOW, ~_same()).values(valid_to=_NOW)


def _undo(in_scope: ColumnElement[bool]) -> Any:
    """Ranges that began this instant, of customers who are in no segment after all."""
    nowhere = ~exists().where(_a.customer_id == _m.customer_id)
    return delete(memberships).where(_open(in_scope), _m.valid_from >= _NOW, nowhere)


def _begin() -> Any:
    """A range for every assignment that has none, after the newest range of the same customer and segmentation."""
    last = _last_range()
    begins = func.greatest(_NOW, last.c.valid_to)
    stayed = and_(last.c.valid_to == begins, last.c.segment_id == _a.segment_id)
    differs = or_(last.c.segment_id != _a.segment_id, last.c.reason != _a.reason, last.c.version != _VERSION)
    fresh = (
        select(
            _SEGMENTATION,
            _a.customer_id,
            _a.segment_id,
            _VERSION,
            begins,
            case((stayed, last.c.since), else_=begins),
            _NOW,
            _a.confidence,
            _a.reason,
        )
        .outerjoin_from(_assigned, last, true())
        .where(or_(last.c.since.is_(None), last.c.valid_to.is_not(None), differs))
        # In the order of the indexes, so that their pages are written one after the other.
        .order_by(_a.customer_id)
    )
    names = (
        "segmentation_id",
        "customer_id",
        "segment_id",
        "version",
        "valid_from",
        "since",
        "evaluated_at",
        "confidence",
        "reason",
    )
    statement = upsert(memberships).from_select(names, fresh)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["customer_id", "segmentation_id"],
        index_where=_m.valid_to.is_(None),
        set_={
            "segment_id": new.segment_id,
            "version": new.version,
            "since": case((_m.segment_id == new.segment_id, _m.since), else_=_m.valid_from),
            "evaluated_at": new.evaluated_at,
            "confidence": new.confidence,
            "reason": new.reason,
        },
    )


def _last_range() -> Any:
    """The newest range of the customer at hand: since is null when there is none."""
    return (
        select(_m.segment_id, _m.version, _m.reason, _m.since, _m.valid_to)
        .where(_m.customer_id == _a.customer_id, _m.segmentation_id == _SEGMENTATION)
        .order_by(_m.valid_from.desc())
        .limit(1)
        .lateral("last")
    )


def _confirm(in_scope: ColumnElement[bool]) -> Any:
    return update(memberships).where(_open(in_scope), _m.evaluated_at < _NOW, _same()).values(evaluated_at=_NOW)


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
