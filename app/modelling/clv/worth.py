"""Customer equity in SQL: what customers are worth together, now and whenever everybody was scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, cast, func, insert, select

from app.db.engine import Session
from app.modelling.clv.showing import MOST_MINOR
from app.modelling.features.compiler import Range
from app.tables.predictions import clv_equity, clv_scores
from app.tables.segments import memberships, segmentations, segments

SHOWN_MEASUREMENTS = 60


@dataclass(frozen=True, slots=True)
class Together:
    """Customers of a segment (null: everybody who ever bought), how many have a value, and their values together."""

    segmentation_id: UUID | None
    segment_id: UUID | None
    key: str
    name: str
    customers: int
    valued: int
    equity_minor: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Customer equity of a segment (null: of everybody) when everybody was scored."""

    segment_id: UUID | None
    measured_at: datetime
    model_id: UUID
    customers: int
    equity_minor: int
    low_minor: int | None
    high_minor: int | None


_s = clv_scores.c
_SUMS = (
    func.count(_s.clv_minor),
    cast(func.least(func.coalesce(func.sum(_s.clv_minor), 0), int(MOST_MINOR)), BigInteger),
)


async def of_everybody(session: Session, model_id: UUID) -> Together:
    """Everybody whom a model has scored."""
    row = (await session.execute(select(func.count(), *_SUMS).where(_s.model_id == model_id))).one()
    return Together(None, None, "", "", *row)


async def by_segment(session: Session, model_id: UUID, segmentation_id: UUID | None = None) -> list[Together]:
    """One row per segment with members now, of one segmentation or of all, in their order.

    Customers are the members, those who never bought among them.
    """
    m, g = memberships.c, segments.c
    counted = (
        select(m.segment_id, func.count().label("customers"), *(each.label(f"sum_{n}") for n, each in enumerate(_SUMS)))
        .outerjoin_from(memberships, clv_scores, (_s.model_id == model_id) & (_s.customer_id == m.customer_id))
        .where(m.valid_to.is_(None))
        .group_by(m.segment_id)
    )
    if segmentation_id is not None:
        counted = counted.where(m.segmentation_id == segmentation_id)
    c = counted.subquery("counted")
    query = (
        select(g.segmentation_id, g.segment_id, g.key, g.name, c.c.customers, c.c.sum_0, c.c.sum_1)
        .join_from(segments, c, c.c.segment_id == g.segment_id)
        .order_by(g.segmentation_id, g.position, g.key)
    )
    return [Together(*row) for row in await session.execute(query)]


async def measurements(session: Session, segment_ids: Sequence[UUID]) -> list[Measurement]:
    """When everybody was scored, by whichever model, newest first, at most so many of each: of everybody together and
    of these segments.
    """
    e = clv_equity.c
    place = func.row_number().over(partition_by=e.segment_id, order_by=e.measured_at.desc()).label("place")
    columns = [e[name] for name in Measurement.__slots__]
    ranked = select(*columns, place).where(e.segment_id.is_(None) | e.segment_id.in_(segment_ids)).subquery("ranked")
    query = (
        select(*(ranked.c[name] for name in Measurement.__slots__))
        .where(ranked.c.place <= SHOWN_MEASUREMENTS)
        .order_by(ranked.c.measured_at.desc(), ranked.c.segment_id)
    )
    return [Measurement(*row) for row in await session.execute(query)]


async def measure(session: Session, found: Sequence[Measurement]) -> None:
    """Keep what was measured; once per model, time and segment."""
    e = clv_equity.c
    rows = [{name: getattr(each, name) for name in Measurement.__slots__} for each in found]
    if rows:
        first = rows[0]
        await session.execute(
            clv_equity.delete().where(e.model_id == first["model_id"], e.measured_at == first["measured_at"])
        )
        await session.execute(insert(clv_equity), rows)


async def members_of(session: Session, around: Range) -> list[tuple[str, UUID]]:
    """Who of a range is in which segment now: customer and segment, a row each."""
    m = memberships.c
    query = select(m.customer_id, m.segment_id).where(
        m.valid_to.is_(None), m.customer_id > around.after, m.customer_id <= around.upto
    )
    return [(row[0], row[1]) for row in await session.execute(query)]


async def segment_exists(session: Session, segment_id: UUID) -> bool:
    return bool(await session.scalar(select(segments.c.segment_id).where(segments.c.segment_id == segment_id)))


async def segmentation_exists(session: Session, segmentation_id: UUID) -> bool:
    s = segmentations.c.segmentation_id
    return bool(await session.scalar(select(s).where(s == segmentation_id)))
