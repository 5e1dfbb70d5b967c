"""Exchange rates over HTTP."""

from typing import Annotated

from fastapi import Depends, Request, Response

from app.records.exchange_rates import repository
from app.records.exchange_rates.schemas import RATES, RateFilter, RatePage
from app.records.exchange_rates.service import put, shown
from app.records.intake.answers import BulkAnswer, bulk_body, described, intake_of
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Exchange rates")

EXAMPLE = {"rates": [{"on": "2026-10-30", "from": "USD", "to": "EUR", "rate": "0.9231"}]}


@router.put(
    "/exchange-rates",
    operation_id="put_exchange_rates",
    summary="Put daily exchange rates",
    response_model=BulkAnswer,
    openapi_extra=described(RATES, EXAMPLE),
    dependencies=[Depends(Require("ingest"))],
)
async def put_exchange_rates(request: Request, session: WriteSession) -> Response:
    """A rate replaces the one that stood for its day and pair.

    Amounts are reported by the rate of their day, or the last one up to 7 days before; a rate given the other way
    round counts inverted. Two rates for one day and pair in one body contradict each other: the first is taken.
    """
    outcome = await put(session, await bulk_body(request), intake=intake_of(request))
    return JSONAnswer(outcome.shown())


@router.get(
    "/exchange-rates",
    operation_id="list_exchange_rates",
    summary="Exchange rates as they stand",
    response_model=RatePage,
    dependencies=[Depends(Require("kpis:read"))],
)
async def list_exchange_rates(
    request: Request,
    session: ReadSession,
    only: Annotated[RateFilter, Depends()],
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """By day, then by pair; `from` and `to` choose the currencies, `on_from` and `on_to` the days."""
    secret = state_of(request).secret
    listing = f"exchange rates of {only}"
    after = read_cursor(secret, listing, cursor)
    rows = await repository.page(session, only=only, limit=limit, after=after)
    key = ("on_day", "from_currency", "to_currency")
    listed = page(rows, limit=limit, secret=secret, listing=listing, key=key)
    return JSONAnswer({**listed, "data": [shown(row) for row in listed["data"]]})
