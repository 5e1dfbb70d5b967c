"""Features over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.modelling.features import service
from app.modelling.features.compiler import Reporting
from app.modelling.features.schemas import CustomerFeatures, FeatureList, Instant
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1", tag="Features")

AsOf = Annotated[
    Instant | None,
    Query(description="An instant such as 2026-01-31T12:00:00Z: what was true then. Default: now."),
]


def reporting_of(request: Request) -> Reporting:
    """How this service cuts money and days."""
    state = state_of(request)
    return Reporting(state.currency, state.timezone)


@router.get(
    "/features",
    operation_id="list_features",
    summary="The feature registry",
    response_model=FeatureList,
    dependencies=[Depends(Require("segments:read"))],
)
async def list_features(request: Request, session: ReadSession) -> Response:
    """Every feature that segmentations and models can use, with its unit, window and meaning.

    The attributes of customers can be used as well, by the name `attributes.<name>`: those that a sample of customers
    has are listed beside.
    """
    return JSONAnswer(await service.listed(session, currency=state_of(request).currency))


@router.get(
    "/customers/{customer_id}/features",
    operation_id="get_customer_features",
    summary="A customer's features, now or at a past instant",
    response_model=CustomerFeatures,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def get_customer_features(
    customer_id: CustomerId, request: Request, session: ReadSession, as_of: AsOf = None
) -> Response:
    """Computed from the customer's facts strictly before `as_of`, by the same definitions that training uses.

    Amounts in several currencies need exchange rates: without one the answer is 422 `missing_exchange_rates`.
    """
    survivor = await service.present(session, customer_id)
    instant = as_of or state_of(request).clock.now()
    found = await service.of_customer(session, survivor, as_of=instant, reporting=reporting_of(request))
    return JSONAnswer({"customer_id": survivor, **found})
