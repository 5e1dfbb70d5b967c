"""Data quality over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.operations.quality import service
from app.operations.quality.schemas import QualityQuery, QualityReport
from app.operations.quality.service import Reporting
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1/quality", tag="Operations")


@router.get(
    "",
    operation_id="get_quality",
    summary="What is missing, late, doubled, refused or silent",
    response_model=QualityReport,
    dependencies=[Depends(Require("admin"))],
)
async def get_quality(query: Annotated[QualityQuery, Query()], request: Request, session: ReadSession) -> Response:
    """Looks at everything that came in during the window `[from, to)`, whenever it happened, from one snapshot.

    What cannot be told is null with a `reason`.
    """
    state = state_of(request)
    reporting = Reporting(state.currency, state.timezone, state.clock.now())
    return JSONAnswer(await service.report(session, from_=query.from_, to=query.to, reporting=reporting))
