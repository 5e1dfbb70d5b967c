"""Audiences over HTTP."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.activation.audiences import service
from app.activation.audiences.exports import MEDIA_TYPES
from app.activation.audiences.schemas import AudiencePage
from app.measurement.campaigns.router import CampaignId
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, make_cursor, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import WriteSession
from app.web.state import state_of

router = router_for("/v1/campaigns", tag="Campaigns")

FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        }
    }
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom, and in which form."""

    arm: Annotated[
        str | None, Query(max_length=100, pattern="^[a-z0-9][a-z0-9_-]*$", description="Of this arm only.")
    ] = None
    file_format: Annotated[
        Literal["json", "ndjson", "csv"],
        Query(alias="format", description="json goes by pages; ndjson and csv are streamed whole."),
    ] = "json"


@router.get(
    "/{campaign_id}/audience",
    operation_id="get_campaign_audience",
    summary="Hand out whom to treat, without the holdout",
    response_model=AudiencePage,
    responses={**declared(404, 409), **FILES},
    dependencies=[Depends(Require("segments:read"))],
)
async def get_campaign_audience(
    campaign_id: CampaignId,
    request: Request,
    session: WriteSession,
    asked: Annotated[Asked, Depends()],
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Current members of the campaign's segment with marketing consent, each with their arm, decided once and for ever.

    Asking is what assigns: this GET writes. Arms of new members, the holdout's too, are decided and put on record with
    the time, before the answer leaves; asked again it gives the same customers and those who are new. Out of it are
    members of excluded segments, customers over the frequency cap, and those in a global holdout. Who withdraws
    consent is not handed out any more, but stays in the analysis.

    It goes by pieces of 100,000, in the order of identifiers: a page of json assigns the piece that it is from, so that
    going through all pages assigns everybody, and it may be shorter than asked for where a piece ends; a file assigns
    one piece after the other while it is streamed. A stream that was cut off is asked for again: whoever was in it is
    in it again with the same arm. In csv a cell that a spreadsheet would take for a formula has an apostrophe before it.
    """
    state = state_of(request)
    listing, now = f"audience of {campaign_id}: {asked.arm}", state.clock.now()
    position = read_cursor(state.secret, listing, cursor)
    rules = await service.rules_of(session, campaign_id, arm=asked.arm, secret=state.secret, now=now)
    if asked.file_format != "json":
        # Streamed in transactions of its own: this one is committed when the first byte leaves.
        parts = service.lines(state.database, rules, arm=asked.arm, file_format=asked.file_format, now=now)
        name = f'attachment; filename="audience.{asked.file_format}"'
        media_type = MEDIA_TYPES[asked.file_format]
        return StreamingResponse(parts, media_type=media_type, headers={"Content-Disposition": name})
    rows, following = await service.page(session, rules, arm=asked.arm, limit=limit, position=position, now=now)
    cursor = None if following is None else make_cursor(state.secret, listing, following)
    return JSONAnswer({"data": rows, "next_cursor": cursor})
