"""Who moved where between two instants, counted from the very ranges that memberships are."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Subquery, and_, func, or_, select

from app.db.engine import Session
from app.tables.segments import memberships, segments

_m = memberships.c


async def transitions(
    session: Session, segmentation_id: UUID, *, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Customers by where they were at the one instant and at the other, most first; null: in no segment.

    Customers in no segment at both instants are not among them.
    """
    before = _held(segmentation_id, start, "before")
    after = _held(segmentation_id, end, "after")
    both = before.join(after, before.c.customer_id == after.c.customer_id, full=True)
    counted = (
        select(before.c.segment_id.label("from_id"), after.c.segment_id.label("to_id"), func.count().label("customers"))
        .select_from(both)
        .group_by(before.c.segment_id, after.c.segment_id)
        .subquery()
    )
    left, entered = segments.alias("left_one"), segments.alias("entered_one")
    query = (
        select(
            left.c.segment_id.label("from_segment_id"),
            left.c.key.label("from_key"),
            entered.c.segment_id.label("to_segment_id"),
            entered.c.key.label("to_key"),
            counted.c.customers,
        )
        .select_from(counted)
        .outerjoin(left, left.c.segment_id == counted.c.from_id)
        .outerjoin(entered, entered.c.segment_id == counted.c.to_id)
        .order_by(counted.c.customers.desc(), left.c.position.nulls_last(), entered.c.position.nulls_last())
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]


def _held(segmentation_id: UUID, at: datetime, name: str) -> Subquery:
    """Who was in which segment at an instant."""
    held: ColumnElement[bool] = and_(
        _m.segmentation_id == segmentation_id, _m.valid_from <= at, or_(_m.valid_to.is_(None), _m.valid_to > at)
    )
    return select(_m.customer_id, _m.segment_id).where(held).subquery(name)
