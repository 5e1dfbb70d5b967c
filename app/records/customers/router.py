"""Customers over HTTP."""

from fastapi import Depends, Request, Response

from app.records.customers import repository, service
from app.records.customers.schemas import CUSTOMERS, CustomerPage, CustomerProfile
from app.records.intake.answers import BulkAnswer, bulk_body, described, intake_of
from app.web.answers import NOT_MODIFIED, JSONAnswer, tagged
from app.web.auth import Require
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/customers", tag="Customers")

EXAMPLE = {
    "customers": [
        {
            "customer_id": "C-17",
            "attributes": {"country": "DE", "plan": "plus", "birth_year": 1984},
            "consent": {"profiling": True, "marketing": False},
            "created_at": "2025-03-08T09:30:00Z",
            "updated_at": "2026-11-01T10:15:00Z",
        }
    ]
}


@router.post(
    "",
    operation_id="push_customers",
    summary="Push customers: create them and update what is known of them",
    response_model=BulkAnswer,
    openapi_extra=described(CUSTOMERS, EXAMPLE),
    dependencies=[Depends(Require("ingest"))],
)
async def push_customers(request: Request, session: WriteSession) -> Response:
    """What a row says is merged into what is known; what it leaves out, or gives as null, stays as it is.

    - `attributes` merge name by name, each value as a whole; a null removes the attribute.
    - `consent` flags change one by one; a null flag says nothing, so withdraw with false.
    - `updated_at` decides between rows: one that is older than the newest pushed overwrites nothing and only fills
      what is missing. A row without it applies, and leaves the known `updated_at` as it is.
    - Rows of one customer in one body apply in their order. `duplicates` counts rows that changed nothing.
    - An identifier that was merged away means the surviving customer; one that was erased is refused
      (`customer_erased`) and nothing of the row is kept.

    Good rows are stored whatever the bad ones; bad ones are answered with their place and reason, and kept under
    `GET /v1/rejections`.
    """
    outcome = await service.push(session, await bulk_body(request), intake=intake_of(request))
    return JSONAnswer(outcome.shown())


@router.get(
    "",
    operation_id="list_customers",
    summary="List customers by identifier",
    response_model=CustomerPage,
    dependencies=[Depends(Require("customers:read"))],
)
async def list_customers(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """What was pushed of each customer, in byte order of the identifiers."""
    secret = state_of(request).secret
    position = read_cursor(secret, "customers", cursor)
    rows = await repository.page(session, limit=limit, after=position[0] if position else None)
    listed = page(rows, limit=limit, secret=secret, listing="customers", key=("customer_id",))
    return JSONAnswer({**listed, "data": [service.shown(row) for row in listed["data"]]})


@router.get(
    "/{customer_id}",
    operation_id="get_customer",
    summary="Everything known of one customer today",
    response_model=CustomerProfile,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("customers:read"))],
)
async def get_customer(customer_id: CustomerId, request: Request, session: ReadSession) -> Response:
    """What was pushed, and a section for each thing that is inferred of the customer, with its `as_of`.

    An identifier that was merged away answers the surviving customer, with `merged_from`.
    """
    found = await service.profile(
        session, customer_id, sections=request.app.state.profile_sections, now=state_of(request).clock.now()
    )
    return tagged(request, found)
