"""Key figures over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Any, cast, get_args

from fastapi import Depends, Query, Request, Response

from app.errors import FieldError, InvalidInput
from app.measurement.kpis import service
from app.measurement.kpis.definitions import KPIS
from app.measurement.kpis.kinds import Dimension, Kpi
from app.measurement.kpis.question import Reporting, Sent
from app.measurement.kpis.schemas import DefinitionList, KpiAnswer, KpiQuery
from app.measurement.kpis.sheets import csv_of
from app.measurement.spreadsheet import ALSO_CSV, wants_csv
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1/kpis", tag="Key figures")


@router.get(
    "",
    operation_id="get_kpis",
    summary="Key figures with their uncertainty",
    response_model=KpiAnswer,
    responses={**declared(404), **ALSO_CSV},
    dependencies=[Depends(Require("kpis:read"))],
)
async def get_kpis(query: Annotated[KpiQuery, Query()], request: Request, session: ReadSession) -> Response:
    """Every asked metric, for every group, in every period of the window `[from, to)`.

    Sums and counts are 0 where nothing happened; what cannot be computed is null with a `reason`. Amounts in other
    currencies are converted by the rate of their day, the last one given up to 7 days before; where there is none
    the answer is 422 and names currency and days. At most 50,000 figures in one answer.

    Groups are shown when they have facts; by segment alone every segment is. A fact belongs to the segment its
    customer was in at that time. Facts from before a customer's first membership in the segmentation count to that
    first one, so that a segmentation made today shows the past, too. Facts of guests, of customers who were never
    in it, and from gaps between memberships are in the segment null. Who bought in two groups is a buyer in both.

    With `compare_from` and `compare_to` every figure has a `baseline` and a `change`, absolute and relative, with an
    interval where the figure has one. A metric that a grouping means nothing for is null with a reason.

    In csv there is a line for each figure, and a cell that a spreadsheet would take for a formula has an apostrophe
    before it.
    """
    state = state_of(request)
    sent = Sent(
        metrics=tuple(query.metric),
        from_=query.from_,
        to=query.to,
        group_by=_dimensions(query.group_by),
        segmentation_id=query.segmentation_id,
        interval=query.interval,
        customers=query.customers,
        compare_from=query.compare_from,
        compare_to=query.compare_to,
    )
    reporting = Reporting(currency=state.currency, zone=state.timezone, now=state.clock.now())
    answer = await service.answer(session, sent=sent, reporting=reporting)
    if wants_csv(query.format, request.headers.get("accept", "")):
        return csv_of(answer, sent.group_by)
    return JSONAnswer(answer, headers={"Vary": "Accept"})


@router.get(
    "/definitions",
    operation_id="list_kpi_definitions",
    summary="What each metric means",
    response_model=DefinitionList,
    dependencies=[Depends(Require("kpis:read"))],
)
async def list_kpi_definitions() -> Response:
    """Each metric is defined once; figures, this list and the documentation come from that definition."""
    return JSONAnswer({"data": [_shown(kpi) for kpi in KPIS]})


def _dimensions(words: Sequence[str]) -> tuple[Dimension, ...]:
    known = get_args(Dimension)
    flaws = [
        FieldError("group_by", "unknown_dimension", f"{word!r} is none of {', '.join(known)}")
        for word in words
        if word not in known
    ]
    if flaws:
        raise InvalidInput(flaws[0].detail, errors=flaws)
    return cast(tuple[Dimension, ...], tuple(words))


def _shown(kpi: Kpi) -> dict[str, Any]:
    same = ("name", "unit", "direction", "interval", "meaning")
    measures = {
        "numerator": kpi.numerator.name,
        "denominator": kpi.denominator.name if kpi.denominator is not None else None,
    }
    meaningless = {"has_no_meaning_by": sorted(kpi.has_no_meaning_by)}
    return {**{name: getattr(kpi, name) for name in same}, **measures, **meaningless}
