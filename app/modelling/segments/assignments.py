"""Writing memberships in SQL: what is assigned now against what stood before, as time ranges without gap or overlap.

Every writer holds the lock of memberships, so that evaluations of one customer never cross; and the shared lock of
people, so that nobody is merged or erased between being evaluated and being written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson
from sqlalchemy import Select, Subquery, delete, exists, func, insert, or_, select, text
from sqlalchemy.exc import OperationalError

from app.db import copy
from app.db.arrays import texts
from app.db.engine import Session
from app.modelling.features.compiler import Range, Scope
from app.modelling.segments import ranges
from app.modelling.segments.assigning import Assignment
from app.modelling.segments.repository import Version
from app.tables.customers import customers
from app.tables.events import events
from app.tables.intake import dirty_customers
from app.tables.privacy import PEOPLE_LOCK, privacy_state
from app.tables.segments import memberships
from app.tables.transactions import transactions
from app.tables.webhooks import webhook_endpoints

MEMBERSHIPS_LOCK = 7_355_608_020

# Long enough for a drain of touched customers to end, much shorter than an activation.
_SHORT_WAIT, _LONG_WAIT = text("set local lock_timeout = '500ms'"), text("set local lock_timeout = 0")


@dataclass(frozen=True, slots=True)
class Changes:
    """What an evaluation did: ranges closed (left, or changed) and ranges begun."""

    closed: int
    begun: int

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(self.closed + other.closed, self.begun + other.begun)


async def lock_memberships(session: Session) -> None:
    """Wait for other writers of memberships and keep new ones out until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(MEMBERSHIPS_LOCK)))


async def try_lock_memberships(session: Session) -> bool:
    """The same for writers who cannot wait for long: false where the others are not done in a moment."""
    if await session.scalar(select(func.pg_try_advisory_xact_lock(MEMBERSHIPS_LOCK))):
        return True
    try:
        async with session.begin_nested():
            await session.execute(_SHORT_WAIT)
            await lock_memberships(session)
            await session.execute(_LONG_WAIT)
    except OperationalError:
        return False
    return True


async def hold_people(session: Session) -> int:
    """Keep merges and erasures waiting until the transaction ends; the privacy epoch, which moves with each."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(PEOPLE_LOCK)))
    return await privacy_epoch(session)


async def privacy_epoch(session: Session) -> int:
    """To be read after hold_people, in a statement of its own, so that it sees what the lock waited for."""
    return int((await session.execute(select(privacy_state.c.epoch))).scalar_one())


async def begin(session: Session) -> None:
    """Make room for assignments, empty."""
    for statement in (ranges.CREATE_ASSIGNED, ranges.CREATE_OUTCOMES, ranges.EMPTY):
        await session.execute(statement)


async def add(session: Session, version: Version, assignment: Assignment, customer_ids: Sequence[str]) -> None:
    """Put what a method assigned to these customers beside what it assigned before in this transaction."""
    positions, confidence = assignment.positions, assignment.confidence
    if not positions.size:
        return
    known = int((await session.execute(select(func.count()).select_from(ranges.outcomes))).scalar_one())
    await _add_outcomes(session, version, assignment, after=known)
    everybody = positions.size == len(customer_ids)
    await copy.copy_into(
        session,
        "assigned",
        {
            "customer_id": copy.text(
                customer_ids if everybody else [customer_ids[each] for each in positions.tolist()]
            ),
            "outcome": copy.integer(assignment.codes + known),
            "confidence": copy.double(
                np.zeros(positions.size) if confidence is None else confidence,
                np.full(positions.size, confidence is None),
            ),
        },
    )


async def _add_outcomes(session: Session, version: Version, assignment: Assignment, *, after: int) -> None:
    outcomes = assignment.outcomes
    await copy.copy_into(
        session,
        "outcomes",
        {
            "outcome": copy.integer(np.arange(after, after + len(outcomes))),
            "segment_id": copy.uuid([version.segment_ids[each.segment_key].bytes for each in outcomes]),
            "reason": copy.jsonb([orjson.dumps(each.reason) for each in outcomes]),
        },
    )


async def leave_out_the_gone(session: Session) -> None:
    """Forget assignments of customers who were merged or erased since they were made."""
    gone = ~exists().where(customers.c.customer_id == ranges.assigned.c.customer_id)
    await session.execute(delete(ranges.assigned).where(gone))


async def apply(
    session: Session, version: Version, *, scope: Scope | None, now: datetime, announce: bool = True
) -> Changes:
    """Make the memberships of the scope (null: everybody) what was assigned, from `now` on.

    Whoever is in no segment any more, in another one, or in the same for another reason or by another version,
    has the range closed; the new one begins the same instant. A range that would have lasted no time leaves no
    trace. Unchanged ranges of customers by name say that they were evaluated; for all others the version's
    refreshed_at says so at no cost. announce: leave word of who left and who entered, for those who asked to be told.
    """
    values: dict[str, Any] = {"of_segmentation": version.segmentation_id, "by_version": version.version, "now": now}
    changes, is_done = Changes(0, 0), False
    if scope is None:
        statements = ranges.statements("everybody")
    elif isinstance(scope, Range):
        values |= {"after": scope.after, "upto": scope.upto}
        statements = ranges.statements("range")
    else:
        values["customer_ids"] = texts(scope)
        statements = ranges.statements("some")
        found = (await session.execute(ranges.RENEW, values)).one()
        changes, is_done = Changes(found.closed, found.begun), not found.left_over
    if not is_done:
        changes += await _apply_in_steps(session, statements, values)
    if announce and changes.closed + changes.begun and await _has_receivers(session):
        await session.execute(statements.announce, values)
    return changes


async def _apply_in_steps(session: Session, statements: ranges.Statements, values: Mapping[str, Any]) -> Changes:
    closed = await session.execute(statements.close, values)
    await session.execute(statements.undo, values)
    begun = await session.execute(statements.begin, values, execution_options={"preserve_rowcount": True})
    return Changes(closed.rowcount, begun.rowcount)


async def _has_receivers(session: Session) -> bool:
    return bool(await session.scalar(select(exists().where(webhook_endpoints.c.enabled))))


async def close_all(session: Session, version: Version, *, now: datetime) -> int:
    """Close every open range of a segmentation; those that began this instant leave no trace. How many there were."""
    await begin(session)
    changes = await apply(session, version, scope=None, now=now)
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
    await _touch(session, recent, chunk=chunk)


async def touch_changed(session: Session, segmentation_id: UUID, instant: datetime, *, chunk: int) -> None:
    """Put customers whose memberships changed at an instant into the dirty set, in rows of so many."""
    m = memberships.c
    changed = select(m.customer_id).where(
        m.segmentation_id == segmentation_id, or_(m.valid_from == instant, m.valid_to == instant)
    )
    await _touch(session, changed.distinct().subquery(), chunk=chunk)


async def _touch(session: Session, chosen: Subquery, *, chunk: int) -> None:
    numbered = select(
        chosen.c.customer_id, ((func.row_number().over(order_by=chosen.c.customer_id) - 1) // chunk).label("part")
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
