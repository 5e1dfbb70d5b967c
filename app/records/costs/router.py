"""Costs over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.records.costs import repository
from app.records.costs.schemas import COSTS, CostPage
from app.records.costs.service import cost_kind, shown
from app.records.intake.answers import BulkAnswer, bulk_body, described, intake_of
from app.records.intake.bulk import ingest
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Costs")

EXAMPLE = {
    "costs": [
        {
            "cost_id": "INV-2026-117",
            "campaign_id": "autumn",
            "channel": "email",
            "category": "media",
            "amount": "1200.00",
            "currency": "EUR",
            "from": "2026-10-01",
            "to": "2026-11-01",
        }
    ]
}

# PostgreSQL cannot compare text with a NUL character.
OfThing = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")]


@router.post(
    "/costs",
    operation_id="push_costs",
    summary="Push what was spent",
    response_model=BulkAnswer,
    openapi_extra=described(COSTS, EXAMPLE),
    dependencies=[Depends(Require("ingest"))],
)
async def push_costs(request: Request, session: WriteSession) -> Response:
    """Idempotent by cost_id: the same row again is a duplicate, another content a conflict.

    A cost counts evenly over its days, `to` not included. Good rows are stored whatever the bad ones; bad ones are
    answered with their place and reason, and kept under `GET /v1/rejections`.
    """
    kind = cost_kind(state_of(request).timezone)
    outcome = await ingest(session, kind, await bulk_body(request), intake=intake_of(request))
    return JSONAnswer(outcome.shown())


@router.get(
    "/costs",
    operation_id="list_costs",
    summary="Costs as they were pushed",
    response_model=CostPage,
    dependencies=[Depends(Require("roi:read"))],
)
async def list_costs(
    request: Request,
    session: ReadSession,
    campaign_id: OfThing = None,
    initiative_id: OfThing = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """In the order of their identifiers; all, or those of one campaign or initiative."""
    secret = state_of(request).secret
    listing = f"costs of {[campaign_id, initiative_id]}"
    rows = await repository.page(
        session,
        campaign_id=campaign_id,
        initiative_id=initiative_id,
        limit=limit,
        after=read_cursor(secret, listing, cursor),
    )
    listed = page(rows, limit=limit, secret=secret, listing=listing, key=("cost_id",))
    return JSONAnswer({**listed, "data": [shown(row) for row in listed["data"]]})
