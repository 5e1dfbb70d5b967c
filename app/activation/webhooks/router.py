"""Webhooks over HTTP."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from app.activation.webhooks import repository, service
from app.activation.webhooks.guard import Guard
from app.activation.webhooks.schemas import (
    DeliveryOut,
    DeliveryPage,
    EndpointChange,
    EndpointIn,
    EndpointOut,
    EndpointPage,
    EndpointSecret,
    Replayed,
    ReplayIn,
    Status,
)
from app.web.answers import NOT_MODIFIED, JSONAnswer, json_bytes, tagged
from app.web.auth import Require
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, created_before, page, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/webhooks", tag="Webhooks")


def guard_of(request: Request) -> Guard:
    return cast(Guard, request.app.state.webhook_guard)


@router.post(
    "",
    operation_id="create_webhook",
    summary="Ask to be told of changes",
    status_code=201,
    response_model=EndpointSecret,
    responses=declared(409),
    dependencies=[Depends(Require("segments:write"))],
)
async def create_webhook(
    body: EndpointIn, request: Request, session: WriteSession, idempotency: Idempotent
) -> Response:
    """Changes from now on are sent as signed messages (Standard Webhooks). The secret is in this answer only.

    Only customers with marketing consent are told of. At most 50 endpoints.
    """
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    state = state_of(request)
    made = await service.create(
        session, body.model_dump(), guard=guard_of(request), secret=state.secret, now=state.clock.now()
    )
    headers = {"Location": f"/v1/webhooks/{made['endpoint_id']}"}
    response = JSONAnswer(made, status_code=201, headers=headers)
    return await idempotency.remember(session, response, shown_again=json_bytes({**made, "secret": None}))


@router.get(
    "",
    operation_id="list_webhooks",
    summary="List webhook endpoints",
    response_model=EndpointPage,
    dependencies=[Depends(Require("segments:read"))],
)
async def list_webhooks(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Newest first, each with what still waits to be delivered to it."""
    secret = state_of(request).secret
    after = created_before(read_cursor(secret, "webhooks", cursor))
    rows = await repository.page(session, limit=limit, after=after)
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing="webhooks", key=("created_at", "endpoint_id")))


@router.get(
    "/{endpoint_id}",
    operation_id="get_webhook",
    summary="One webhook endpoint",
    response_model=EndpointOut,
    responses={**declared(404), **NOT_MODIFIED},
    dependencies=[Depends(Require("segments:read"))],
)
async def get_webhook(endpoint_id: UUID, request: Request, session: ReadSession) -> Response:
    """Its secret is not shown again: `rotate` makes a new one."""
    return tagged(request, await service.find(session, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="change_webhook",
    summary="Change a webhook endpoint",
    response_model=EndpointOut,
    responses=declared(404),
    dependencies=[Depends(Require("segments:write"))],
)
async def change_webhook(endpoint_id: UUID, body: EndpointChange, request: Request, session: WriteSession) -> Response:
    """What is not named stays. Messages that wait go to the new URL; those of an endpoint that is off wait on."""
    asked = body.model_dump(exclude_unset=True)
    return JSONAnswer(await service.change(session, endpoint_id, asked, guard=guard_of(request)))


@router.delete(
    "/{endpoint_id}",
    operation_id="delete_webhook",
    summary="Remove a webhook endpoint",
    status_code=204,
    responses=declared(404),
    dependencies=[Depends(Require("segments:write"))],
)
async def delete_webhook(endpoint_id: UUID, session: WriteSession) -> Response:
    """With all its messages, sent or not."""
    await service.remove(session, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate",
    operation_id="rotate_webhook_secret",
    summary="Make a new secret",
    response_model=EndpointSecret,
    responses=declared(404),
    dependencies=[Depends(Require("segments:write"))],
)
async def rotate_webhook_secret(endpoint_id: UUID, request: Request, session: WriteSession) -> Response:
    """For 24 hours messages carry a signature by the old secret too, so that receivers change over without loss.

    After a leak call it twice: then nothing is signed with the leaked one any more.
    """
    state = state_of(request)
    return JSONAnswer(await service.rotate(session, endpoint_id, secret=state.secret, now=state.clock.now()))


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook",
    summary="Send a test message",
    status_code=202,
    response_model=DeliveryOut,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:write"))],
)
async def test_webhook(endpoint_id: UUID, request: Request, session: WriteSession) -> Response:
    """`webhook.test`, sent within seconds like any other message; `deliveries` shows what came of it."""
    delivery = await service.test(session, endpoint_id, now=state_of(request).clock.now())
    headers = {"Location": f"/v1/webhooks/{endpoint_id}/deliveries"}
    return JSONAnswer(delivery, status_code=202, headers=headers)


@router.get(
    "/{endpoint_id}/deliveries",
    operation_id="list_webhook_deliveries",
    summary="Messages to one endpoint",
    response_model=DeliveryPage,
    responses=declared(404),
    dependencies=[Depends(Require("segments:read"))],
)
async def list_webhook_deliveries(
    endpoint_id: UUID,
    request: Request,
    session: ReadSession,
    status: Annotated[Status | None, Query(description="Only messages of this status.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Newest first, kept for 30 days."""
    await service.find(session, endpoint_id)
    secret, listing = state_of(request).secret, f"deliveries to {endpoint_id} {status}"
    position = read_cursor(secret, listing, cursor)
    rows = await repository.deliveries(
        session, endpoint_id, status=status, limit=limit, before=position[0] if position else None
    )
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing=listing, key=("delivery_id",)))


@router.post(
    "/{endpoint_id}/replay",
    operation_id="replay_webhook",
    summary="Send messages again",
    response_model=Replayed,
    responses=declared(404, 409),
    dependencies=[Depends(Require("segments:write"))],
)
async def replay_webhook(endpoint_id: UUID, body: ReplayIn, request: Request, session: WriteSession) -> Response:
    """With the same `webhook-id` and content, and all attempts before them again."""
    now = state_of(request).clock.now()
    return JSONAnswer({"replayed": await service.replay(session, endpoint_id, body.model_dump(), now=now)})
