"""Segment's HTTP protocol, so that its public clients work with `host` set to this service."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request, Response

from app.db.engine import Session
from app.records.intake.answers import bulk_body, intake_of
from app.records.intake.envelope import MAX_ROWS, schema_of
from app.records.tracking.mapping import Reader
from app.records.tracking.reading import Sent, read_batch, read_single
from app.records.tracking.schemas import BatchIn, Message, TrackingAnswer
from app.records.tracking.service import take_in
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.routing import router_for
from app.web.sessions import WriteSession
from app.web.state import state_of

router = router_for("/v1", tag="Tracking")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the protocol that has a path of its own."""

    name: str
    summary: str
    meaning: str
    example: dict[str, Any]


WHO = {"userId": "C-17", "messageId": "m-1", "timestamp": "2026-11-01T10:15:00.000Z"}

CALLS = (
    Call(
        "identify",
        "Tell who a customer is, as a tracking client",
        "`traits` become attributes, `createdAt` among them created_at. Where `anonymousId` stands for a customer of its "
        "own, that customer is merged into the user.",
        {**WHO, "anonymousId": "a-1", "traits": {"plan": "gold", "createdAt": "2025-03-01T00:00:00Z"}},
    ),
    Call(
        "track",
        "Tell what a customer did, as a tracking client",
        "`event` becomes the type in snake_case (`Email Opened` is email_open, `Email Link Clicked` email_click), "
        "`messageId` the event_id, the source is `segment`. `Order Completed` becomes a purchase: `order_id` its "
        "transaction_id, `total` (else `revenue`, else `value`) its amount, `products` with an identifier and a price its "
        "items. `Order Refunded` becomes a refund `<order_id>:refund`, or `refund_id` where given.",
        {
            **WHO,
            "event": "Order Completed",
            "properties": {
                "order_id": "T-1001",
                "total": 59.9,
                "currency": "EUR",
                "products": [{"product_id": "SKU-1", "quantity": 2, "price": 29.95}],
            },
        },
    ),
    Call(
        "page",
        "Tell which page was seen, as a tracking client",
        "Kept as an event page_view; `name` and `category` join its properties.",
        {**WHO, "name": "Home", "properties": {"url": "https://shop.example/"}},
    ),
    Call(
        "screen",
        "Tell which screen was seen, as a tracking client",
        "Kept as an event screen_view; `name` and `category` join its properties.",
        {**WHO, "name": "Basket"},
    ),
    Call(
        "group",
        "Tell which group a customer belongs to, as a tracking client",
        "Kept as an event group with `group_id` and `traits` as its properties.",
        {**WHO, "groupId": "G-1", "traits": {"name": "Example Ltd"}},
    ),
    Call(
        "alias",
        "Tell that two identifiers are one customer, as a tracking client",
        "`previousId` is merged into `userId`, also when it was not known yet.",
        {**WHO, "previousId": "a-1"},
    ),
)

ALL_CALLS = """Answers 200 also when a message could not be used: it is listed under `rejected` and kept under
`GET /v1/rejections`. Without a `timestamp` the time of arrival counts; clocks of clients are not corrected.
The key goes as the user name of HTTP Basic, which is what clients do with their write key."""


def _documented(shape: Any, example: dict[str, Any]) -> dict[str, Any]:
    schema = schema_of(shape)
    if "batch" in schema["properties"]:
        schema["properties"]["batch"]["maxItems"] = MAX_ROWS
    content = {"schema": schema, "examples": {"typical": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def _answer(request: Request, session: Session, messages: Sequence[Sent], *, call: str | None = None) -> Response:
    state = state_of(request)
    reader = Reader(state.clock.now(), state.currency)
    outcome = await take_in(session, messages, reader=reader, secret=intake_of(request).secret, call=call)
    return JSONAnswer({"success": True, **outcome.shown()})


@router.post(
    "/batch",
    operation_id="track_batch",
    summary="Take in messages of a tracking client",
    description=f"The `type` of each message says which call it is: {', '.join(call.name for call in CALLS)}.\n\n{ALL_CALLS}",
    response_model=TrackingAnswer,
    openapi_extra=_documented(
        BatchIn, {"batch": [{"type": call.name, **call.example} for call in CALLS], "sentAt": WHO["timestamp"]}
    ),
    dependencies=[Depends(Require("ingest"))],
)
async def track_batch(request: Request, session: WriteSession) -> Response:
    return await _answer(request, session, read_batch(await bulk_body(request)))


def _endpoint(call: str) -> Callable[..., Awaitable[Response]]:
    async def take_call(request: Request, session: WriteSession) -> Response:
        return await _answer(request, session, read_single(await bulk_body(request)), call=call)

    return take_call


for each in CALLS:
    router.add_api_route(
        f"/{each.name}",
        _endpoint(each.name),
        methods=["POST"],
        operation_id=f"track_{each.name}" if each.name != "track" else "track_event",
        summary=each.summary,
        description=f"{each.meaning}\n\n{ALL_CALLS}",
        response_model=TrackingAnswer,
        openapi_extra=_documented(Message, each.example),
        dependencies=[Depends(Require("ingest"))],
    )
