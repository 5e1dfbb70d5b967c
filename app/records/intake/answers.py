"""Bulk writes over HTTP: how bodies are described, read and answered."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field

from app.errors import UnsupportedMedia
from app.records.intake.bulk import Intake
from app.records.intake.envelope import Envelope


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


async def bulk_body(request: Request) -> bytes:
    """The bytes of a bulk body, for the decoder of its kind."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMedia(f"Send application/json, not {media_type or 'a body without a content type'}")
    return await request.body()


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
