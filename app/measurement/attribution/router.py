"""Attribution over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.measurement.attribution import service
from app.measurement.attribution.question import Sent
from app.measurement.attribution.schemas import AttributionAnswer, AttributionQuery
from app.measurement.attribution.sheets import csv_of
from app.measurement.kpis.question import Reporting
from app.measurement.spreadsheet import ALSO_CSV, wants_csv
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1/attribution", tag="Attribution")


@router.get(
    "",
    operation_id="get_attribution",
    summary="Which channels get the credit",
    response_model=AttributionAnswer,
    responses={**declared(404), **ALSO_CSV},
    dependencies=[Depends(Require("kpis:read"))],
)
async def get_attribution(
    query: Annotated[AttributionQuery, Query()], request: Request, session: ReadSession
) -> Response:
    """What each channel or campaign is credited with for the purchases (or conversions) of the window `[from, to)`.

    A journey is the touchpoints of a customer from the look-back before an outcome, but not from before the outcome that
    precedes it, to the outcome. Touchpoints are events with a channel (by campaign: with a campaign), other than
    `conversion`, `sign_up`, `survey`, `support`, `review`, `email_sent` and `page_view`; of a journey the last 100 count.
    Credits add up to the attributed totals, to the last minor unit; outcomes without a touchpoint are `unattributed`.

    Credit is not cause. Beside a channel whose campaign kept a holdout, `incrementality` says by which factor the model
    credits it too much or too little.
    """
    state = state_of(request)
    sent = Sent(
        model=query.model,
        order=query.order,
        game=query.game,
        half_life_days=query.half_life_days,
        from_=query.from_,
        to=query.to,
        look_back_days=query.look_back_days,
        outcome=query.outcome,
        by=query.by,
        group_by=query.group_by,
        segmentation_id=query.segmentation_id,
    )
    reporting = Reporting(currency=state.currency, zone=state.timezone, now=state.clock.now())
    answer = await service.answer(session, sent=sent, reporting=reporting)
    if wants_csv(query.format, request.headers.get("accept", "")):
        return csv_of(answer, grouped=query.group_by is not None)
    return JSONAnswer(answer, headers={"Vary": "Accept"})
