"""Global holdouts: customers kept out of every campaign, so that all campaigns together can be judged."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import Session
from app.errors import BadWindow, Conflict, FieldError, HoldoutNotFound
from app.measurement.campaigns.arms import below, drawn, holdout_key
from app.tables.campaigns import global_holdouts

_h = global_holdouts.c


async def create(session: Session, *, share: float, starts_at: datetime | None, now: datetime) -> dict[str, Any]:
    """Begin a holdout. Raises Conflict while another one lasts, BadWindow for one in the past."""
    start = starts_at or now
    if start < now:
        detail = "a holdout cannot begin in the past: its customers were in campaigns then"
        raise BadWindow(detail, errors=[FieldError("/starts_at", "bad_window", detail)])
    statement = insert(global_holdouts).values(share=share, starts_at=start, created_at=now)
    row = (await session.execute(statement.on_conflict_do_nothing().returning(*global_holdouts.c))).mappings().first()
    if row is None:
        raise Conflict("Another global holdout lasts: end it first")
    return dict(row)


async def end(session: Session, holdout_id: UUID, *, now: datetime) -> dict[str, Any]:
    """End a holdout now; one that has not begun yet ends as it begins. Raises HoldoutNotFound, Conflict."""
    ends = func.greatest(now, _h.starts_at + func.make_interval(0, 0, 0, 0, 0, 0, 0.000001))
    ended = update(global_holdouts).where(_h.holdout_id == holdout_id, _h.ends_at.is_(None)).values(ends_at=ends)
    row = (await session.execute(ended.returning(*global_holdouts.c))).mappings().one_or_none()
    if row is not None:
        return dict(row)
    if await session.scalar(select(_h.holdout_id).where(_h.holdout_id == holdout_id)) is None:
        raise HoldoutNotFound()
    raise Conflict("This holdout has ended already")


async def page(session: Session, *, limit: int, after: tuple[datetime, UUID] | None) -> list[dict[str, Any]]:
    """Holdouts, newest first; at most limit + 1."""
    query = select(*global_holdouts.c).order_by(_h.created_at.desc(), _h.holdout_id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(func.row(_h.created_at, _h.holdout_id) < func.row(after[0], after[1]))
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def lasting(session: Session, *, at: datetime) -> list[dict[str, Any]]:
    """The holdouts that are on at an instant: one, as a rule, or none."""
    on = _h.starts_at <= at, or_(_h.ends_at.is_(None), _h.ends_at > at)
    return [dict(row) for row in (await session.execute(select(_h.holdout_id, _h.share).where(*on))).mappings()]


def held_out(
    holdouts: Sequence[dict[str, Any]], customer_id: ColumnElement[str], *, secret: bytes
) -> ColumnElement[bool]:
    """Whether a customer is in one of these holdouts."""
    each = [below(drawn(holdout_key(secret, row["holdout_id"]), customer_id), row["share"]) for row in holdouts]
    return or_(*each) if each else literal(value=False)
