"""Long work on segmentations: learning, activating, refreshing and archiving."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from app.clock import format_instant, parse_instant
from app.db.engine import Session
from app.errors import NotReady, SegmentationNotFound
from app.jobs.runtime import Handler, JobContext
from app.modelling.features.columns import Values
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import count_customers
from app.modelling.segments import assignments, repository
from app.modelling.segments.assignments import Changes
from app.modelling.segments.definitions import SegmentDefinition
from app.modelling.segments.evaluation import (
    AT_ONCE,
    assign,
    evaluate,
    everybody,
    features_of,
    next_range,
    read_columns,
    together,
)
from app.modelling.segments.repository import Version
from app.modelling.segments.training import describe, learn

CUSTOMERS = "customers"


async def train(context: JobContext, *, reporting: Reporting) -> Mapping[str, Any]:
    """Learn the first version of a segmentation. Run again after it had committed, it changes nothing."""
    segmentation_id = UUID(context.arguments["segmentation_id"])
    async with context.step() as step:
        asked = await repository.requested(step.session, segmentation_id)
    if asked is None:
        raise SegmentationNotFound("The segmentation was removed before it could be learned")
    if not asked["versions"]:
        request, method = asked["request"], asked["method"]
        as_of = parse_instant(request["as_of"])
        values = await _population(context, method, as_of=as_of, reporting=reporting)
        learned = await context.compute.run(learn, method, values, request["min_segment_share"])
        version = {
            "version": 1,
            "trained_at": context.clock.now(),
            "as_of": as_of,
            "features": [feature.name for feature in features_of(method)],
            "params": {**request["params"], **learned.fitted.params},
            "model": learned.fitted.model,
            "evaluation": learned.evaluation,
            "profile": {"as_of": format_instant(as_of), "segments": learned.profile},
        }
        named = [(segment.key, segment.name) for segment in learned.fitted.segments]
        async with context.step() as step:
            await repository.add_version(step.session, segmentation_id, values=version, named=named)
    return {"segmentation_id": str(segmentation_id), "version": 1}


async def _population(context: JobContext, method: str, *, as_of: datetime, reporting: Reporting) -> Values:
    """The features of everybody as of an instant; about 8 bytes per customer and feature stay in memory."""
    parts: list[Values] = []
    after, done = "", 0
    async with context.step(unit=CUSTOMERS) as step:
        step.progress(done=0, total=await count_customers(step.session))
    while True:
        async with context.step(unit=CUSTOMERS) as step:
            around = await next_range(step.session, after)
            if around is None:
                return together(parts, method)
            columns = await read_columns(
                step.session, everybody(method), scope=around, as_of=as_of, reporting=reporting
            )
            done += len(columns.customer_ids)
            step.progress(done=done)
        parts.append(columns.values)
        after = around.upto


async def activate(context: JobContext, *, reporting: Reporting) -> Mapping[str, Any]:
    """Assign everybody by a version and make it the active one, in one transaction: readers see all of it or nothing.

    The first activation speaks from the version's as_of on; a later one from now on.
    """
    segmentation_id, number = UUID(context.arguments["segmentation_id"]), context.arguments["version"]
    async with context.step():
        pass  # nobody has asked to cancel so far
    async with context.database.write() as session:
        await assignments.lock_memberships(session)
        version = await repository.version_of(session, segmentation_id, number)
        if version is None:
            raise SegmentationNotFound("There is no such version of this segmentation")
        changes, instant = Changes(0, 0), version.refreshed_at
        if version.status != "active":
            now = context.clock.now()
            is_first = not await repository.was_activated(session, segmentation_id)
            instant = version.as_of if is_first else now
            changes = await _assign_everybody(session, version, now=instant, reporting=reporting)
            await repository.make_active(session, version, now=now, refreshed_at=instant)
            if is_first:
                await assignments.touch_active_since(session, instant, chunk=AT_ONCE)
    if instant is not None and parse_instant(version.profile["as_of"]) < instant:
        await _describe(context, version, reporting=reporting)
    return {**_named(version), "entered": changes.begun, "left": changes.closed}


async def _assign_everybody(session: Session, version: Version, *, now: datetime, reporting: Reporting) -> Changes:
    """Needs lock_memberships. Merges and erasures wait only while the assignments are applied."""
    epoch = await assignments.privacy_epoch(session)
    await assignments.begin(session)
    around = await next_range(session, "")
    while around is not None:
        columns = await read_columns(session, features_of(version.method), scope=around, as_of=now, reporting=reporting)
        await assign(session, version, columns)
        around = await next_range(session, around.upto)
    if await assignments.hold_people(session) != epoch:
        await assignments.leave_out_the_gone(session)
    return await assignments.apply(session, version, scope=None, now=now, confirm=False)


async def refresh(context: JobContext, *, reporting: Reporting) -> Mapping[str, Any]:
    """Evaluate everybody by the active version as of now, range by range, resuming after the last one committed."""
    segmentation_id = UUID(context.arguments["segmentation_id"])
    at: dict[str, Any] = {"after": "", "started": format_instant(context.clock.now()), "done": 0, "changed": 0}
    at |= context.checkpoint or {}
    while True:
        async with context.step(unit=CUSTOMERS) as step:
            await assignments.lock_memberships(step.session)
            version = await _active(step.session, segmentation_id)
            around = await next_range(step.session, at["after"])
            if around is None:
                break
            await assignments.hold_people(step.session)
            customers, changes = await evaluate(
                step.session, [version], scope=around, now=context.clock.now(), reporting=reporting
            )
            done, changed = at["done"] + customers, at["changed"] + changes.begun
            at |= {"after": around.upto, "done": done, "changed": changed}
            step.progress(done=done, checkpoint=at)
    await _describe(context, version, reporting=reporting, refreshed_at=parse_instant(at["started"]))
    return {**_named(version), "changed": at["changed"]}


async def _active(session: Session, segmentation_id: UUID) -> Version:
    active = await repository.active_versions(session, segmentation_id)
    if not active:
        raise NotReady("The segmentation has no active version; activate one first")
    return active[0]


async def _describe(
    context: JobContext, version: Version, *, reporting: Reporting, refreshed_at: datetime | None = None
) -> None:
    """Record what the segments are like now."""
    as_of = context.clock.now()
    values = await _population(context, version.method, as_of=as_of, reporting=reporting)
    known = version.profile["segments"]
    segments = [SegmentDefinition(key, name, known[key]["meaning"]) for key, name in version.segment_names.items()]
    profile = await context.compute.run(describe, version.method, values, version.model, segments)
    async with context.step() as step:
        await repository.set_evaluated(
            step.session,
            version,
            profile={"as_of": format_instant(as_of), "segments": profile},
            refreshed_at=refreshed_at,
        )


async def archive(context: JobContext) -> Mapping[str, Any]:
    """Close all memberships of a segmentation and archive its versions, at once."""
    segmentation_id = UUID(context.arguments["segmentation_id"])
    async with context.step() as step:
        await assignments.lock_memberships(step.session)
        await assignments.hold_people(step.session)
        version = await repository.shown_version(step.session, segmentation_id)
        if version is None:
            raise SegmentationNotFound()
        left = await assignments.close_all(step.session, version, now=context.clock.now())
        await repository.archive(step.session, segmentation_id)
    return {**_named(version), "left": left}


def _named(version: Version) -> dict[str, Any]:
    return {"segmentation_id": str(version.segmentation_id), "version": version.version}


def handlers(reporting: Reporting) -> Mapping[str, Handler]:
    """The handlers of this wing by the kind of job."""
    return {
        "train_segmentation": partial(train, reporting=reporting),
        "activate_segmentation": partial(activate, reporting=reporting),
        "refresh_segmentation": partial(refresh, reporting=reporting),
        "archive_segmentation": archive,
    }
