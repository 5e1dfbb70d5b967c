"""The outbox in SQL: from changes of memberships to messages, from messages to attempts and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from app.activation.webhooks.sending import Message
from app.db.engine import Session
from app.tables.customers import customers
from app.tables.privacy import PEOPLE_LOCK
from app.tables.segments import membership_changes, segmentations, segments
from app.tables.webhooks import webhook_deliveries, webhook_endpoints

_d, _e, _c = webhook_deliveries.c, webhook_endpoints.c, customers.c

# Marketing needs a yes. Profiling needs no no: the membership itself is the profile, and it exists.
MAY_BE_TOLD_OF = and_(_c.consent_marketing.is_(True), _c.consent_profiling.is_not(False))


@dataclass(frozen=True, slots=True)
class Claimed:
    """Messages of one endpoint that this process is to send before the lease ends, and what it takes to do so."""

    url: str
    secret_generation: int
    rotated_at: datetime | None
    messages: list[Message]


async def hold_people(session: Session) -> None:
    """Keep merges and erasures waiting until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(PEOPLE_LOCK)))


async def commit_without_waiting(session: Session) -> None:
    """Let this transaction's commit reach the disk a moment later. Claims and outcomes that a crash of the database
    takes away cost a message sent twice, which is promised anyway, and never one that is lost."""
    await session.execute(select(func.set_config("synchronous_commit", "off", true())))


async def fan_out(session: Session, *, at_most: int, now: datetime) -> int:
    """Turn the oldest changes into a message for each endpoint that asked for it; how many changes were taken.

    A change of somebody who was erased or may not be told of makes no message. Needs hold_people.
    """
    oldest = (
        select(membership_changes.c.change_id)
        .order_by(membership_changes.c.change_id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    taken = (
        delete(membership_changes)
        .where(membership_changes.c.change_id.in_(oldest.scalar_subquery()))
        .returning(*membership_changes.c)
        .cte("taken")
    )
    columns = ["endpoint_id", "event", "customer_id", "payload", "status", "created_at", "next_attempt_at"]
    put = insert(webhook_deliveries).from_select(columns, _messages(taken, now=now)).returning(literal(1)).cte("put")
    counted = select(
        select(func.count()).select_from(taken).scalar_subquery(),
        select(func.count()).select_from(put).scalar_subquery(),
    )
    return int((await session.execute(counted)).scalar_one())


def _messages(taken: CTE, *, now: datetime) -> Any:
    """One row per change, side of it, and endpoint; those who left before those who entered."""
    sides = union_all(
        *(
            select(*taken.c, literal(event).label("event"), segment_id.label("segment_id")).where(
                segment_id.is_not(None)
            )
            for event, segment_id in (
                ("segment.left", taken.c.left_segment_id),
                ("segment.entered", taken.c.entered_segment_id),
            )
        )
    ).subquery("sides")
    at = func.replace(func.btrim(cast(func.to_json(sides.c.changed_at), Text), '"'), "+00:00", "Z")
    data = func.jsonb_build_object(
        *("customer_id", sides.c.customer_id, "segmentation_id", sides.c.segmentation_id),
        *("segmentation", segmentations.c.name, "segment_id", sides.c.segment_id, "segment_key", segments.c.key),
        *("segment_name", segments.c.name, "version", sides.c.version, "at", at),
    )
    payload = func.jsonb_build_object("type", sides.c.event, "timestamp", at, "data", data)
    asked = and_(
        _e.enabled,
        sides.c.event == any_(_e.events),
        or_(_e.segment_ids.is_(None), sides.c.segment_id == any_(_e.segment_ids)),
    )
    instant = literal(now, _d.created_at.type)
    return (
        select(_e.endpoint_id, sides.c.event, sides.c.customer_id, payload, literal("pending"), instant, instant)
        .join_from(sides, customers, _c.customer_id == sides.c.customer_id)
        .join(segments, segments.c.segment_id == sides.c.segment_id)
        .join(segmentations, segmentations.c.segmentation_id == sides.c.segmentation_id)
        .join(webhook_endpoints, asked)
        .where(MAY_BE_TOLD_OF)
        .order_by(sides.c.change_id, sides.c.event.desc())
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(_d.status == "pending", _d.next_attempt_at <= now)


async def endpoints_with_work(session: Session, *, now: datetime) -> list[UUID]:
    """Enabled endpoints for which a message is due."""
    query = select(_e.endpoint_id).where(_e.enabled, exists().where(_d.endpoint_id == _e.endpoint_id, _is_due(now)))
    return list((await session.execute(query)).scalars())


async def claim(session: Session, endpoint_id: UUID, *, at_most: int, now: datetime, until: datetime) -> Claimed | None:
    """Due messages of an endpoint, longest due first, that nobody else will claim before `until`; null: none is due.

    Of somebody who has been erased since, or who may no longer be told of, the message is deleted instead.
    Needs hold_people.
    """
    endpoint = (
        await session.execute(select(webhook_endpoints).where(_e.endpoint_id == endpoint_id, _e.enabled))
    ).one_or_none()
    if endpoint is None:
        return None
    due = (
        select(_d.delivery_id)
        .where(_d.endpoint_id == endpoint_id, _is_due(now))
        .order_by(_d.next_attempt_at, _d.delivery_id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    claiming = (
        update(webhook_deliveries)
        .where(_d.delivery_id.in_(due.scalar_subquery()))
        .values(attempts=_d.attempts + 1, next_attempt_at=until)
        .returning(_d.delivery_id, _d.message_id, _d.payload, _d.attempts)
    )
    rows = (await session.execute(claiming)).all()
    if not rows:
        return None
    gone = await _drop_untellable(session, [row.delivery_id for row in rows])
    return Claimed(
        endpoint.url,
        endpoint.secret_generation,
        endpoint.rotated_at,
        [Message(*row) for row in rows if row.delivery_id not in gone],
    )


async def _drop_untellable(session: Session, delivery_ids: Sequence[int]) -> set[int]:
    """Delete those of these messages whose customer is gone or may not be told of; which they were."""
    tellable = exists().where(_c.customer_id == _d.customer_id, MAY_BE_TOLD_OF)
    dropping = (
        delete(webhook_deliveries)
        .where(_d.delivery_id.in_(delivery_ids), _d.customer_id.is_not(None), ~tellable)
        .returning(_d.delivery_id)
    )
    return set((await session.execute(dropping)).scalars())


async def record(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write what came of attempts, of each by its delivery_id and number `attempts`.

    A message that was replayed, claimed anew or deleted meanwhile stays as it is now.
    """
    values = ("status", "last_status_code", "last_error", "next_attempt_at", "delivered_at")
    statement = (
        update(webhook_deliveries)
        .where(_d.delivery_id == bindparam("of_delivery"), _d.attempts == bindparam("of_attempt"))
        .values({name: bindparam(f"new_{name}") for name in values})
    )
    parameters = [
        {
            "of_delivery": row["delivery_id"],
            "of_attempt": row["attempts"],
            **{f"new_{name}": row[name] for name in values},
        }
        for row in rows
    ]
    await session.execute(statement, parameters)


async def disable(session: Session, endpoint_id: UUID, *, url: str, reason: str) -> None:
    """Stop sending to an endpoint, unless its URL has changed meanwhile."""
    await session.execute(
        update(webhook_endpoints)
        .where(_e.endpoint_id == endpoint_id, _e.url == url)
        .values(enabled=False, disabled_reason=reason)
    )


async def forget(session: Session, *, before: datetime, at_most: int) -> int:
    """Delete the oldest messages from before an instant that nobody will send; how many there were."""
    sleeping = exists().where(_e.endpoint_id == _d.endpoint_id, ~_e.enabled)
    old = (
        select(_d.delivery_id)
        .where(_d.created_at < before, or_(_d.status != "pending", sleeping))
        .where(or_(_d.delivered_at.is_(None), _d.delivered_at < before))
        .order_by(_d.delivery_id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    dropping = delete(webhook_deliveries).where(_d.delivery_id.in_(old.scalar_subquery()))
    return (await session.execute(dropping)).rowcount
