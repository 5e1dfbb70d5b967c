"""Bulk writes over HTTP: how bodies are described, read and answered."""

from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field

from app.errors import UnsupportedMedia
from app.records.intake.bulk import Intake, Kind, ingest
from app.records.intake.envelope import Envelope
from app.records.intake.together import Together
from app.web.answers import JSONAnswer
from app.web.sessions import audit_entry, written

# A push of up to so many rows is answered when the memberships of its customers are up to date.
SMALL_PUSH_ROWS = 100
SMALL_PUSH_BYTES = 65_536
PLAIN_JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")


class RejectedRow(BaseModel):
    index: int = Field(description="Where the row stood in the body, from 0.")
    code: str
    pointer: str
    detail: str


class BulkAnswer(BaseModel):
    """What became of the rows: received = created + updated + duplicates + number of rejected."""

    received: int
    created: int
    updated: int
    duplicates: int
    rejected: list[RejectedRow]


def intake_of(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


def together_of(request: Request) -> Together:
    together: Together = request.app.state.together
    return together


async def bulk_body(request: Request) -> bytes:
    """The bytes of a bulk body, for the decoder of its kind."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMedia(f"Send application/json, not {media_type or 'a body without a content type'}")
    return await request.body()


async def answered_together(request: Request, kind: Kind[Any, Any]) -> Response | None:
    """The answer to a small push, stored with others; null, its body unread, for one that is not small."""
    headers = request.headers
    length = headers.get("content-length", "")
    small = length.isdecimal() and int(length) <= SMALL_PUSH_BYTES and "content-encoding" not in headers
    if not small or headers.get("content-type") not in PLAIN_JSON:
        return None
    body = await request.body()
    batch = kind.envelope.read(body)
    if batch.received <= SMALL_PUSH_ROWS:
        outcome = await together_of(request).push(kind, batch, entry=audit_entry(request))
    else:
        async with written(request) as session:
            outcome = await ingest(session, kind, body, intake=intake_of(request))
    return JSONAnswer(outcome.shown())


def described(envelope: Envelope[Any], example: dict[str, Any]) -> dict[str, Any]:
    """The request body for OpenAPI: the very shape that decodes it, inlined."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": envelope.openapi(), "examples": {"typical": {"value": example}}}
            },
        }
    }
