"""Segmentations, their versions and their segments in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, case, delete, exists, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.engine import Session
from app.tables.jobs import jobs
from app.tables.registry import models
from app.tables.segments import memberships, segment_exceptions, segmentation_versions, segmentations, segments

UNFINISHED = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Version:
    """One fitted version as evaluation needs it; segment_ids by key, in the order of the segments."""

    segmentation_id: UUID
    version: int
    status: str
    method: str
    as_of: datetime
    refreshed_at: datetime | None
    model: Mapping[str, Any]
    model_id: UUID | None
    profile: Mapping[str, Any]
    segment_ids: Mapping[str, UUID]
    segment_names: Mapping[str, str]


async def create(session: Session, *, name: str, method: str, request: Mapping[str, Any]) -> UUID | None:
    """A segmentation that has learned nothing yet; null when the name is taken."""
    statement = (
        upsert(segmentations)
        .values(name=name, method=method, request=request)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(segmentations.c.segmentation_id)
    )
    created: UUID | None = await session.scalar(statement)
    return created


async def forget_failed(session: Session, name: str) -> None:
    """Remove the segmentation of this name whose training ended without a version: the name is free again."""
    s = segmentations.c
    trained = exists().where(segmentation_versions.c.segmentation_id == s.segmentation_id)
    training = exists().where(
        jobs.c.job_id == func.cast(s.request["job_id"].astext, jobs.c.job_id.type), jobs.c.status.in_(UNFINISHED)
    )
    await session.execute(delete(segmentations).where(s.name == name, ~trained, ~training))


async def requested(session: Session, segmentation_id: UUID, *, hold: bool = False) -> dict[str, Any] | None:
    """How a segmentation was asked for: name, method, request, versions (the newest's number); null: there is none.

    hold: keep others from asking for more of it until the transaction ends.
    """
    versions = (
        select(func.coalesce(func.max(segmentation_versions.c.version), 0))
        .where(segmentation_versions.c.segmentation_id == segmentations.c.segmentation_id)
        .scalar_subquery()
    )
    s = segmentations.c
    query = select(s.name, s.method, s.request, versions.label("versions")).where(s.segmentation_id == segmentation_id)
    row = (await session.execute(query.with_for_update(of=segmentations) if hold else query)).mappings().one_or_none()
    return dict(row) if row else None


async def add_version(
    session: Session, segmentation_id: UUID, *, values: Mapping[str, Any], named: Sequence[tuple[str, str]]
) -> None:
    """Add a candidate with the keys and names of its segments in order; a segment that has a key keeps its id."""
    await session.execute(
        insert(segmentation_versions).values(segmentation_id=segmentation_id, status="candidate", **values)
    )
    rows = [
        {"segmentation_id": segmentation_id, "key": key, "name": name, "position": position}
        for position, (key, name) in enumerate(named)
    ]
    statement = upsert(segments).values(rows)
    await session.execute(statement.on_conflict_do_nothing(index_elements=["segmentation_id", "key"]))


async def shown_version(session: Session, segmentation_id: UUID) -> Version | None:
    """The active version of a segmentation, else its newest; null: nothing was learned yet, or no such one."""
    v = segmentation_versions.c
    query = (
        select(v.version)
        .where(v.segmentation_id == segmentation_id)
        .order_by((v.status == "active").desc(), v.version.desc())
        .limit(1)
    )
    version = await session.scalar(query)
    found = await _versions(session, v.segmentation_id == segmentation_id, v.version == version)
    return found[0] if found else None


async def keyed(session: Session, segmentation_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The segments of these segmentations: segmentation_id, key."""
    g = segments.c
    rows = await session.execute(select(g.segmentation_id, g.key).where(g.segmentation_id.in_(segmentation_ids)))
    return [dict(row) for row in rows.mappings()]


async def given_keys(session: Session, segmentation_id: UUID) -> list[str]:
    """The keys that segments of a segmentation ever had, in order."""
    g = segments.c
    query = select(g.key).where(g.segmentation_id == segmentation_id).order_by(g.position, g.key)
    return list(await session.scalars(query))


async def is_training(session: Session, segmentation_id: UUID) -> bool:
    """Whether a version of a segmentation is being learned, or waits for it."""
    j = jobs.c
    unfinished = exists().where(
        j.kind == "train_segmentation",
        j.status.in_(UNFINISHED),
        j.arguments["segmentation_id"].astext == str(segmentation_id),
    )
    return bool(await session.scalar(select(unfinished)))


async def versions_of(session: Session, segmentation_id: UUID) -> list[dict[str, Any]]:
    """What stands beside the versions of a segmentation, newest first."""
    v = segmentation_versions.c
    query = select(
        v.version, v.status, v.trained_at, v.as_of, v.activated_at, v.refreshed_at, v.params, v.evaluation, v.matching
    )
    rows = await session.execute(query.where(v.segmentation_id == segmentation_id).order_by(v.version.desc()))
    return [dict(row) for row in rows.mappings()]


async def set_exceptions(session: Session, segmentation_id: UUID, decided: Sequence[tuple[str, str, str]]) -> None:
    """Replace what was decided by hand about a segmentation: (key, customer_id, effect), each once.

    Identifiers that were merged away mean the customer they mean today; those of nobody decide nothing yet.
    """
    x = segment_exceptions.c
    await session.execute(delete(segment_exceptions).where(x.segmentation_id == segmentation_id))
    if decided:
        columns = ("key", "customer_id", "effect")
        rows = [{"segmentation_id": segmentation_id, **dict(zip(columns, each, strict=True))} for each in decided]
        await session.execute(upsert(segment_exceptions).on_conflict_do_nothing(), rows)


async def newest_version(session: Session, segmentation_id: UUID) -> int | None:
    """The number of the version learned last; null: nothing was learned yet, or no such segmentation."""
    v = segmentation_versions.c
    newest: int | None = await session.scalar(select(func.max(v.version)).where(v.segmentation_id == segmentation_id))
    return newest


async def version_of(session: Session, segmentation_id: UUID, number: int) -> Version | None:
    """One version of a segmentation; null when there is none of that number."""
    v = segmentation_versions.c
    found = await _versions(session, v.segmentation_id == segmentation_id, v.version == number)
    return found[0] if found else None


async def active_versions(session: Session, segmentation_id: UUID | None = None) -> list[Version]:
    """What customers are assigned by today, in order of segmentation; only of one segmentation when one is given."""
    v = segmentation_versions.c
    conditions = [v.status == "active"]
    if segmentation_id is not None:
        conditions.append(v.segmentation_id == segmentation_id)
    return await _versions(session, *conditions)


async def _versions(session: Session, *conditions: Any) -> list[Version]:
    v, s, g = segmentation_versions.c, segmentations.c, segments.c
    query = (
        select(
            v.segmentation_id, v.version, v.status, s.method, v.as_of, v.refreshed_at, v.model, v.model_id, v.profile
        )
        .join_from(segmentation_versions, segmentations)
        .where(*conditions)
        .order_by(v.segmentation_id, v.version)
    )
    rows = (await session.execute(query)).all()
    parts = select(g.segmentation_id, g.key, g.segment_id, g.name).order_by(g.segmentation_id, g.position)
    wanted = {row.segmentation_id for row in rows}
    found = (await session.execute(parts.where(g.segmentation_id.in_(wanted)))).all() if wanted else []
    return [
        Version(
            *row,
            {part.key: part.segment_id for part in found if part.segmentation_id == row.segmentation_id},
            {part.key: part.name for part in found if part.segmentation_id == row.segmentation_id},
        )
        for row in rows
    ]


async def was_activated(session: Session, segmentation_id: UUID) -> bool:
    """Whether some version of the segmentation has ever been active."""
    v = segmentation_versions.c
    return bool(
        await session.scalar(select(exists().where(v.segmentation_id == segmentation_id, v.activated_at.is_not(None))))
    )


async def make_active(session: Session, version: Version, *, now: datetime, refreshed_at: datetime) -> None:
    """Archive what was active and make this version active, both at once for every reader."""
    v = segmentation_versions.c
    of_it = v.segmentation_id == version.segmentation_id
    await session.execute(update(segmentation_versions).where(of_it, v.status == "active").values(status="archived"))
    await session.execute(
        update(segmentation_versions)
        .where(of_it, v.version == version.version)
        .values(status="active", activated_at=now, refreshed_at=refreshed_at)
    )


async def archive(session: Session, segmentation_id: UUID) -> None:
    """Archive every version of a segmentation."""
    v = segmentation_versions.c
    statement = update(segmentation_versions).where(v.segmentation_id == segmentation_id)
    await session.execute(statement.values(status="archived"))


async def set_evaluated(
    session: Session, version: Version, *, profile: Mapping[str, Any], refreshed_at: datetime | None = None
) -> None:
    """What the segments are like by now, and, where given, since when everybody is up to date."""
    v = segmentation_versions.c
    values: dict[str, Any] = {"profile": profile}
    if refreshed_at is not None:
        values["refreshed_at"] = func.greatest(v.refreshed_at, refreshed_at)
    await session.execute(
        update(segmentation_versions)
        .where(v.segmentation_id == version.segmentation_id, v.version == version.version)
        .values(**values)
    )


async def page(
    session: Session,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    only: UUID | None = None,
    with_key: str | None = None,
) -> list[dict[str, Any]]:
    """Segmentations that have learned something, newest first, each with its active version, else its newest.

    At most limit + 1; only one when one is given. with_key: of the versions that have a segment of this key.
    """
    s, v = segmentations.c, segmentation_versions.c
    chosen = (
        select(segmentation_versions)
        .ext(distinct_on(v.segmentation_id))
        .order_by(v.segmentation_id, (v.status == "active").desc(), v.version.desc())
    )
    if with_key is not None:
        chosen = chosen.where(v.profile["segments"].has_key(with_key))
    best = chosen.subquery()
    shown = (each for each in best.c if each.name not in ("segmentation_id", "model"))
    query = (
        select(s.segmentation_id, s.name, s.method, s.created_at, *shown, _provenance().label("model"))
        .join_from(segmentations, best, best.c.segmentation_id == s.segmentation_id)
        .outerjoin(models, models.c.model_id == best.c.model_id)
        .order_by(s.created_at.desc(), s.segmentation_id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(tuple_(s.created_at, s.segmentation_id) < after)
    if only is not None:
        query = query.where(s.segmentation_id == only)
    return [dict(row) for row in (await session.execute(query)).mappings()]


def _provenance() -> ColumnElement[Any]:
    """Where a version's model comes from, as an object; null: the version is older than the registry."""
    m = models.c
    shown = (
        m.model_id,
        m.algorithm,
        m.format,
        m.libraries,
        m.fingerprint,
        m.customers,
        m.window_from,
        m.window_to,
        m.seed,
    )
    pairs = [part for each in shown for part in (literal(each.name, Text), each)]
    return case((m.model_id.is_not(None), func.jsonb_build_object(*pairs, type_=JSONB())))


async def segments_of(session: Session, segmentation_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Segments in order of segmentation and position: segmentation_id, segment_id, key, name, size (members now)."""
    g, m = segments.c, memberships.c
    sizes = (
        select(m.segment_id, func.count().label("members"))
        .where(
            m.segment_id.in_(select(g.segment_id).where(g.segmentation_id.in_(segmentation_ids))),
            m.valid_to.is_(None),
        )
        .group_by(m.segment_id)
        .subquery()
    )
    query = (
        select(
            g.segmentation_id,
            g.segment_id,
            g.key,
            g.name,
            case((sizes.c.members.is_(None), 0), else_=sizes.c.members).label("size"),
        )
        .outerjoin_from(segments, sizes, sizes.c.segment_id == g.segment_id)
        .where(g.segmentation_id.in_(segmentation_ids))
        .order_by(g.segmentation_id, g.position)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def segmentation_of(session: Session, segment_id: UUID) -> tuple[UUID, str] | None:
    """The segmentation a segment belongs to, and its key there; null when there is no such segment."""
    g = segments.c
    row = (await session.execute(select(g.segmentation_id, g.key).where(g.segment_id == segment_id))).one_or_none()
    return None if row is None else (row.segmentation_id, row.key)
