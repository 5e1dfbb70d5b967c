"""Initiatives and their return over HTTP."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from app.measurement.kpis.question import Reporting
from app.measurement.roi import initiatives, repository, service
from app.measurement.roi.calculating import calculate
from app.measurement.roi.schemas import (
    CalculateIn,
    CalculateOut,
    InitiativeIn,
    InitiativeOut,
    InitiativePage,
    RoiOut,
    RoiQuery,
)
from app.web.answers import NOT_MODIFIED, JSONAnswer, tagged
from app.web.auth import Require
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import identifier
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Return on investment")

InitiativeId = Annotated[
    str,
    Path(min_length=1, max_length=255, examples=["personalisation"], description="Encode a slash in it as %2F."),
    AfterValidator(identifier),
]


@router.post(
    "/roi/calculate",
    operation_id="calculate_roi",
    summary="Return on investment of given amounts",
    response_model=CalculateOut,
    dependencies=[Depends(Require("roi:read"))],
)
async def calculate_roi(body: CalculateIn) -> Response:
    """The arithmetic alone; nothing is stored or looked up. (gain x margin_rate - cost) / cost.

    A gain of 540,000 at a cost of 120,000 returns 3.5, that is 350 %; at a margin rate of 0.4 it returns 0.8.
    """
    return JSONAnswer(calculate(body.model_dump()))


@router.post(
    "/initiatives",
    operation_id="create_initiative",
    summary="Plan an initiative",
    status_code=201,
    response_model=InitiativeOut,
    responses=declared(409),
    dependencies=[Depends(Require("roi:write"))],
)
async def create_initiative(
    body: InitiativeIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Campaigns and costs that name it are judged together. Give its campaigns a holdout: nothing else shows as well
    what would have happened without.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    made = await initiatives.create(session, body.model_dump(), currency=state_of(request).currency)
    return await idempotency.remember(session, JSONAnswer(made, status_code=201))


@router.get(
    "/initiatives",
    operation_id="list_initiatives",
    summary="List initiatives, newest first",
    response_model=InitiativePage,
    dependencies=[Depends(Require("roi:read"))],
)
async def list_initiatives(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Every initiative as it was planned."""
    state = state_of(request)
    rows = await repository.page(session, limit=limit, before=read_cursor(state.secret, "initiatives", cursor))
    shown = [initiatives.shown(row, currency=state.currency) for row in rows]
    key = ("created_at", "initiative_id")
    return JSONAnswer(page(shown, limit=limit, secret=state.secret, listing="initiatives", key=key))


@router.get(
    "/initiatives/{initiative_id}/roi",
    operation_id="get_initiative_roi",
    summary="What an initiative was worth",
    response_model=RoiOut,
    responses=declared(404),
    dependencies=[Depends(Require("roi:read"))],
)
async def get_initiative_roi(
    initiative_id: InitiativeId, query: Annotated[RoiQuery, Query()], request: Request, session: ReadSession
) -> Response:
    """Gain, cost and return with an interval and a grade of evidence: A by lot, B against comparable customers, C against
    the days before, D declared. `auto` takes the best there is and says what would raise the grade.

    The gain is revenue net of refunds or contribution margin, as the initiative says. Costs are those booked on the
    initiative or its campaigns, by day. What customers are predicted to be worth is shown apart and never added.
    """
    state = state_of(request)
    reporting = Reporting(currency=state.currency, zone=state.timezone, now=state.clock.now())
    found = await service.answer(
        session,
        initiative_id,
        method=query.method,
        by=query.by_segment,
        level=query.confidence,
        reporting=reporting,
    )
    return JSONAnswer(found)


@router.get(
    "/initiatives/{initiative_id}",
    operation_id="get_initiative",
    summary="One initiative",
    response_model=InitiativeOut,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("roi:read"))],
)
async def get_initiative(initiative_id: InitiativeId, request: Request, session: ReadSession) -> Response:
    """As it was planned."""
    row = await initiatives.found(session, initiative_id)
    return tagged(request, initiatives.shown(row, currency=state_of(request).currency))
