"""Campaigns, results and global holdouts over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from app.measurement.campaigns import holdouts, repository, service
from app.measurement.campaigns.comparing import Manner
from app.measurement.campaigns.result_schemas import ResultsOut, ResultsQuery
from app.measurement.campaigns.results import Wanted, results
from app.measurement.campaigns.schemas import (
    CampaignIn,
    CampaignOut,
    CampaignPage,
    HoldoutIn,
    HoldoutOut,
    HoldoutPage,
)
from app.web.answers import NOT_MODIFIED, JSONAnswer, tagged
from app.web.auth import Require
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, created_before, page, read_cursor
from app.web.paths import identifier
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Campaigns")

CampaignId = Annotated[
    str,
    Path(min_length=1, max_length=255, examples=["autumn-mailing"], description="Encode a slash in it as %2F."),
    AfterValidator(identifier),
]


@router.post(
    "/campaigns",
    operation_id="create_campaign",
    summary="Plan a campaign with its arms and holdout",
    status_code=201,
    response_model=CampaignOut,
    responses=declared(409),
    dependencies=[Depends(Require("roi:write"))],
)
async def create_campaign(
    body: CampaignIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Nobody is assigned yet: that happens when the audience is handed out, or when arms are pushed.

    A campaign does not change afterwards; its arms are decided by a keyed hash of campaign and customer.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    made = await service.create(session, body.model_dump(), now=state_of(request).clock.now())
    response = JSONAnswer(made, status_code=201)
    return await idempotency.remember(session, response)


@router.get(
    "/campaigns",
    operation_id="list_campaigns",
    summary="List campaigns",
    response_model=CampaignPage,
    dependencies=[Depends(Require("roi:read"))],
)
async def list_campaigns(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Newest first."""
    state = state_of(request)
    rows = await repository.page(session, limit=limit, before=read_cursor(state.secret, "campaigns", cursor))
    key = ("created_at", "campaign_id")
    found = page(rows, limit=limit, secret=state.secret, listing="campaigns", key=key)
    return JSONAnswer({**found, "data": [service.shown(row, now=state.clock.now()) for row in found["data"]]})


@router.get(
    "/campaigns/{campaign_id}",
    operation_id="get_campaign",
    summary="A campaign as planned",
    response_model=CampaignOut,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("roi:read"))],
)
async def get_campaign(campaign_id: CampaignId, request: Request, session: ReadSession) -> Response:
    return tagged(request, await service.get(session, campaign_id, now=state_of(request).clock.now()))


@router.get(
    "/campaigns/{campaign_id}/results",
    operation_id="get_campaign_results",
    summary="What a campaign changed, against its holdout",
    response_model=ResultsOut,
    responses=declared(404),
    dependencies=[Depends(Require("roi:read"))],
)
async def get_campaign_results(
    campaign_id: CampaignId, query: Annotated[ResultsQuery, Query()], request: Request, session: ReadSession
) -> Response:
    """Every assigned customer counts in the arm they were assigned to, buyer or not, reached or not.

    `effect` and `lift` are right for one look at the end, `always_valid` however often one looks. What cannot be
    computed is null with a `reason`. Customers whose time is not over are left out and shown in `maturity`.
    """
    state = state_of(request)
    now = state.clock.now()
    wanted = Wanted(
        metrics=query.metric,
        by_segment=query.by_segment,
        winsorize=query.winsorize,
        manner=Manner(state.currency, state.timezone, query.confidence, query.tuning),
    )
    return JSONAnswer(await results(session, campaign_id, wanted=wanted, now=now))


@router.post(
    "/holdouts",
    operation_id="create_holdout",
    summary="Keep a share of all customers out of every campaign",
    status_code=201,
    response_model=HoldoutOut,
    responses=declared(409),
    dependencies=[Depends(Require("roi:write"))],
)
async def create_holdout(body: HoldoutIn, request: Request, session: WriteSession, idempotency: Idempotent) -> Response:
    """Chosen by a keyed hash. While it lasts its customers get no arm: they are in no campaign's comparison.

    Those assigned before stay in their campaigns' analysis, and are not handed out any more.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    made = await holdouts.create(session, share=body.share, starts_at=body.starts_at, now=state_of(request).clock.now())
    return await idempotency.remember(session, JSONAnswer(made, status_code=201))


@router.get(
    "/holdouts",
    operation_id="list_holdouts",
    summary="List global holdouts, past ones too",
    response_model=HoldoutPage,
    dependencies=[Depends(Require("roi:read"))],
)
async def list_holdouts(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Newest first."""
    secret = state_of(request).secret
    rows = await holdouts.page(session, limit=limit, after=created_before(read_cursor(secret, "holdouts", cursor)))
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing="holdouts", key=("created_at", "holdout_id")))


@router.post(
    "/holdouts/{holdout_id}/end",
    operation_id="end_holdout",
    summary="End a global holdout",
    response_model=HoldoutOut,
    responses=declared(404, 409),
    dependencies=[Depends(Require("roi:write"))],
)
async def end_holdout(holdout_id: UUID, request: Request, session: WriteSession) -> Response:
    """From now on its customers may be assigned. It stays in the list."""
    return JSONAnswer(await holdouts.end(session, holdout_id, now=state_of(request).clock.now()))
