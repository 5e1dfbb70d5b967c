"""Asking for segmentations and showing what became of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.clock import format_instant
from app.db.engine import Session
from app.errors import Conflict, FieldError, NotReady, SegmentationNotFound, SegmentNotFound
from app.jobs.queue import enqueue
from app.modelling.segments import repository
from app.modelling.segments.requests import decided_by_hand, refuse_what_means_nothing
from app.modelling.segments.schemas import RefitIn, SegmentationIn

NOT_LEARNED = "There is no such segmentation, or it has not been learned yet"
NO_VERSION = "There is no such version of this segmentation"
NOT_COMPUTED: Mapping[str, Any] = {"value": None, "reason": "not_computed", "detail": {}}
CRITERIA = ("measurable", "accessible", "substantial", "differentiable", "actionable")


async def create(session: Session, asked: SegmentationIn, *, now: datetime, key_id: UUID) -> tuple[UUID, UUID]:
    """Take the name and queue the training: job and segmentation.

    Raises MethodNotAvailable, InvalidInput, UnknownFeature, and Conflict when the name is taken.
    """
    ruleset = await refuse_what_means_nothing(session, asked.method, asked, now=now)
    decided = await decided_by_hand(session, asked.rules, ruleset) if ruleset else []
    job_id = uuid4()
    request = {
        **_said(asked, exclude={"name", "method", "as_of", "rules"}),
        "params": asked.params or {},
        "rules": ruleset and ruleset.json,
        "as_of": format_instant(asked.as_of or now),
        "job_id": str(job_id),
    }
    await repository.forget_failed(session, asked.name)
    created = await repository.create(session, name=asked.name, method=asked.method, request=request)
    if created is None:
        raise Conflict(
            f"There is a segmentation called {asked.name!r}",
            errors=[FieldError("/name", "name_taken", "choose a name that no segmentation has")],
        )
    await repository.set_exceptions(session, created, decided)
    arguments = {"segmentation_id": str(created), "version": 1}
    await enqueue(session, "train_segmentation", arguments=arguments, key_id=key_id, job_id=job_id)
    return job_id, created


def _said(asked: SegmentationIn | RefitIn, *, exclude: set[str]) -> dict[str, Any]:
    said: dict[str, Any] = asked.model_dump(mode="json", exclude=exclude, exclude_none=True)
    return said


async def refit(session: Session, segmentation_id: UUID, asked: RefitIn, *, now: datetime, key_id: UUID) -> UUID:
    """Queue the training of the next version; the job. What is not said stays as it was asked for at first.

    Raises SegmentationNotFound, Conflict while another version is being learned, and what create raises.
    """
    known = await repository.requested(session, segmentation_id, hold=True)
    if known is None or not known["versions"]:
        raise SegmentationNotFound(NOT_LEARNED)
    if await repository.is_training(session, segmentation_id):
        raise Conflict("Another version of this segmentation is being learned; wait for its job")
    if asked.params:
        asked = asked.model_copy(update={"params": {**(known["request"].get("params") or {}), **asked.params}})
    ruleset = await refuse_what_means_nothing(session, known["method"], asked, now=now)
    request = {**_said(asked, exclude={"as_of", "rules"}), "as_of": format_instant(asked.as_of or now)}
    if ruleset:
        request["rules"] = ruleset.json
        await repository.set_exceptions(session, segmentation_id, await decided_by_hand(session, asked.rules, ruleset))
    arguments = {"segmentation_id": str(segmentation_id), "version": known["versions"] + 1, "request": request}
    return await enqueue(session, "train_segmentation", arguments=arguments, key_id=key_id)


async def start(
    session: Session, kind: str, segmentation_id: UUID, *, key_id: UUID, version: int | None = None
) -> UUID:
    """Queue work on a segmentation by a version, the newest where none is named; the job.

    Raises SegmentationNotFound, and NotReady where its state forbids it.
    """
    newest = await repository.newest_version(session, segmentation_id)
    if newest is None:
        raise SegmentationNotFound(NOT_LEARNED)
    if version is not None and not 1 <= version <= newest:
        raise SegmentationNotFound(NO_VERSION)
    if kind == "refresh_segmentation" and not await repository.active_versions(session, segmentation_id):
        raise NotReady("Only an active segmentation can be refreshed; activate it first")
    arguments = {"segmentation_id": str(segmentation_id), "version": version or newest}
    return await enqueue(session, kind, arguments=arguments, key_id=key_id)


async def compare(session: Session, segmentation_id: UUID, *, one: int, other: int, key_id: UUID) -> UUID:
    """Queue the comparison of two versions; the job. Raises SegmentationNotFound."""
    newest = await repository.newest_version(session, segmentation_id)
    if newest is None or max(one, other) > newest:
        raise SegmentationNotFound(NOT_LEARNED if newest is None else NO_VERSION)
    arguments = {"segmentation_id": str(segmentation_id), "from": one, "to": other}
    return await enqueue(session, "compare_segmentation", arguments=arguments, key_id=key_id)


async def versions(session: Session, segmentation_id: UUID) -> list[dict[str, Any]]:
    """Every version of a segmentation, newest first. Raises SegmentationNotFound."""
    found = await repository.versions_of(session, segmentation_id)
    if not found:
        raise SegmentationNotFound(NOT_LEARNED)
    return found


async def listed(
    session: Session, *, currency: str, limit: int, after: tuple[datetime, UUID] | None
) -> list[dict[str, Any]]:
    """Segmentations, newest first, as they are answered; at most limit + 1. created_at is for the cursor."""
    rows = await repository.page(session, limit=limit, after=after)
    shown = await _shown(session, rows, currency=currency)
    return [{**each, "created_at": row["created_at"]} for each, row in zip(shown, rows, strict=True)]


async def one(session: Session, segmentation_id: UUID, *, currency: str) -> dict[str, Any]:
    """One segmentation as it is answered. Raises SegmentationNotFound."""
    rows = await repository.page(session, limit=1, after=None, only=segmentation_id)
    if not rows:
        raise SegmentationNotFound(NOT_LEARNED)
    return (await _shown(session, rows, currency=currency))[0]


async def segment(session: Session, segment_id: UUID, *, currency: str) -> dict[str, Any]:
    """One segment with its segmentation, as it is answered. Raises SegmentNotFound."""
    belonging = await repository.segmentation_of(session, segment_id)
    if belonging is None:
        raise SegmentNotFound()
    # By the version that is shown, or the newest that has this segment.
    rows = await repository.page(session, limit=1, after=None, only=belonging[0], with_key=belonging[1])
    [whole] = await _shown(session, rows, currency=currency)
    found = next(each for each in whole["segments"] if each["segment_id"] == segment_id)
    named = {"segmentation": whole["name"], **{name: whole[name] for name in ("segmentation_id", "version", "status")}}
    return {**found, **named}


async def _shown(session: Session, rows: Sequence[Mapping[str, Any]], *, currency: str) -> list[dict[str, Any]]:
    parts = await repository.segments_of(session, [row["segmentation_id"] for row in rows]) if rows else []
    same = ("segmentation_id", "name", "method", "version", "status", "trained_at", "as_of", "refreshed_at")
    return [
        {
            **{name: row[name] for name in same},
            **{name: row[name] for name in ("features", "params", "evaluation", "matching", "model")},
            "currency": currency,
            "segments": _segments(row, [part for part in parts if part["segmentation_id"] == row["segmentation_id"]]),
        }
        for row in rows
    ]


def _segments(row: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Before activation a segment is as large as in training; afterwards it has the members that it has."""
    profile = row["profile"]["segments"]
    # In the order of the version: a segment that it shares with an older one may have stood elsewhere there.
    by_key = {part["key"]: part for part in parts}
    ordered = [by_key[key] for key in row["profile"].get("keys", by_key) if key in by_key and key in profile]
    sizes = {
        part["key"]: profile[part["key"]]["size"] if row["status"] == "candidate" else part["size"] for part in ordered
    }
    total = sum(sizes.values())
    return [
        {
            "segment_id": part["segment_id"],
            "key": part["key"],
            "name": part["name"],
            "size": sizes[part["key"]],
            "share": sizes[part["key"]] / total if total else None,
            "revenue_share": profile[part["key"]]["revenue_share"],
            "persona": _persona(part["name"], profile[part["key"]], as_of=row["profile"]["as_of"]),
            "masda": profile[part["key"]].get("masda") or dict.fromkeys(CRITERIA, NOT_COMPUTED),
        }
        for part in ordered
    ]


def _persona(name: str, members: Mapping[str, Any], *, as_of: str) -> dict[str, Any]:
    """A segment in words and figures, from its members at one evaluation of everybody."""
    found = members.get("persona") or {"description": members["meaning"], "drivers": [], "typical": {}}
    same = {each: found[each] for each in ("description", "drivers", "typical")}
    return {"name": name, "meaning": members["meaning"], **same, "as_of": as_of}
