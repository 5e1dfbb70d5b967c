"""Cohorts over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.measurement.cohorts import service
from app.measurement.cohorts.schemas import CohortQuery, Triangle
from app.measurement.cohorts.service import Asked
from app.measurement.kpis.question import Reporting
from app.measurement.spreadsheet import ALSO_CSV, csv_answer, wants_csv
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1/cohorts", tag="Key figures")

CELL = ("age", "period", "complete", "buyers", "value", "low", "high", "level", "n", "reason")


@router.get(
    "",
    operation_id="get_cohorts",
    summary="Retention and revenue by time of first purchase",
    response_model=Triangle,
    responses={**declared(), **ALSO_CSV},
    dependencies=[Depends(Require("kpis:read"))],
)
async def get_cohorts(query: Annotated[CohortQuery, Query()], request: Request, session: ReadSession) -> Response:
    """One row per cohort: the known customers whose first purchase ever lies in that period of the window.

    One cell per age: who of them bought in the period so long after, with an amount above 0, as a share with Wilson's
    interval, as a number, or as gross revenue in the reporting currency. Cells of periods that have not begun are null
    with `not_begun`; the one that is not over has `complete` false, since its value may still grow. At most 320 cohorts.

    In csv there is a line for each cell.
    """
    state = state_of(request)
    asked = Asked(metric=query.metric, from_=query.from_, to=query.to, interval=query.interval)
    reporting = Reporting(currency=state.currency, zone=state.timezone, now=state.clock.now())
    answer = await service.triangle(session, asked=asked, reporting=reporting)
    if not wants_csv(query.format, request.headers.get("accept", "")):
        return JSONAnswer(answer, headers={"Vary": "Accept"})
    rows = (
        (
            cohort["cohort"],
            cohort["customers"],
            answer["metric"],
            *(cell.get(name) for name in CELL),
            answer["currency"],
        )
        for cohort in answer["data"]
        for cell in cohort["cells"]
    )
    return csv_answer(("cohort", "customers", "metric", *CELL, "currency"), rows, name="cohorts")
