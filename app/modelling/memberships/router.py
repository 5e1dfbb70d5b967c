"""Memberships over HTTP."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.errors import FieldError, InvalidInput, SegmentationNotFound, SegmentNotFound
from app.modelling.features.compiler import Reporting
from app.modelling.features.router import AsOf
from app.modelling.features.schemas import Instant
from app.modelling.features.service import present
from app.modelling.memberships import exports, moves, reasons, repository, service
from app.modelling.memberships.freshness import Freshness
from app.modelling.memberships.lookup import Lookups
from app.modelling.memberships.schemas import (
    CustomerMemberships,
    ExplanationOut,
    HistoryPage,
    LookupIn,
    LookupOut,
    MemberPage,
    TransitionsOut,
)
from app.modelling.segments.repository import shown_version
from app.tables.metadata import MAX_IDENTIFIER
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.direct import DirectRoute, directly
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import CustomerId, identifier
from app.web.problems import declared
from app.web.routing import ALWAYS, router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1", tag="Memberships")
hot_router = APIRouter(prefix="/v1", tags=["Memberships"], route_class=DirectRoute, responses=declared(*ALWAYS))

FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        }
    }
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which members, and in which form."""

    as_of: AsOf = None
    file_format: Annotated[
        Literal["json", "ndjson", "csv"],
        Query(alias="format", description="json goes by pages; ndjson and csv are streamed whole."),
    ] = "json"


def lookups_of(request: Request) -> Lookups:
    lookups: Lookups = request.app.state.lookups
    return lookups


def freshness_of(request: Request) -> Freshness:
    freshness: Freshness = request.app.state.freshness
    return freshness


async def _current(request: Request) -> Response | None:
    """The current memberships; null for whoever needs a second look: merged away, unknown, not an identifier."""
    customer_id = identifier(request.path_params["customer_id"])
    if len(customer_id) > MAX_IDENTIFIER or "\x00" in customer_id:
        return None
    memberships = await lookups_of(request).find(customer_id)
    if memberships is None:
        return None
    found = service.answer(customer_id, memberships, as_of=state_of(request).clock.now())
    return JSONAnswer({**found, "freshness_seconds": freshness_of(request).seconds()})


@hot_router.get(
    "/customers/{customer_id}/segments",
    operation_id="get_customer_segments",
    summary="The segments a customer is in, now or at a past instant",
    response_model=CustomerMemberships,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
@directly(_current)
async def get_customer_segments(
    customer_id: CustomerId, request: Request, session: ReadSession, as_of: AsOf = None
) -> Response:
    """At most one membership of each segmentation, with the reason for it. A customer in no segment has none.

    With `as_of`, what was true then. Without it this is the fast way to look up a single customer.
    """
    found = await service.of_customer(
        session, customer_id, as_of=as_of, now=state_of(request).clock.now(), names=lookups_of(request).names
    )
    return JSONAnswer({**found, "freshness_seconds": freshness_of(request).seconds()})


@router.post(
    "/segments/lookup",
    operation_id="lookup_segments",
    summary="The segments of many customers",
    response_model=LookupOut,
    dependencies=[Depends(Require("segments:read"))],
)
async def lookup_segments(body: LookupIn, request: Request, session: ReadSession) -> Response:
    """Current memberships of up to 10,000 customers from one snapshot, each once, in the order asked."""
    found = await service.of_many(session, body.customer_ids, names=lookups_of(request).names)
    return JSONAnswer({**found, "freshness_seconds": freshness_of(request).seconds()})


@router.get(
    "/segments/{segment_id}/members",
    operation_id="list_segment_members",
    summary="The members of a segment, now or at a past instant",
    response_model=MemberPage,
    responses={**declared(404), **FILES},
    dependencies=[Depends(Require("segments:read"))],
)
async def list_segment_members(
    segment_id: UUID,
    request: Request,
    session: ReadSession,
    asked: Annotated[Asked, Depends()],
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """In byte order of the identifiers. As many as the segment's `size` says.

    In csv a cell that a spreadsheet would take for a formula has an apostrophe before it.
    """
    state = state_of(request)
    if not await repository.segment_exists(session, segment_id):
        raise SegmentNotFound()
    if asked.file_format != "json":
        parts = exports.lines(state.database, segment_id, as_of=asked.as_of, file_format=asked.file_format)
        name = f'attachment; filename="{segment_id}.{asked.file_format}"'
        media_type = exports.MEDIA_TYPES[asked.file_format]
        return StreamingResponse(parts, media_type=media_type, headers={"Content-Disposition": name})
    listing = f"members of {segment_id} at {asked.as_of}"
    position = read_cursor(state.secret, listing, cursor)
    rows = await repository.members(
        session, segment_id, as_of=asked.as_of, limit=limit, after=position[0] if position else None
    )
    found = page(rows, limit=limit, secret=state.secret, listing=listing, key=("customer_id",))
    return JSONAnswer({**found, "data": [exports.member(row) for row in found["data"]]})


@router.get(
    "/customers/{customer_id}/segments/history",
    operation_id="list_customer_segment_history",
    summary="Every segment a customer was in, newest first",
    response_model=HistoryPage,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def list_customer_segment_history(
    customer_id: CustomerId,
    request: Request,
    session: ReadSession,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Time ranges [valid_from, valid_to) without overlap within a segmentation, each with its version and reason."""
    secret = state_of(request).secret
    survivor = await present(session, customer_id)
    listing = f"segments of {survivor}"
    rows = await repository.history(session, survivor, limit=limit, before=read_cursor(secret, listing, cursor))
    found = page(rows, limit=limit, secret=secret, listing=listing, key=("valid_from", "segmentation_id"))
    return JSONAnswer({**found, "data": [exports.member(row) for row in found["data"]]})


@router.get(
    "/customers/{customer_id}/segments/explanation",
    operation_id="explain_customer_segments",
    summary="Why a customer is in their segments",
    response_model=ExplanationOut,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:read"))],
)
async def explain_customer_segments(
    customer_id: CustomerId, request: Request, session: ReadSession, as_of: AsOf = None
) -> Response:
    """Worked out from the features of that instant by the version that placed the customer then.

    Found segments: each feature's contribution against the next segment, and the margin to it. RFM: the scores and the
    edges they were given by. Rules: every condition that was tried, with the customer's own values.
    """
    state = state_of(request)
    found = await reasons.explained(
        session,
        customer_id,
        as_of=as_of,
        now=state.clock.now(),
        reporting=Reporting(state.currency, state.timezone),
        assigners=request.app.state.assigners,
    )
    return JSONAnswer(found)


@router.get(
    "/segmentations/{segmentation_id}/transitions",
    operation_id="list_segment_transitions",
    summary="Who moved where between two instants",
    response_model=TransitionsOut,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def list_segment_transitions(
    segmentation_id: UUID,
    session: ReadSession,
    start: Annotated[Instant, Query(alias="from", description="RFC 3339 with an offset.")],
    end: Annotated[Instant, Query(alias="to", description="RFC 3339 with an offset; after `from`.")],
) -> Response:
    """Customers by their segment at the one instant and at the other, those who stayed too; null is in none."""
    if end <= start:
        raise InvalidInput("to must be after from", errors=[FieldError("to", "window_empty", "must be after from")])
    if await shown_version(session, segmentation_id) is None:
        raise SegmentationNotFound()
    data = await moves.transitions(session, segmentation_id, start=start, end=end)
    return JSONAnswer({"segmentation_id": segmentation_id, "from": start, "to": end, "data": data})
