"""Pushed arms over HTTP."""

from fastapi import Depends, Request, Response

from app.activation.exposures import service
from app.activation.exposures.schemas import EXAMPLE, EXPOSURES, ExposuresAnswer
from app.measurement.campaigns.router import CampaignId
from app.records.intake.answers import bulk_body, described, intake_of
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import WriteSession

router = router_for("/v1/campaigns", tag="Campaigns")


@router.post(
    "/{campaign_id}/exposures",
    operation_id="push_exposures",
    summary="Push arms that were assigned elsewhere",
    response_model=ExposuresAnswer,
    responses=declared(404),
    openapi_extra=described(EXPOSURES, EXAMPLE),
    dependencies=[Depends(Require("roi:write"))],
)
async def push_exposures(campaign_id: CampaignId, request: Request, session: WriteSession) -> Response:
    """Good rows are stored whatever the bad ones. The first arm of a customer stays: the same one again is a duplicate,
    another one is refused (`conflict`) and counted as a cross-over.

    Push everybody, the holdout too, and those who never react: what counts is per assigned customer. Unknown
    customers are created. Names that were merged are followed. Deeds count from `at` on. Refused rows are kept under
    `GET /v1/rejections`, with the campaign as their `source`.
    """
    body = await bulk_body(request)
    return JSONAnswer(await service.push(session, campaign_id, body, intake=intake_of(request)))
