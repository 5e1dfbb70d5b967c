"""Webhook endpoints and their deliveries in SQL, as the API shows them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, true, update

from app.db.engine import Session
from app.tables.segments import segments
from app.tables.webhooks import webhook_deliveries, webhook_endpoints

# Advisory lock of whoever adds an endpoint, so that two at once do not pass the bound together.
ENDPOINTS_LOCK = 7_355_608_030

_d, _e = webhook_deliveries.c, webhook_endpoints.c
_SHOWN = (
    *(_e.endpoint_id, _e.url, _e.description, _e.events, _e.segment_ids, _e.enabled, _e.disabled_reason),
    *(_e.created_at, _e.rotated_at),
)
_DELIVERY = [column for column in _d if column.name not in ("endpoint_id", "payload")]


def _endpoints() -> Select[Any]:
    """One row per endpoint; pending is 0 and oldest_pending_at null where nothing waits."""
    waiting = (
        select(func.count().label("pending"), func.min(_d.created_at).label("oldest_pending_at"))
        .where(_d.endpoint_id == _e.endpoint_id, _d.status == "pending")
        .lateral("waiting")
    )
    return select(*_SHOWN, waiting.c.pending, waiting.c.oldest_pending_at).join_from(webhook_endpoints, waiting, true())


async def create(session: Session, values: Mapping[str, Any]) -> UUID:
    """Add an endpoint; its id."""
    statement = insert(webhook_endpoints).values(**values).returning(_e.endpoint_id)
    found: UUID = (await session.execute(statement)).scalar_one()
    return found


async def count(session: Session) -> int:
    """How many endpoints there are, enabled or not, once nobody else is adding one."""
    await session.execute(select(func.pg_advisory_xact_lock(ENDPOINTS_LOCK)))
    return int((await session.execute(select(func.count()).select_from(webhook_endpoints))).scalar_one())


async def page(session: Session, *, limit: int, after: tuple[datetime, UUID] | None) -> list[dict[str, Any]]:
    """Endpoints, newest first; at most limit + 1."""
    query = _endpoints().order_by(_e.created_at.desc(), _e.endpoint_id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(func.row(_e.created_at, _e.endpoint_id) < func.row(after[0], after[1]))
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def find(session: Session, endpoint_id: UUID) -> dict[str, Any] | None:
    """One endpoint; null when there is none."""
    row = (await session.execute(_endpoints().where(_e.endpoint_id == endpoint_id))).mappings().one_or_none()
    return dict(row) if row else None


async def change(session: Session, endpoint_id: UUID, values: Mapping[str, Any]) -> bool:
    """Set columns of an endpoint; false when there is none."""
    statement = update(webhook_endpoints).where(_e.endpoint_id == endpoint_id).values(**values)
    return (await session.execute(statement.returning(_e.endpoint_id))).one_or_none() is not None


async def rotate(session: Session, endpoint_id: UUID, *, now: datetime) -> int | None:
    """Move an endpoint to its next secret; the new generation, null when there is no such endpoint."""
    statement = (
        update(webhook_endpoints)
        .where(_e.endpoint_id == endpoint_id)
        .values(secret_generation=_e.secret_generation + 1, rotated_at=now)
        .returning(_e.secret_generation)
    )
    found: int | None = (await session.execute(statement)).scalar_one_or_none()
    return found


async def remove(session: Session, endpoint_id: UUID) -> bool:
    """Delete an endpoint with all its deliveries; false when there is none."""
    statement = delete(webhook_endpoints).where(_e.endpoint_id == endpoint_id).returning(_e.endpoint_id)
    return (await session.execute(statement)).one_or_none() is not None


async def unknown_segments(session: Session, segment_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these ids that no segment has."""
    query = select(segments.c.segment_id).where(segments.c.segment_id.in_(segment_ids))
    return set(segment_ids) - set((await session.execute(query)).scalars())


async def add_test(session: Session, endpoint_id: UUID, *, payload: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A message about nobody, due at once."""
    values = {"event": payload["type"], "payload": payload, "status": "pending"}
    statement = (
        insert(webhook_deliveries)
        .values(endpoint_id=endpoint_id, created_at=now, next_attempt_at=now, **values)
        .returning(*_DELIVERY)
    )
    return dict((await session.execute(statement)).mappings().one())


async def deliveries(
    session: Session, endpoint_id: UUID, *, status: str | None, limit: int, before: int | None
) -> list[dict[str, Any]]:
    """Messages of an endpoint, newest first, before the given delivery_id; at most limit + 1."""
    query = select(*_DELIVERY).where(_d.endpoint_id == endpoint_id).order_by(_d.delivery_id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(_d.status == status)
    if before is not None:
        query = query.where(_d.delivery_id < before)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def replay(
    session: Session, endpoint_id: UUID, *, since: datetime, until: datetime | None, status: str, now: datetime
) -> int:
    """Make messages of this status made in [since, until) due again, with all attempts before them; how many."""
    statement = (
        update(webhook_deliveries)
        .where(_d.endpoint_id == endpoint_id, _d.status == status, _d.created_at >= since)
        .values(status="pending", attempts=0, next_attempt_at=now, delivered_at=None)
    )
    if until is not None:
        statement = statement.where(_d.created_at < until)
    return (await session.execute(statement)).rowcount
