"""Long work on segmentations: learning, activating, refreshing, comparing and archiving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.clock import format_instant, parse_instant
from app.db.engine import Session
from app.errors import FieldError, InvalidInput, ModelFormatUnknown, ModelTampered, NotReady, SegmentationNotFound
from app.jobs.compute import Elsewhere
from app.jobs.runtime import Handler, JobContext
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import feature_of
from app.modelling.registry.shelf import Models, Origin
from app.modelling.segments import assignments, due, repository
from app.modelling.segments.assignments import Changes
from app.modelling.segments.evaluation import (
    AT_ONCE,
    assign,
    evaluate,
    next_range,
    read_with_dues,
)
from app.modelling.segments.population import CUSTOMERS, people
from app.modelling.segments.preparing import population_of, read_for, retyped, task_of
from app.modelling.segments.repository import Version
from app.modelling.segments.task import Learned, Previous, Task
from app.modelling.segments.working import Assigners, Working, with_dependents

# What imports the libraries that fit is imported where they run.
LEARN, DESCRIBE, COMPARE = (
    Elsewhere("app.modelling.segments.training", each) for each in ("learn", "describe", "compare")
)


@dataclass(frozen=True, slots=True)
class SegmentationJobs:
    """The handlers of this wing, and what they share."""

    reporting: Reporting
    models: Models
    assigners: Assigners

    async def train(self, context: JobContext) -> Mapping[str, Any]:
        """Learn a version of a segmentation. Run again after it had committed, it changes nothing."""
        segmentation_id, number = UUID(context.arguments["segmentation_id"]), context.arguments.get("version", 1)
        async with context.step() as step:
            asked = await repository.requested(step.session, segmentation_id)
            if asked is None:
                raise SegmentationNotFound("The segmentation was removed before it could be learned")
            if asked["versions"] >= number:
                return {"segmentation_id": str(segmentation_id), "version": number}
            request = {**asked["request"], **context.arguments.get("request", {})}
            as_of = parse_instant(request["as_of"])
            task = await task_of(
                step.session,
                asked["method"],
                request,
                segmentation_id=segmentation_id,
                as_of=as_of,
                reporting=self.reporting,
            )
            previous = await self._previous(step.session, segmentation_id)
            if previous is not None and previous.document is not None:
                previous = replace(previous, retyped=retyped(previous.document["features"], task.features))
        features, derived = read_for(task, previous)
        population = await people(context, features, derived, as_of=as_of, fitted_at=as_of, reporting=self.reporting)
        task = replace(task, previous=previous)
        learned: Learned = await context.compute.run(LEARN, task, population)
        async with context.step() as step:
            origin = Origin(task.method, learned.fingerprint, learned.customers, as_of, task.seed)
            model_id = await self.models.keep(step.session, learned.document, origin)
            await repository.add_version(
                step.session,
                segmentation_id,
                values=_version(number, learned, model_id, as_of=as_of, now=context.clock.now()),
                named=[(each["key"], each["name"]) for each in learned.document["segments"]],
            )
        return {"segmentation_id": str(segmentation_id), "version": number}

    async def _previous(self, session: Session, segmentation_id: UUID) -> Previous | None:
        """The version whose segments a new one continues: the active one, else the newest."""
        version = await repository.shown_version(session, segmentation_id)
        if version is None:
            return None
        keys = await repository.given_keys(session, segmentation_id)
        try:
            document = await self._document(session, version)
        except (ModelTampered, ModelFormatUnknown):
            # Learning anew is the way out of it; only which segments were which cannot be told any more.
            document = None
        return Previous(version.version, document, version.segment_names, keys)

    async def _document(self, session: Session, version: Version) -> Mapping[str, Any]:
        if version.model_id is not None:
            return await self.models.open(session, version.model_id)
        assigner = (await self.assigners.of(session, version)).assigner
        features = [{"name": each.name, "dtype": each.dtype} for each in assigner.features]
        return {"features": features, "fitted": version.model, "segments": [{"key": key} for key in assigner.keys]}

    async def activate(self, context: JobContext) -> Mapping[str, Any]:
        """Assign everybody by a version and make it the active one, in one transaction: readers see all or nothing.

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
            working = await self.assigners.of(session, version)
            if version.status != "active":
                now = context.clock.now()
                is_first = not await repository.was_activated(session, segmentation_id)
                instant = version.as_of if is_first else now
                changes = await self._assign_everybody(session, working, now=instant, announce=not is_first)
                await repository.make_active(session, version, now=now, refreshed_at=instant)
                await self._touch_dependents(session, working, is_first=is_first, instant=instant)
        if instant is not None and version.as_of < instant:
            await self._describe(context, working)
        return {**_named(version), "entered": changes.begun, "left": changes.closed}

    async def _assign_everybody(self, session: Session, working: Working, *, now: datetime, announce: bool) -> Changes:
        """Needs lock_memberships. Merges and erasures wait only while the assignments are applied."""
        epoch = await assignments.privacy_epoch(session)
        await assignments.begin(session)
        around = await next_range(session, "")
        while around is not None:
            columns, dues = await read_with_dues(session, working, scope=around, as_of=now, reporting=self.reporting)
            await assign(session, working, columns)
            await due.set_due(session, columns.customer_ids, dues, whole=False)
            around = await next_range(session, around.upto)
        if await assignments.hold_people(session) != epoch:
            await assignments.leave_out_the_gone(session)
            await due.forget_the_gone(session)
        return await assignments.apply(session, working.version, scope=None, now=now, announce=announce)

    async def _touch_dependents(self, session: Session, working: Working, *, is_first: bool, instant: datetime) -> None:
        """Have those evaluated soon whom the activation leaves behind."""
        if is_first:
            await assignments.touch_active_since(session, instant, chunk=AT_ONCE)
        ready = await self.assigners.of_all(session, await repository.active_versions(session))
        if len(with_dependents([working], ready)) > 1:
            await assignments.touch_changed(session, working.version.segmentation_id, instant, chunk=AT_ONCE)

    async def refresh(self, context: JobContext) -> Mapping[str, Any]:
        """Evaluate everybody by the active version as of now, range by range, resuming after the last one committed."""
        segmentation_id = UUID(context.arguments["segmentation_id"])
        at: dict[str, Any] = {"after": "", "started": format_instant(context.clock.now()), "done": 0, "changed": 0}
        at |= context.checkpoint or {}
        while True:
            async with context.step(unit=CUSTOMERS) as step:
                await assignments.lock_memberships(step.session)
                working = await self._active(step.session, segmentation_id)
                around = await next_range(step.session, at["after"])
                if around is None:
                    break
                await assignments.hold_people(step.session)
                ready = await self.assigners.of_all(step.session, await repository.active_versions(step.session))
                customers, changes = await evaluate(
                    step.session,
                    with_dependents([working], ready),
                    scope=around,
                    now=context.clock.now(),
                    reporting=self.reporting,
                )
                done, changed = at["done"] + customers, at["changed"] + changes.begun
                at |= {"after": around.upto, "done": done, "changed": changed}
                step.progress(done=done, checkpoint=at)
        await self._describe(context, working, refreshed_at=parse_instant(at["started"]))
        return {**_named(working.version), "changed": at["changed"]}

    async def _active(self, session: Session, segmentation_id: UUID) -> Working:
        active = await repository.active_versions(session, segmentation_id)
        if not active:
            raise NotReady("The segmentation has no active version; activate one first")
        return await self.assigners.of(session, active[0])

    async def _describe(self, context: JobContext, working: Working, *, refreshed_at: datetime | None = None) -> None:
        """Record what the segments are like now."""
        version, as_of = working.version, context.clock.now()
        async with context.step() as step:
            document = await self._document(step.session, version)
        features = [feature_of(each["name"], each["dtype"]) for each in document["features"]]
        population = await people(
            context,
            list(dict.fromkeys([*features, *working.assigner.features])),
            working.assigner.derived,
            as_of=as_of,
            fitted_at=version.as_of,
            reporting=self.reporting,
        )
        task = Task(
            method=version.method,
            segmentation_id=str(version.segmentation_id),
            features=[{"name": each.name, "dtype": each.dtype, "kind": each.kind} for each in features],
            population=population_of(version.method, features),
            currency=self.reporting.currency,
            min_segment_share=0.0,
        )
        found = await context.compute.run(DESCRIBE, task, document, version.segment_names, population)
        known = version.profile["segments"]
        segments = {key: {**each, "meaning": known.get(key, {}).get("meaning", "")} for key, each in found.items()}
        profile = {"as_of": format_instant(as_of), "keys": list(working.assigner.keys), "segments": segments}
        async with context.step() as step:
            await repository.set_evaluated(step.session, version, profile=profile, refreshed_at=refreshed_at)

    async def compare(self, context: JobContext) -> Mapping[str, Any]:
        """How two versions would place everybody today, side by side."""
        segmentation_id = UUID(context.arguments["segmentation_id"])
        async with context.step() as step:
            found = [
                await repository.version_of(step.session, segmentation_id, context.arguments[each])
                for each in ("from", "to")
            ]
            versions = [each for each in found if each is not None]
            if len(versions) < len(found):
                raise SegmentationNotFound("There is no such version of this segmentation")
            working = [await self.assigners.of(step.session, each) for each in versions]
            documents = [(each.method, await self._document(step.session, each)) for each in versions]
            _refuse_retyped(*(document["features"] for _, document in documents))
        now = context.clock.now()
        population = await people(
            context,
            [feature for each in working for feature in each.assigner.features],
            [column for each in working for column in each.assigner.derived],
            as_of=now,
            fitted_at=now,
            reporting=self.reporting,
        )
        moves = await context.compute.run(COMPARE, documents, population, str(segmentation_id))
        return {**_named(versions[1]), "compared_with": versions[0].version, "as_of": format_instant(now), **moves}

    async def archive(self, context: JobContext) -> Mapping[str, Any]:
        """Close all memberships of a segmentation and archive its versions, at once."""
        segmentation_id = UUID(context.arguments["segmentation_id"])
        async with context.step() as step:
            await assignments.lock_memberships(step.session)
            await assignments.hold_people(step.session)
            version = await repository.shown_version(step.session, segmentation_id)
            if version is None:
                raise SegmentationNotFound()
            now = context.clock.now()
            left = await assignments.close_all(step.session, version, now=now)
            await repository.archive(step.session, segmentation_id)
            ready = await self.assigners.of_all(step.session, await repository.active_versions(step.session))
            if any(ask.segmentation_id == segmentation_id for each in ready for ask in each.assigner.asks):
                await assignments.touch_changed(step.session, segmentation_id, now, chunk=AT_ONCE)
        return {**_named(version), "left": left}


def _refuse_retyped(one: Sequence[Mapping[str, str]], other: Sequence[Mapping[str, str]]) -> None:
    if names := retyped(one, other):
        detail = f"the versions read {', '.join(names)} as different types, and so cannot be compared"
        raise InvalidInput(detail, errors=[FieldError("/from", "retyped", detail)])


def _version(number: int, learned: Learned, model_id: UUID, *, as_of: datetime, now: datetime) -> dict[str, Any]:
    return {
        "version": number,
        "trained_at": now,
        "as_of": as_of,
        "features": [each["name"] for each in learned.document["features"]],
        "params": learned.params,
        "model_id": model_id,
        "evaluation": learned.evaluation,
        "profile": {
            "as_of": format_instant(as_of),
            "keys": [each["key"] for each in learned.document["segments"]],
            "segments": learned.profile,
        },
        "matching": learned.matching,
    }


def _named(version: Version) -> dict[str, Any]:
    return {"segmentation_id": str(version.segmentation_id), "version": version.version}


def handlers(reporting: Reporting, models: Models, assigners: Assigners) -> Mapping[str, Handler]:
    """The handlers of this wing by the kind of job."""
    jobs = SegmentationJobs(reporting, models, assigners)
    return {
        "train_segmentation": jobs.train,
        "activate_segmentation": jobs.activate,
        "refresh_segmentation": jobs.refresh,
        "compare_segmentation": jobs.compare,
        "archive_segmentation": jobs.archive,
    }
