"""Lifetime value over HTTP."""

from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from app.modelling.clv import equity, service
from app.modelling.clv.schemas import (
    ClvJobStarted,
    ClvModelIn,
    ClvModelOut,
    ClvModelPage,
    CustomerClv,
    EquityOut,
    ScoresIn,
    ScoresOut,
    StoredClvPage,
)
from app.modelling.features.router import AsOf, reporting_of
from app.modelling.predictions import service as predictions
from app.modelling.registry.shelf import Models
from app.web.answers import JSONAnswer, accepted, tagged
from app.web.auth import Require, principal_of
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.paths import CustomerId
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Lifetime value")

READ, WRITE = [Depends(Require("segments:read"))], [Depends(Require("segments:write"))]


def models_of(request: Request) -> Models:
    return cast(Models, request.app.state.clv_models)


def _started(job_id: UUID, kind: str, model_id: UUID) -> Response:
    return accepted(job_id, {"id": job_id, "kind": kind, "status": "queued", "model_id": model_id})


@router.post(
    "/clv/models",
    operation_id="create_clv_model",
    summary="Learn a lifetime value model",
    status_code=202,
    response_model=ClvJobStarted,
    responses=declared(409),
    dependencies=WRITE,
)
async def create_clv_model(
    body: ClvModelIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Learns from everybody's purchase days up to `calibration_end` how often customers buy, when they leave, and what
    a purchase is worth. What happened after that day is then compared with what the model expected.

    The result is a candidate: it serves once it is activated. What cannot be learned from fails the job, and the
    model says why: `no_repeat_purchases`, `too_few_customers`, `horizon_exceeds_history`, `missing_exchange_rates`.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    job_id, model_id = await service.ask(
        session,
        body,
        now=state_of(request).clock.now(),
        reporting=reporting_of(request),
        key_id=principal_of(request).key_id,
    )
    return await idempotency.remember(session, _started(job_id, "train_clv_model", model_id))


@router.get(
    "/clv/models",
    operation_id="list_clv_models",
    summary="List lifetime value models, newest first",
    response_model=ClvModelPage,
    dependencies=READ,
)
async def list_clv_models(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Those still in training and those whose training failed too."""
    secret = state_of(request).secret
    position = read_cursor(secret, "clv_models", cursor)
    after = (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None
    rows = await service.listed(session, limit=limit, after=after)
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing="clv_models", key=("created_at", "model_id")))


@router.get(
    "/clv/models/{model_id}",
    operation_id="get_clv_model",
    summary="One lifetime value model",
    response_model=ClvModelOut,
    responses={**declared(404), 304: {"description": "The caller has this version already (`If-None-Match`)."}},
    dependencies=READ,
)
async def get_clv_model(model_id: UUID, request: Request, session: ReadSession) -> Response:
    """What it learned, how the fit ended, and how its forecast compares with what happened since."""
    return tagged(request, await service.one(session, model_id))


@router.post(
    "/clv/models/{model_id}/activate",
    operation_id="activate_clv_model",
    summary="Put a lifetime value model to work",
    status_code=202,
    response_model=ClvJobStarted,
    responses=declared(404, 409),
    dependencies=WRITE,
)
async def activate_clv_model(model_id: UUID, request: Request, session: WriteSession) -> Response:
    """Scores everybody by it, then has it serve. Until then the one before does."""
    job_id = await predictions.start_activation(session, "clv", model_id, key_id=principal_of(request).key_id)
    return _started(job_id, "activate_clv_model", model_id)


@router.post(
    "/clv/models/{model_id}/archive",
    operation_id="archive_clv_model",
    summary="Retire a lifetime value model",
    response_model=ClvModelOut,
    responses=declared(404, 409),
    dependencies=WRITE,
)
async def archive_clv_model(model_id: UUID, request: Request, session: WriteSession) -> Response:
    """The active one then serves no longer. It can be activated again."""
    return JSONAnswer(await service.archive(session, model_id, now=state_of(request).clock.now()))


@router.get(
    "/customers/{customer_id}/clv",
    operation_id="get_customer_clv",
    summary="What a customer is expected to be worth",
    response_model=CustomerClv,
    responses=declared(404, 409),
    dependencies=READ,
)
async def get_customer_clv(
    customer_id: CustomerId, request: Request, session: ReadSession, as_of: AsOf = None
) -> Response:
    """By the active model, from the customer's purchases strictly before `as_of`, computed now. Of who never bought
    nothing can be told: null, with the reason `no_purchases`.

    A past instant is answered by the model that served then; one before any did by the first, if that one had
    learned from nothing later. 409 `no_active_model` otherwise.
    """
    found = await service.of_customer(
        session,
        customer_id,
        as_of=as_of,
        now=state_of(request).clock.now(),
        reporting=reporting_of(request),
        models=models_of(request),
    )
    return JSONAnswer(found)


@router.post(
    "/clv/scores",
    operation_id="score_clv",
    summary="What many customers are expected to be worth",
    response_model=ScoresOut,
    responses=declared(409),
    dependencies=READ,
)
async def score_clv(body: ScoresIn, request: Request, session: ReadSession) -> Response:
    """The same as for one customer, computed now; identifiers that nobody has are `unknown`."""
    found = await service.of_many(
        session,
        body.customer_ids,
        as_of=body.as_of,
        now=state_of(request).clock.now(),
        reporting=reporting_of(request),
        models=models_of(request),
    )
    return JSONAnswer(found)


@router.get(
    "/clv/customers",
    operation_id="list_customers_by_clv",
    summary="Customers by lifetime value, the highest first",
    response_model=StoredClvPage,
    responses=declared(404, 409),
    dependencies=READ,
)
async def list_customers_by_clv(
    request: Request,
    session: ReadSession,
    segment_id: Annotated[UUID | None, Query(description="Only current members of this segment.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Forecasts as of when everybody was last scored, which is every night; those without a lifetime value come last."""
    state = state_of(request)
    listing = f"clv_customers {segment_id or ''}"
    position = read_cursor(state.secret, listing, cursor)
    after = (position[0], position[1]) if position else None
    model, rows = await equity.listed(session, segment_id=segment_id, limit=limit, after=after, currency=state.currency)
    found = page(rows, limit=limit, secret=state.secret, listing=listing, key=("clv_minor", "customer_id"))
    data = [{name: value for name, value in row.items() if not name.endswith("_minor")} for row in found["data"]]
    about = {"model_id": model.model_id, "horizon_days": model.request["horizon_days"]}
    return JSONAnswer({**found, "data": data, **about})


@router.get(
    "/clv/equity",
    operation_id="get_customer_equity",
    summary="Customer equity, in total and by segment",
    response_model=EquityOut,
    responses=declared(404, 409),
    dependencies=READ,
)
async def get_customer_equity(
    request: Request,
    session: ReadSession,
    group_by: Annotated[Literal["segment"] | None, Query(description="Default: everybody together alone.")] = None,
    segmentation_id: Annotated[UUID | None, Query(description="Only segments of this one; default all active.")] = None,
) -> Response:
    """The stored lifetime values of these customers added up; of segments, of their current members. `history` has
    what it was whenever everybody was scored, by whichever model served.
    """
    found = await equity.equity(
        session,
        by_segment=group_by == "segment",
        segmentation_id=segmentation_id,
        currency=state_of(request).currency,
    )
    return JSONAnswer(found)
