"""Asking for segmentations and showing what became of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.clock import format_instant
from app.db.engine import Session
from app.errors import Conflict, FieldError, InvalidInput, NotReady, SegmentationNotFound, SegmentNotFound
from app.jobs.queue import enqueue
from app.modelling.features.definitions import features_named
from app.modelling.segments import repository
from app.modelling.segments.methods import Method, method_named
from app.modelling.segments.profile import persona
from app.modelling.segments.schemas import SegmentationIn

NOT_LEARNED = "There is no such segmentation, or it has not been learned yet"
# The scorecard exists, its measures do not yet.
MASDA = {
    **dict.fromkeys(("measurable", "accessible", "substantial", "differentiable", "actionable")),
    "reason": "not_computed",
}


async def create(session: Session, asked: SegmentationIn, *, now: datetime, key_id: UUID) -> tuple[UUID, UUID]:
    """Take the name and queue the training: job and segmentation.

    Raises MethodNotAvailable, InvalidInput, UnknownFeature, and Conflict when the name is taken.
    """
    method = method_named(asked.method)
    _refuse_what_means_nothing(asked, method, now=now)
    job_id = uuid4()
    request = {
        **asked.model_dump(mode="json", exclude={"name", "method", "as_of"}, exclude_none=True),
        "params": asked.params or {},
        "as_of": format_instant(asked.as_of or now),
        "job_id": str(job_id),
    }
    await repository.forget_failed(session, asked.name)
    created = await repository.create(session, name=asked.name, method=method.name, request=request)
    if created is None:
        raise Conflict(
            f"There is a segmentation called {asked.name!r}",
            errors=[FieldError("/name", "name_taken", "choose a name that no segmentation has")],
        )
    arguments = {"segmentation_id": str(created)}
    await enqueue(session, "train_segmentation", arguments=arguments, key_id=key_id, job_id=job_id)
    return job_id, created


def _refuse_what_means_nothing(asked: SegmentationIn, method: Method, *, now: datetime) -> None:
    errors = [
        FieldError(f"/{name}", "not_applicable", f"{method.name} has no use for {name}; leave it out")
        for name in ("k", "k_range", "rules")
        if getattr(asked, name) is not None
    ]
    if asked.params:
        errors.append(FieldError("/params", "not_applicable", f"{method.name} has no settings; leave params out"))
    if asked.features is not None:
        features_named(asked.features)
        if set(asked.features) != set(method.features):
            detail = f"{method.name} always uses {', '.join(method.features)}; leave features out"
            errors.append(FieldError("/features", "not_applicable", detail))
    if asked.as_of is not None and asked.as_of > now:
        errors.append(FieldError("/as_of", "in_the_future", "what happens after now is not known yet"))
    if errors:
        raise InvalidInput(f"Not usable: {', '.join(error.pointer for error in errors)}", errors=errors)


async def start(session: Session, kind: str, segmentation_id: UUID, *, key_id: UUID) -> UUID:
    """Queue work on a segmentation; the job. Raises SegmentationNotFound, and NotReady where its state forbids it."""
    newest = await repository.newest_version(session, segmentation_id)
    if newest is None:
        raise SegmentationNotFound(NOT_LEARNED)
    if kind == "refresh_segmentation" and not await repository.active_versions(session, segmentation_id):
        raise NotReady("Only an active segmentation can be refreshed; activate it first")
    arguments = {"segmentation_id": str(segmentation_id), "version": newest}
    return await enqueue(session, kind, arguments=arguments, key_id=key_id)


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
    segmentation_id = await repository.segmentation_of(session, segment_id)
    if segmentation_id is None:
        raise SegmentNotFound()
    whole = await one(session, segmentation_id, currency=currency)
    found = next(each for each in whole["segments"] if each["segment_id"] == segment_id)
    named = {"segmentation": whole["name"], **{name: whole[name] for name in ("segmentation_id", "version", "status")}}
    return {**found, **named}


async def _shown(session: Session, rows: Sequence[Mapping[str, Any]], *, currency: str) -> list[dict[str, Any]]:
    parts = await repository.segments_of(session, [row["segmentation_id"] for row in rows]) if rows else []
    same = ("segmentation_id", "name", "method", "version", "status", "trained_at", "as_of")
    return [
        {
            **{name: row[name] for name in same},
            **{name: row[name] for name in ("features", "params", "evaluation")},
            "segments": _segments(
                row, [part for part in parts if part["segmentation_id"] == row["segmentation_id"]], currency=currency
            ),
        }
        for row in rows
    ]


def _segments(row: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], *, currency: str) -> list[dict[str, Any]]:
    """Before activation a segment is as large as in training; afterwards it has the members that it has."""
    profile = row["profile"]["segments"]
    parts = [part for part in parts if part["key"] in profile]
    sizes = {
        part["key"]: profile[part["key"]]["size"] if row["status"] == "candidate" else part["size"] for part in parts
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
            "persona": persona(part["name"], profile[part["key"]], as_of=row["profile"]["as_of"], currency=currency),
            "masda": MASDA,
        }
        for part in parts
    ]
