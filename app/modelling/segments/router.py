"""Segmentations over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from app.db.engine import Session
from app.modelling.segments import service, stateless
from app.modelling.segments.schemas import (
    AssignIn,
    AssignOut,
    CompareIn,
    JobStarted,
    RefitIn,
    SegmentationIn,
    SegmentationOut,
    SegmentationPage,
    SegmentDetail,
    VersionList,
)
from app.web.answers import NOT_MODIFIED, JSONAnswer, accepted, tagged
from app.web.auth import Require, principal_of
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, created_before, page, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Segmentations")

WhichVersion = Annotated[
    int | None, Query(ge=1, le=2**31 - 1, description="Default: the newest. An older one rolls back.")
]


@router.post(
    "/segmentations",
    operation_id="create_segmentation",
    summary="Learn a segmentation",
    status_code=202,
    response_model=JobStarted,
    responses=declared(409),
    dependencies=[Depends(Require("segments:write"))],
)
async def create_segmentation(
    body: SegmentationIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Learns from everybody as of an instant. The result is a candidate: nobody is a member until it is activated.

    Without `features`, days since the last purchase, number of purchases and total spend are used. `decision_tree`
    learns to tell the labels of `params.label`; `rules` learns nothing and is what it says.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    job_id, segmentation_id = await service.create(
        session, body, now=state_of(request).clock.now(), key_id=principal_of(request).key_id
    )
    return await idempotency.remember(session, _started(job_id, "train_segmentation", segmentation_id))


def _started(job_id: UUID, kind: str, segmentation_id: UUID) -> Response:
    return accepted(job_id, {"id": job_id, "kind": kind, "status": "queued", "segmentation_id": segmentation_id})


@router.get(
    "/segmentations",
    operation_id="list_segmentations",
    summary="List segmentations, newest first",
    response_model=SegmentationPage,
    dependencies=[Depends(Require("segments:read"))],
)
async def list_segmentations(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Each by its active version, or by its newest where none is active. Those still in training are not listed."""
    state = state_of(request)
    after = created_before(read_cursor(state.secret, "segmentations", cursor))
    rows = await service.listed(session, currency=state.currency, limit=limit, after=after)
    key = ("created_at", "segmentation_id")
    found = page(rows, limit=limit, secret=state.secret, listing="segmentations", key=key)
    data = [{name: value for name, value in row.items() if name != "created_at"} for row in found["data"]]
    return JSONAnswer({**found, "data": data})


@router.get(
    "/segmentations/{segmentation_id}",
    operation_id="get_segmentation",
    summary="One segmentation with its segments",
    response_model=SegmentationOut,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("segments:read"))],
)
async def get_segmentation(segmentation_id: UUID, request: Request, session: ReadSession) -> Response:
    """By its active version, or by its newest where none is active. Sizes are counted from the members themselves."""
    return tagged(request, await service.one(session, segmentation_id, currency=state_of(request).currency))


@router.get(
    "/segments/{segment_id}",
    operation_id="get_segment",
    summary="One segment",
    response_model=SegmentDetail,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("segments:read"))],
)
async def get_segment(segment_id: UUID, request: Request, session: ReadSession) -> Response:
    """A segment keeps its id and key across versions of its segmentation."""
    return tagged(request, await service.segment(session, segment_id, currency=state_of(request).currency))


async def _start(
    kind: str, segmentation_id: UUID, request: Request, session: Session, *, version: int | None = None
) -> Response:
    job_id = await service.start(session, kind, segmentation_id, key_id=principal_of(request).key_id, version=version)
    return _started(job_id, kind, segmentation_id)


@router.post(
    "/segmentations/{segmentation_id}/activate",
    operation_id="activate_segmentation",
    summary="Put a segmentation to work",
    status_code=202,
    response_model=JobStarted,
    responses=declared(404),
    dependencies=[Depends(Require("segments:write"))],
)
async def activate_segmentation(
    segmentation_id: UUID, request: Request, session: WriteSession, version: WhichVersion = None
) -> Response:
    """Assigns everybody by a version, the newest unless one is named, and makes it the active one.

    Readers see all of it or nothing. The first activation speaks from the version's `as_of` on, later ones from the
    moment they run. From then on memberships follow every push within seconds, and time: whoever moves without a
    fact, because a window runs out, moves when it does.
    """
    return await _start("activate_segmentation", segmentation_id, request, session, version=version)


@router.post(
    "/segmentations/{segmentation_id}/refit",
    operation_id="refit_segmentation",
    summary="Learn the next version",
    status_code=202,
    response_model=JobStarted,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:write"))],
)
async def refit_segmentation(segmentation_id: UUID, body: RefitIn, request: Request, session: WriteSession) -> Response:
    """The result is a candidate beside the version that serves on. Segments that are those of the version before,
    by the overlap of their members, keep their keys, ids and names.
    """
    job_id = await service.refit(
        session, segmentation_id, body, now=state_of(request).clock.now(), key_id=principal_of(request).key_id
    )
    return _started(job_id, "train_segmentation", segmentation_id)


@router.get(
    "/segmentations/{segmentation_id}/versions",
    operation_id="list_segmentation_versions",
    summary="The versions of a segmentation, newest first",
    response_model=VersionList,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def list_segmentation_versions(segmentation_id: UUID, session: ReadSession) -> Response:
    """At most one of them is active."""
    return JSONAnswer({"data": await service.versions(session, segmentation_id)})


@router.post(
    "/segmentations/{segmentation_id}/compare",
    operation_id="compare_segmentation_versions",
    summary="Lay two versions side by side",
    status_code=202,
    response_model=JobStarted,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def compare_segmentation_versions(
    segmentation_id: UUID, body: CompareIn, request: Request, session: WriteSession
) -> Response:
    """Assigns everybody by both, as of now; nothing is stored. The job's result has `moves`: how many customers are in
    which segment by the one and by the other.
    """
    job_id = await service.compare(
        session, segmentation_id, one=body.from_, other=body.to, key_id=principal_of(request).key_id
    )
    return _started(job_id, "compare_segmentation", segmentation_id)


@router.post(
    "/segmentations/{segmentation_id}/assign",
    operation_id="assign_rows",
    summary="Assign customers that are not stored",
    response_model=AssignOut,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:read"))],
)
async def assign_rows(segmentation_id: UUID, body: AssignIn, request: Request, session: ReadSession) -> Response:
    """By the persisted model, from the features in each row; a feature that is not given is unknown. Nothing is stored.

    Rules that ask about histories, other segments or decisions by hand cannot be answered from features alone.
    """
    found = await stateless.assign(
        session, segmentation_id, body.rows, version=body.version, assigners=request.app.state.assigners
    )
    return JSONAnswer(found)


@router.post(
    "/segmentations/{segmentation_id}/archive",
    operation_id="archive_segmentation",
    summary="Retire a segmentation",
    status_code=202,
    response_model=JobStarted,
    responses=declared(404),
    dependencies=[Depends(Require("segments:write"))],
)
async def archive_segmentation(segmentation_id: UUID, request: Request, session: WriteSession) -> Response:
    """Ends all its memberships. Their history stays, and it can be activated again."""
    return await _start("archive_segmentation", segmentation_id, request, session)


@router.post(
    "/segmentations/{segmentation_id}/refresh",
    operation_id="refresh_segmentation",
    summary="Evaluate everybody again",
    status_code=202,
    response_model=JobStarted,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:write"))],
)
async def refresh_segmentation(segmentation_id: UUID, request: Request, session: WriteSession) -> Response:
    """Evaluates everybody as of now by the active version, range by range, and describes the segments anew."""
    return await _start("refresh_segmentation", segmentation_id, request, session)
