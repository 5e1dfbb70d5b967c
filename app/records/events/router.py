"""Events over HTTP."""

from fastapi import APIRouter, Depends, Request, Response

from app.records.events import repository
from app.records.events.schemas import EVENTS, EventPage
from app.records.events.service import EVENT_KIND, shown
from app.records.intake.answers import BulkAnswer, answered_together, bulk_body, described, intake_of
from app.records.intake.bulk import ingest
from app.records.intake.customers import present
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.direct import DirectRoute, directly
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import ALWAYS, router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Events")
hot_router = APIRouter(prefix="/v1", tags=["Events"], route_class=DirectRoute, responses=declared(*ALWAYS))

EXAMPLE = {
    "events": [
        {
            "event_id": "E-1",
            "customer_id": "C-17",
            "type": "email_click",
            "occurred_at": "2026-11-01T10:15:00Z",
            "channel": "email",
            "campaign_id": "autumn",
            "properties": {"link": "new-arrivals"},
        },
        {
            "event_id": "E-2",
            "customer_id": "C-17",
            "type": "survey",
            "occurred_at": "2026-11-01T10:20:00Z",
            "properties": {"csat": 4, "nps": 9},
        },
    ],
    "source": "crm",
}


async def _small(request: Request) -> Response | None:
    return await answered_together(request, EVENT_KIND)


@hot_router.post(
    "/events",
    operation_id="push_events",
    summary="Push what customers did",
    response_model=BulkAnswer,
    openapi_extra=described(EVENTS, EXAMPLE),
    dependencies=[Depends(Require("ingest"))],
)
@directly(_small)
async def push_events(request: Request, session: WriteSession) -> Response:
    """Idempotent by (source, event_id): the same row again is a duplicate, another content a conflict.

    Unknown customers are created. Any snake_case type is kept; key figures read the types that the field `type`
    lists. A `survey` answers `csat` with 1 to 5 and `nps` with 0 to 10, whole numbers. Good rows are stored whatever
    the bad ones; bad ones are answered with their place and reason, and kept under `GET /v1/rejections`.

    A push of at most 100 rows is answered when the memberships of its customers are up to date; after a larger one,
    or while a segmentation is being activated, they follow within moments.
    """
    outcome = await ingest(session, EVENT_KIND, await bulk_body(request), intake=intake_of(request))
    return JSONAnswer(outcome.shown())


@router.get(
    "/customers/{customer_id}/events",
    operation_id="list_customer_events",
    summary="A customer's events, newest first",
    response_model=EventPage,
    responses=declared(404),
    dependencies=[Depends(Require("customers:read"))],
)
async def list_customer_events(
    customer_id: CustomerId,
    request: Request,
    session: ReadSession,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Everything but purchases and refunds, across all sources; a merged customer's events count as the survivor's."""
    secret = state_of(request).secret
    listing = f"events of {customer_id}"
    customer_id = await present(session, customer_id)
    before = read_cursor(secret, listing, cursor)
    rows = await repository.page_of_customer(session, customer_id, limit=limit, before=before)
    listed = page(rows, limit=limit, secret=secret, listing=listing, key=("occurred_at", "source", "event_id"))
    return JSONAnswer({**listed, "data": [shown(row) for row in listed["data"]]})
