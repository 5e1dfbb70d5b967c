"""Who was in which segment when, so that every fact counts to the segment of its time: for all figures by segment."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Subquery,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
)

from app.db.engine import Session
from app.tables.segments import memberships, segmentations, segments

_INSTANT = DateTime(timezone=True)


async def segmentation_exists(session: Session, segmentation_id: UUID) -> bool:
    """Whether there is such a segmentation, active or not."""
    found = exists().where(segmentations.c.segmentation_id == segmentation_id)
    return bool(await session.scalar(select(found)))


def with_segment(
    joined: FromClause, segmentation_id: UUID | None, *, customer_id: ColumnElement[Any], at: ColumnElement[Any]
) -> tuple[FromClause, ColumnElement[Any]]:
    """Every row with the segment that its customer was in then, or null."""
    spell = spells(memberships.c.segmentation_id == segmentation_id)
    then = and_(spell.c.customer_id == customer_id, at >= spell.c.starts_at, at < spell.c.ends_at)
    return joined.outerjoin(spell, then), spell.c.segment_id


def spells(*of: ColumnElement[bool]) -> Subquery:
    """Per customer, segmentation and stretch of time [starts_at, ends_at) in a segment: never two at one time.

    Of these memberships. The first reaches back to the beginning of time: a segmentation made today speaks about the
    past, too.
    """
    m = memberships.c
    one: dict[str, Any] = {"partition_by": (m.customer_id, m.segmentation_id), "order_by": m.valid_from}
    before, after = func.lag(m.valid_from).over(**one), func.lead(m.valid_from).over(**one)
    return (
        select(
            m.customer_id,
            m.segmentation_id,
            m.segment_id,
            case((before.is_(None), _forever("-infinity")), else_=m.valid_from).label("starts_at"),
            func.least(func.coalesce(m.valid_to, _forever("infinity")), after).label("ends_at"),
        )
        .join(segments, and_(segments.c.segment_id == m.segment_id, segments.c.segmentation_id == m.segmentation_id))
        .where(*of)
        .subquery("spells")
    )


def _forever(which: str) -> ColumnElement[object]:
    return cast(literal(which, type_=Text), _INSTANT)
