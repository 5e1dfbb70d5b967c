"""Refused rows over HTTP."""

from typing import Annotated

from fastapi import Depends, Path, Request, Response

from app.records.intake.answers import BulkAnswer, intake_of
from app.records.rejections import service
from app.records.rejections.schemas import RETRY_BODY, Filters, RejectionPage
from app.web.answers import JSONAnswer
from app.web.auth import Require, principal_of
from app.web.body import read_body
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, make_cursor, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/rejections", tag="Rejections")

LARGEST_ID = 2**63 - 1


@router.get(
    "",
    operation_id="list_rejections",
    summary="Rows that were refused, newest first",
    response_model=RejectionPage,
    dependencies=[Depends(Require("ingest"))],
)
async def list_rejections(
    request: Request,
    session: ReadSession,
    filters: Annotated[Filters, Depends()],
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Every refused row with what was sent and why it was refused, so that nothing is lost.

    A page may hold fewer rows than asked for when they are large; `next_cursor` says whether there are more.
    """
    secret = state_of(request).secret
    listing = f"rejections {filters.kind} {filters.code} {filters.status}"
    position = read_cursor(secret, listing, cursor)
    rows, more = await service.listed(session, filters, limit=limit, before=position[0] if position else None)
    following = make_cursor(secret, listing, [rows[-1]["rejection_id"]]) if more else None
    return JSONAnswer({"data": rows, "next_cursor": following})


@router.post(
    "/{rejection_id}/retry",
    operation_id="retry_rejection",
    summary="Try a refused row again",
    response_model=BulkAnswer,
    responses=declared(404, 409),
    openapi_extra=RETRY_BODY,
    dependencies=[Depends(Require("ingest"))],
)
async def retry_rejection(
    rejection_id: Annotated[int, Path(ge=1, le=LARGEST_ID)], request: Request, session: WriteSession
) -> Response:
    """With `payload` the mended row is tried, without it the kept one, which helps when what it lacked is there now.

    A row that is stored is resolved. One that is still bad stays open with the new reason and the row last tried,
    and is answered under `rejected`. A row that an earlier retry stored is a conflict. Trying exposures again needs
    the scope that pushing them does, `roi:write`, too.
    """
    kinds = request.app.state.record_kinds
    may = principal_of(request).may
    payload = service.mended(await read_body(request)) if await request.body() else None
    outcome = await service.retry(
        session,
        rejection_id,
        payload=payload,
        kinds={name: kind for name, kind in kinds.items() if may(kind.scope)},
        intake=intake_of(request),
        now=state_of(request).clock.now(),
    )
    return JSONAnswer(outcome.shown())
