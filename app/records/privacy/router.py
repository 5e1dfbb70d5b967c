"""Merging, exporting and erasing customers over HTTP."""

from fastapi import Depends, Request, Response

from app.records.privacy import service
from app.records.privacy.schemas import ErasureReceipt, ExportOut, MergeIn, MergeOut
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/customers", tag="Privacy")

# :path, because identifiers may hold slashes, and whoever can be stored must be erasable.


@router.post(
    "/merge",
    operation_id="merge_customers",
    summary="Merge one customer into another",
    response_model=MergeOut,
    responses=declared(404, 409),
    dependencies=[Depends(Require("customers:write"))],
)
async def merge_customers(body: MergeIn, request: Request, session: WriteSession) -> Response:
    """`from` becomes another name of `into`: its transactions and events move, and whatever is asked of it or pushed
    to it from now on means `into`. Names merged into `from` earlier follow.

    Where both say something, the attributes of `into` win; of each consent the stricter holds (false before unknown
    before true). Memberships of `from` are removed and `into` is evaluated anew. The same merge again changes nothing.
    """
    merged = await service.merge(session, source=body.source, target=body.target, now=state_of(request).clock.now())
    return JSONAnswer(merged)


@router.get(
    "/{customer_id}/export",
    operation_id="export_customer",
    summary="Everything known of a customer, table by table",
    response_model=ExportOut,
    responses=declared(404),
    dependencies=[Depends(Require("customers:read"))],
)
async def export_customer(customer_id: CustomerId, request: Request, session: ReadSession) -> Response:
    """The rows of every table that knows the customer under any of their names, refused rows included."""
    return JSONAnswer(await service.export(session, customer_id, now=state_of(request).clock.now()))


@router.delete(
    "/{customer_id}",
    operation_id="erase_customer",
    summary="Erase a customer",
    response_model=ErasureReceipt,
    responses=declared(404),
    dependencies=[Depends(Require("customers:write"))],
)
async def erase_customer(customer_id: CustomerId, request: Request, session: WriteSession) -> Response:
    """The customer is forgotten under all their names, at once and for good.

    Transactions and events stay without the customer, so that totals stay right; everything else goes. What remains
    is a keyed hash by which a later push of the same identifier is refused (`customer_erased`). A customer that was
    erased before answers the same receipt.
    """
    state = state_of(request)
    return JSONAnswer(await service.erase(session, customer_id, secret=state.secret, now=state.clock.now()))
