"""Who is told of changes: adding, changing and removing receivers, testing them, sending them things again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.activation.webhooks import repository
from app.activation.webhooks.guard import BadURL, Guard
from app.activation.webhooks.signing import secret_of
from app.clock import format_instant
from app.db.engine import Session
from app.errors import BadWindow, Conflict, FieldError, InvalidInput, NotReady, WebhookNotFound

# Every change is matched with every endpoint, and every endpoint with work has a lane of its own.
MAX_ENDPOINTS = 50
TEST_EVENT = "webhook.test"


async def create(
    session: Session, asked: Mapping[str, Any], *, guard: Guard, secret: bytes, now: datetime
) -> dict[str, Any]:
    """A new endpoint with its secret, which is derived here and stored nowhere."""
    await _check(session, asked, guard=guard)
    if await repository.count(session) >= MAX_ENDPOINTS:
        raise Conflict(f"There are {MAX_ENDPOINTS} webhook endpoints already: delete one first")
    endpoint_id = await repository.create(session, {**asked, "created_at": now})
    endpoint = await find(session, endpoint_id)
    return {**endpoint, "secret": secret_of(secret, endpoint_id, generation=1)}


async def find(session: Session, endpoint_id: UUID) -> dict[str, Any]:
    endpoint = await repository.find(session, endpoint_id)
    if endpoint is None:
        raise WebhookNotFound()
    return endpoint


async def change(session: Session, endpoint_id: UUID, asked: Mapping[str, Any], *, guard: Guard) -> dict[str, Any]:
    """Set what was sent. Switching an endpoint on or off clears the service's own reason for having done so."""
    await _check(session, asked, guard=guard)
    values = {**asked, "disabled_reason": None} if "enabled" in asked else dict(asked)
    if values and not await repository.change(session, endpoint_id, values):
        raise WebhookNotFound()
    return await find(session, endpoint_id)


async def rotate(session: Session, endpoint_id: UUID, *, secret: bytes, now: datetime) -> dict[str, Any]:
    """The endpoint with a new secret; for a while messages are signed with the old one too."""
    generation = await repository.rotate(session, endpoint_id, now=now)
    if generation is None:
        raise WebhookNotFound()
    endpoint = await find(session, endpoint_id)
    return {**endpoint, "secret": secret_of(secret, endpoint_id, generation=generation)}


async def remove(session: Session, endpoint_id: UUID) -> None:
    if not await repository.remove(session, endpoint_id):
        raise WebhookNotFound()


async def test(session: Session, endpoint_id: UUID, *, now: datetime) -> dict[str, Any]:
    """A message that shows whether everything is in place; sent like any other."""
    await _enabled(session, endpoint_id)
    payload = {"type": TEST_EVENT, "timestamp": format_instant(now), "data": {"endpoint_id": str(endpoint_id)}}
    return await repository.add_test(session, endpoint_id, payload=payload, now=now)


async def replay(session: Session, endpoint_id: UUID, asked: Mapping[str, Any], *, now: datetime) -> int:
    """Messages of a time range, put back among what is to be delivered; how many."""
    if asked["until"] is not None and asked["until"] <= asked["since"]:
        raise BadWindow(
            "until must be after since", errors=[FieldError("/until", "bad_window", "ends before it starts")]
        )
    await _enabled(session, endpoint_id)
    return await repository.replay(session, endpoint_id, **asked, now=now)


async def _enabled(session: Session, endpoint_id: UUID) -> None:
    if not (await find(session, endpoint_id))["enabled"]:
        raise NotReady("Nothing is sent to an endpoint that is switched off: PATCH it with enabled true first")


async def _check(session: Session, asked: Mapping[str, Any], *, guard: Guard) -> None:
    if "url" in asked:
        try:
            guard.check_url(asked["url"])
        except BadURL as error:
            raise InvalidInput(
                "Messages cannot be sent to this URL", errors=[FieldError("/url", error.code, str(error))]
            ) from None
    segment_ids: Sequence[UUID] | None = asked.get("segment_ids")
    if segment_ids:
        unknown = await repository.unknown_segments(session, segment_ids)
        if unknown:
            raise InvalidInput(
                "There are no such segments",
                errors=[
                    FieldError(f"/segment_ids/{index}", "segment_not_found", "there is no such segment")
                    for index, segment_id in enumerate(segment_ids)
                    if segment_id in unknown
                ],
            )
