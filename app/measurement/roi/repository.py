"""Initiatives in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import Session
from app.tables.campaigns import initiatives

_i = initiatives.c


async def create(session: Session, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Store an initiative and give it back; null when the identifier is taken."""
    statement = insert(initiatives).values(**values).on_conflict_do_nothing(index_elements=["initiative_id"])
    row = (await session.execute(statement.returning(*_i))).mappings().one_or_none()
    return dict(row) if row else None


async def find(session: Session, initiative_id: str) -> dict[str, Any] | None:
    """One initiative; null when there is none."""
    if "\x00" in initiative_id:
        return None
    row = (await session.execute(select(*_i).where(_i.initiative_id == initiative_id))).mappings().one_or_none()
    return dict(row) if row else None


async def page(session: Session, *, limit: int, before: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Initiatives, newest first; at most limit + 1."""
    query = select(*_i).order_by(_i.created_at.desc(), _i.initiative_id.desc()).limit(limit + 1)
    if before is not None:
        position = datetime.fromisoformat(before[0]), before[1]
        query = query.where(func.row(_i.created_at, _i.initiative_id) < func.row(*position))
    return [dict(row) for row in (await session.execute(query)).mappings()]
