"""Campaigns in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import Session
from app.tables.campaigns import campaigns, initiatives
from app.tables.segments import segments

_c = campaigns.c


async def create(session: Session, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Store a campaign and give it back; null when the identifier is taken."""
    statement = insert(campaigns).values(**values).on_conflict_do_nothing(index_elements=["campaign_id"])
    row = (await session.execute(statement.returning(*campaigns.c))).mappings().one_or_none()
    return dict(row) if row else None


async def find(session: Session, campaign_id: str, *, locked: bool = False) -> dict[str, Any] | None:
    """One campaign; null when there is none. locked: others who want it so wait."""
    if "\x00" in campaign_id:
        return None
    query = select(*campaigns.c).where(_c.campaign_id == campaign_id)
    row = (await session.execute(query.with_for_update() if locked else query)).mappings().one_or_none()
    return dict(row) if row else None


async def page(session: Session, *, limit: int, before: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Campaigns, newest first; at most limit + 1."""
    query = select(*campaigns.c).order_by(_c.created_at.desc(), _c.campaign_id.desc()).limit(limit + 1)
    if before is not None:
        position = datetime.fromisoformat(before[0]), before[1]
        query = query.where(func.row(_c.created_at, _c.campaign_id) < func.row(*position))
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def of_initiative(session: Session, initiative_id: str) -> list[dict[str, Any]]:
    """The campaigns that serve an initiative, by start."""
    query = select(*campaigns.c).where(_c.initiative_id == initiative_id).order_by(_c.starts_at, _c.campaign_id)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def known_segments(session: Session, segment_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these segments exist."""
    return set(await session.scalars(select(segments.c.segment_id).where(segments.c.segment_id.in_(segment_ids))))


async def initiative_exists(session: Session, initiative_id: str) -> bool:
    """Whether there is such an initiative."""
    found = select(initiatives).where(initiatives.c.initiative_id == initiative_id).exists()
    return bool(await session.scalar(select(found)))
