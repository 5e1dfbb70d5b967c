"""Churn over HTTP."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from app.modelling.churn import service
from app.modelling.churn.definitions import KIND
from app.modelling.churn.lookup import ChurnLookups
from app.modelling.churn.requests import wanted
from app.modelling.churn.schemas import (
    AtRiskPage,
    ChurnModelIn,
    ChurnModelOut,
    ChurnModelPage,
    ModelStarted,
    ScoresIn,
    ScoresOut,
    ScoreWithReasons,
    SegmentsChurnOut,
)
from app.modelling.churn.service import Serving, Wanted
from app.modelling.features.router import AsOf, reporting_of
from app.modelling.predictions import service as predictions
from app.tables.metadata import MAX_IDENTIFIER
from app.web.answers import NOT_MODIFIED, JSONAnswer, accepted, tagged
from app.web.auth import Require, principal_of
from app.web.direct import DirectRoute, directly
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, created_before, page, read_cursor
from app.web.paths import CustomerId, identifier
from app.web.problems import declared
from app.web.routing import ALWAYS, router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Churn")
hot_router = APIRouter(prefix="/v1", tags=["Churn"], route_class=DirectRoute, responses=declared(*ALWAYS))
READ, WRITE = [Depends(Require("segments:read"))], [Depends(Require("segments:write"))]


def _serving(request: Request) -> Serving:
    return Serving(request.app.state.churn_models, reporting_of(request), state_of(request).clock.now())


def _started(job_id: UUID, kind: str, model_id: UUID) -> Response:
    return accepted(job_id, {"id": job_id, "kind": kind, "status": "queued", "model_id": model_id})


async def _current(request: Request) -> Response | None:
    """The score now; null for whoever needs a second look: merged away, unknown, not an identifier."""
    customer_id = identifier(request.path_params["customer_id"])
    if len(customer_id) > MAX_IDENTIFIER or "\x00" in customer_id:
        return None
    found = await cast(ChurnLookups, request.app.state.churn_lookups).find(customer_id)
    return None if found is None else JSONAnswer(found)


@hot_router.get(
    "/customers/{customer_id}/churn",
    operation_id="get_customer_churn",
    summary="How likely a customer is to leave, and why",
    response_model=ScoreWithReasons,
    responses=declared(404, 409),
    dependencies=READ,
)
@directly(_current)
async def get_customer_churn(
    customer_id: CustomerId, request: Request, session: ReadSession, as_of: AsOf = None
) -> Response:
    """Scored now, from current features, by the active model. Contributions are in log odds: above 0 speaks for leaving.

    With `as_of` the score is made again, by the model that served then from what is known of the time before; 409
    where none did. Who never bought has no probability but a reason.
    """
    return JSONAnswer(await service.of_customer(session, customer_id, _serving(request), as_of=as_of))


@router.post(
    "/churn/models",
    operation_id="create_churn_model",
    summary="Learn a churn model",
    status_code=202,
    response_model=ModelStarted,
    responses=declared(409),
    dependencies=WRITE,
)
async def create_churn_model(
    body: ChurnModelIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Learns from customers as they were at several cutoffs and what they did in the horizon after each; judged on the
    last cutoff, which it had not seen. With a label: from what is known of customers now, judged out of fold.

    The result is a candidate until it is activated. What cannot be learned from fails the job with the reason:
    `horizon_exceeds_history`, `one_class`, `everyone_active`, `too_few_positives`, `missing_exchange_rates`.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    state = state_of(request)
    job_id, model_id = await predictions.ask(
        session,
        KIND,
        wanted(body, now=state.clock.now(), currency=state.currency),
        key_id=principal_of(request).key_id,
    )
    return await idempotency.remember(session, _started(job_id, "train_churn_model", model_id))


@router.get(
    "/churn/models",
    operation_id="list_churn_models",
    summary="List churn models, newest first",
    response_model=ChurnModelPage,
    dependencies=READ,
)
async def list_churn_models(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Those still in training and those whose training failed too."""
    state, listing = state_of(request), "churn_models"
    after = created_before(read_cursor(state.secret, listing, cursor))
    rows = await service.listed(session, currency=state.currency, limit=limit, after=after)
    key = ("created_at", "model_id")
    return JSONAnswer(page(rows, limit=limit, secret=state.secret, listing=listing, key=key))


@router.get(
    "/churn/models/{model_id}",
    operation_id="get_churn_model",
    summary="One churn model: what it learned, how good it is, how it has fared",
    response_model=ChurnModelOut,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=READ,
)
async def get_churn_model(model_id: UUID, request: Request, session: ReadSession) -> Response:
    """Figures are of customers and times that what is judged had not seen. `leakage` names features that tell the
    outcome by themselves; `drift` says how today's customers differ, with warnings.
    """
    return tagged(request, await service.one(session, model_id, currency=state_of(request).currency))


@router.post(
    "/churn/models/{model_id}/activate",
    operation_id="activate_churn_model",
    summary="Put a churn model to work",
    status_code=202,
    response_model=ModelStarted,
    responses=declared(404, 409),
    dependencies=WRITE,
)
async def activate_churn_model(model_id: UUID, request: Request, session: WriteSession) -> Response:
    """Scores everybody by it, then has it serve. Until then the one before does."""
    job_id = await predictions.start_activation(session, KIND, model_id, key_id=principal_of(request).key_id)
    return _started(job_id, "activate_churn_model", model_id)


@router.post(
    "/churn/models/{model_id}/archive",
    operation_id="archive_churn_model",
    summary="Retire a churn model",
    response_model=ChurnModelOut,
    responses=declared(404, 409),
    dependencies=WRITE,
)
async def archive_churn_model(model_id: UUID, request: Request, session: WriteSession) -> Response:
    """If it was the active one, none serves until another is activated. It can be activated again."""
    state = state_of(request)
    found = await service.archive(session, model_id, now=state.clock.now(), currency=state.currency)
    return JSONAnswer(found)


@router.post(
    "/churn/scores",
    operation_id="score_churn",
    summary="How likely many customers are to leave",
    response_model=ScoresOut,
    responses=declared(409),
    dependencies=READ,
)
async def score_churn(body: ScoresIn, request: Request, session: ReadSession) -> Response:
    """Up to 10,000 customers, scored now from one snapshot, each once, in the order asked; without reasons."""
    return JSONAnswer(await service.of_many(session, body.customer_ids, _serving(request)))


@router.get(
    "/churn/at-risk",
    operation_id="list_customers_at_risk",
    summary="Customers by value at risk",
    response_model=AtRiskPage,
    responses=declared(404, 409),
    dependencies=READ,
)
async def list_customers_at_risk(
    request: Request,
    session: ReadSession,
    min_probability: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)] = 0.0,
    segment_id: Annotated[UUID | None, Query(description="Only customers in this segment.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """By churn probability x expected value, the highest first, as of the last nightly scoring. Who refused profiling or
    marketing is left out, and with a label whoever is known to have left.
    """
    state = state_of(request)
    listing = f"at risk from {min_probability} in {segment_id}"
    position = read_cursor(state.secret, listing, cursor)
    after = (position[0], position[1], position[2]) if position else None
    found = await service.at_risk(session, Wanted(min_probability, segment_id, limit, after), _serving(request))
    key = ("value_at_risk_minor", "churn_probability", "customer_id")
    rows = page(found.pop("rows"), limit=limit, secret=state.secret, listing=listing, key=key)
    data = [{name: row[name] for name in row if name != "value_at_risk_minor"} for row in rows["data"]]
    return JSONAnswer({**found, **rows, "data": data})


@router.get(
    "/churn/segments",
    operation_id="list_churn_by_segment",
    summary="Churn by segment",
    response_model=SegmentsChurnOut,
    responses=declared(404, 409),
    dependencies=READ,
)
async def list_churn_by_segment(
    request: Request,
    session: ReadSession,
    segmentation_id: Annotated[
        UUID | None, Query(description="Which segmentation; not needed while exactly one is active.")
    ] = None,
) -> Response:
    """Today's members of each segment, their mean probability, how many are in which band, and the value at risk, as of
    the last nightly scoring. Sums, so that consent does not matter.
    """
    return JSONAnswer(await service.by_segment(session, segmentation_id, _serving(request)))
