"""Refused rows in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, update

from app.db.engine import Session
from app.records.rejections.schemas import Filters
from app.tables.intake import rejections

_r = rejections.c


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    query = query.where(_r.status == filters.status)
    if filters.kind is not None:
        query = query.where(_r.kind == filters.kind)
    return query if filters.code is None else query.where(_r.code == filters.code)


async def sizes(session: Session, filters: Filters, *, limit: int, before: int | None) -> list[tuple[int, int]]:
    """Refused rows, newest first, before the given one, with the bytes of their payloads; at most limit + 1."""
    query = _filtered(select(_r.rejection_id, func.octet_length(_r.payload)), filters)
    if before is not None:
        query = query.where(_r.rejection_id < before)
    rows = await session.execute(query.order_by(_r.rejection_id.desc()).limit(limit + 1))
    return [(row[0], row[1]) for row in rows]


async def some(session: Session, rejection_ids: Sequence[int]) -> list[dict[str, Any]]:
    """These refused rows, newest first."""
    query = select(rejections).where(_r.rejection_id.in_(rejection_ids)).order_by(_r.rejection_id.desc())
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def find(session: Session, rejection_id: int) -> dict[str, Any] | None:
    """One refused row, or null when there is none."""
    found = await some(session, [rejection_id])
    return found[0] if found else None


async def resolve(session: Session, rejection_id: int, *, now: datetime) -> None:
    statement = update(rejections).where(_r.rejection_id == rejection_id)
    await session.execute(statement.values(status="resolved", retried_at=now))


async def renew(session: Session, rejection_id: int, *, now: datetime, values: dict[str, Any]) -> None:
    """Keep what the last try said and was given."""
    statement = update(rejections).where(_r.rejection_id == rejection_id)
    await session.execute(statement.values(retried_at=now, **values))
