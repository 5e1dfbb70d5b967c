"""Transactions over HTTP."""

from fastapi import APIRouter, Depends, Request, Response

from app.records.intake.answers import BulkAnswer, answered_together, bulk_body, described, intake_of
from app.records.intake.bulk import ingest
from app.records.intake.customers import present
from app.records.transactions import repository
from app.records.transactions.schemas import TRANSACTIONS, TransactionPage
from app.records.transactions.service import TRANSACTION_KIND, shown
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.direct import DirectRoute, directly
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import ALWAYS, router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Transactions")
hot_router = APIRouter(prefix="/v1", tags=["Transactions"], route_class=DirectRoute, responses=declared(*ALWAYS))

EXAMPLE = {
    "transactions": [
        {
            "transaction_id": "T-1001",
            "customer_id": "C-17",
            "occurred_at": "2026-11-01T10:15:00Z",
            "amount": "59.90",
            "currency": "EUR",
            "channel": "web",
            "items": [{"product_id": "SKU-1", "quantity": 2, "unit_price": "29.95"}],
        }
    ],
    "source": "crm",
}


async def _small(request: Request) -> Response | None:
    return await answered_together(request, TRANSACTION_KIND)


@hot_router.post(
    "/transactions",
    operation_id="push_transactions",
    summary="Push purchases and refunds",
    response_model=BulkAnswer,
    openapi_extra=described(TRANSACTIONS, EXAMPLE),
    dependencies=[Depends(Require("ingest"))],
)
@directly(_small)
async def push_transactions(request: Request, session: WriteSession) -> Response:
    """Idempotent by (source, transaction_id): the same row again is a duplicate, another content a conflict.

    Unknown customers are created. Good rows are stored whatever the bad ones; bad ones are answered with their
    place and reason, and kept under `GET /v1/rejections`.

    A push of at most 100 rows is answered when the memberships of its customers are up to date; after a larger one,
    or while a segmentation is being activated, they follow within moments.
    """
    outcome = await ingest(session, TRANSACTION_KIND, await bulk_body(request), intake=intake_of(request))
    return JSONAnswer(outcome.shown())


@router.get(
    "/customers/{customer_id}/transactions",
    operation_id="list_customer_transactions",
    summary="A customer's transactions, newest first",
    response_model=TransactionPage,
    responses=declared(404),
    dependencies=[Depends(Require("customers:read"))],
)
async def list_customer_transactions(
    customer_id: CustomerId,
    request: Request,
    session: ReadSession,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    secret = state_of(request).secret
    listing = f"transactions of {customer_id}"
    customer_id = await present(session, customer_id)
    rows = await repository.page_of_customer(
        session, customer_id, limit=limit, before=read_cursor(secret, listing, cursor)
    )
    key = ("occurred_at", "source", "transaction_id")
    listed = page(rows, limit=limit, secret=secret, listing=listing, key=key)
    lines = await repository.items_of(
        session, [(row["source"], row["transaction_id"]) for row in listed["data"] if row["line_count"]]
    )
    data = [shown(row, lines.get((row["source"], row["transaction_id"]), ())) for row in listed["data"]]
    return JSONAnswer({**listed, "data": data})
