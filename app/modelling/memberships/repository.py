"""Reading memberships in SQL."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, tuple_

from app.db.engine import Session, driver
from app.tables.segments import memberships, segmentation_versions, segmentations, segments

STREAMED_AT_ONCE = 1_000

# Per identifier asked: whether it is a customer, and a row per membership open now, or nulls without one. One
# statement for one customer and for ten thousand; prepared once per connection. The identifiers come as the text
# of an array: the driver takes as long over a list of eight as over all the rest of a look-up.
_COLUMNS = """
select asked.customer_id, c.customer_id is not null, m.segment_id, m.version, m.since,
       greatest(m.evaluated_at, case when m.valid_to is null then v.refreshed_at end), m.confidence, m.reason::text
  from unnest(cast(%(ids)s as text[])) as asked (customer_id)
  left join customers c on c.customer_id = asked.customer_id collate "C"
"""
_VERSION = """
  left join segmentation_versions v on v.segmentation_id = m.segmentation_id and v.version = m.version
"""
_CURRENT = f"""{_COLUMNS} left join memberships m on m.customer_id = c.customer_id
   and m.valid_to is null {_VERSION}""".encode()
# The same for the memberships of a past instant.
_AT_INSTANT = f"""{_COLUMNS} left join memberships m on m.customer_id = c.customer_id
   and m.valid_from <= %(as_of)s and (m.valid_to is null or m.valid_to > %(as_of)s) {_VERSION}""".encode()

# customer_id, whether it is one, segment_id, version, since, evaluated_at, confidence, reason as JSON text
Row = tuple[str, bool, UUID | None, int, datetime, datetime, float | None, str]


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What never changes about a segment."""

    segmentation_id: UUID
    segmentation: str
    key: str
    name: str


async def read_current(cursor: psycopg.AsyncCursor, customer_ids: Sequence[str]) -> list[Row]:
    """Open memberships of these customers, each identifier once; see _CURRENT."""
    await cursor.execute(_CURRENT, {"ids": _array(customer_ids)})
    return await cursor.fetchall()


async def read_rows(session: Session, customer_ids: Sequence[str], *, as_of: datetime | None) -> list[Row]:
    """Memberships of these customers, open now or valid at an instant; see _CURRENT and _AT_INSTANT."""
    connection = await driver(session)
    async with connection.cursor(binary=True) as cursor:
        if as_of is None:
            return await read_current(cursor, customer_ids)
        await cursor.execute(_AT_INSTANT, {"ids": _array(customer_ids), "as_of": as_of})
        return await cursor.fetchall()


async def placed_by(session: Session, customer_id: str, *, as_of: datetime | None) -> list[tuple[UUID, int, str]]:
    """By which version a customer is in which segment, now or at an instant: segmentation_id, version, key."""
    m = memberships.c
    at = m.valid_to.is_(None) if as_of is None else _valid_at(as_of)
    query = select(m.segmentation_id, m.version, segments.c.key).join(segments, segments.c.segment_id == m.segment_id)
    return [tuple(row) for row in await session.execute(query.where(m.customer_id == customer_id, at))]


def _valid_at(as_of: datetime) -> ColumnElement[bool]:
    m = memberships.c
    return and_(m.valid_from <= as_of, or_(m.valid_to.is_(None), m.valid_to > as_of))


def _array(texts: Sequence[str]) -> str:
    """The text form of a PostgreSQL array."""
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return '{"' + '","'.join(quoted) + '"}' if texts else "{}"


async def read_names(connection: psycopg.AsyncConnection) -> dict[UUID, SegmentName]:
    """The names of all segments, by segment."""
    query = """select g.segment_id, g.segmentation_id, s.name, g.key, g.name
                 from segments g join segmentations s on s.segmentation_id = g.segmentation_id"""
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query)
        return {row[0]: SegmentName(*row[1:]) for row in await cursor.fetchall()}


async def history(
    session: Session, customer_id: str, *, limit: int, before: Sequence[Any] | None
) -> list[dict[str, Any]]:
    """Every range of a customer, newest first; valid_to null: it lasts. At most limit + 1."""
    m, g = memberships.c, segments.c
    query = (
        select(
            m.segmentation_id,
            segmentations.c.name.label("segmentation"),
            m.version,
            m.segment_id,
            g.key.label("segment_key"),
            g.name.label("segment_name"),
            m.valid_from,
            m.valid_to,
            m.since,
            m.confidence,
            m.reason,
        )
        .join_from(memberships, segments, g.segment_id == m.segment_id)
        .join(segmentations, segmentations.c.segmentation_id == m.segmentation_id)
        .where(m.customer_id == customer_id)
        .order_by(m.valid_from.desc(), m.segmentation_id.desc())
        .limit(limit + 1)
    )
    if before is not None:
        position = (datetime.fromisoformat(before[0]), UUID(before[1]))
        query = query.where(tuple_(m.valid_from, m.segmentation_id) < position)
    return [dict(row) for row in (await session.execute(query)).mappings()]


def _members(segment_id: UUID, as_of: datetime | None) -> Select[Any]:
    """One row per member, in order of identifier."""
    m, v = memberships.c, segmentation_versions.c
    refreshed = case((m.valid_to.is_(None), v.refreshed_at))
    return (
        select(
            m.customer_id,
            m.version,
            m.since,
            func.greatest(m.evaluated_at, refreshed).label("evaluated_at"),
            m.confidence,
            m.reason,
        )
        .join_from(
            memberships,
            segmentation_versions,
            and_(v.segmentation_id == m.segmentation_id, v.version == m.version),
            isouter=True,
        )
        .where(m.segment_id == segment_id, _valid(as_of))
        .order_by(m.customer_id)
    )


def _valid(as_of: datetime | None) -> ColumnElement[bool]:
    m = memberships.c
    if as_of is None:
        return m.valid_to.is_(None)
    return and_(m.valid_from <= as_of, or_(m.valid_to.is_(None), m.valid_to > as_of))


async def members(
    session: Session, segment_id: UUID, *, as_of: datetime | None, limit: int, after: str | None
) -> list[dict[str, Any]]:
    """Members after an identifier, in order; at most limit + 1."""
    query = _members(segment_id, as_of).limit(limit + 1)
    if after is not None:
        query = query.where(memberships.c.customer_id > after)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def all_members(
    session: Session, segment_id: UUID, *, as_of: datetime | None
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """All members in order, some at a time, from one snapshot; the server holds the rest."""
    rows = await session.stream(_members(segment_id, as_of), execution_options={"yield_per": STREAMED_AT_ONCE})
    async for part in rows.mappings().partitions():
        yield [dict(row) for row in part]


async def segment_exists(session: Session, segment_id: UUID) -> bool:
    query = select(select(segments).where(segments.c.segment_id == segment_id).exists())
    return bool(await session.scalar(query))
