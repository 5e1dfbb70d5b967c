"""API keys over HTTP."""

from uuid import UUID

from fastapi import Depends, Request, Response

from app.operations.keys import repository, service
from app.operations.keys.schemas import KeyCreated, KeyIn, KeyPage
from app.web.answers import JSONAnswer, json_bytes
from app.web.auth import KeyRing, Require
from app.web.idempotency import Idempotent
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, created_before, page, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/keys", tag="Operations")


@router.post(
    "",
    operation_id="create_key",
    summary="Make an API key",
    status_code=201,
    response_model=KeyCreated,
    responses=declared(409),
    dependencies=[Depends(Require("admin"))],
)
async def create_key(body: KeyIn, request: Request, session: WriteSession, idempotency: Idempotent) -> Response:
    """The key is in this answer and never again: only its hash is stored."""
    if (answer := await idempotency.replay(session)) is not None:
        return answer
    key, record = await service.create(
        session, name=body.name, scopes=body.scopes, expires_at=body.expires_at, now=state_of(request).clock.now()
    )
    response = JSONAnswer({**record, "key": key}, status_code=201)
    return await idempotency.remember(session, response, shown_again=json_bytes({**record, "key": None}))


@router.get(
    "",
    operation_id="list_keys",
    summary="List API keys",
    response_model=KeyPage,
    dependencies=[Depends(Require("admin"))],
)
async def list_keys(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    secret = state_of(request).secret
    after = created_before(read_cursor(secret, "keys", cursor))
    rows = await repository.page(session, limit=limit, after=after)
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing="keys", key=("created_at", "key_id")))


@router.delete(
    "/{key_id}",
    operation_id="revoke_key",
    summary="Revoke an API key",
    status_code=204,
    responses=declared(404),
    dependencies=[Depends(Require("admin"))],
)
async def revoke_key(key_id: UUID, request: Request, session: WriteSession) -> Response:
    """The key stops working at once here, and within a second on other processes."""
    await service.revoke(session, key_id, now=state_of(request).clock.now())
    ring: KeyRing = request.app.state.keys
    ring.forget()
    return Response(status_code=204)
