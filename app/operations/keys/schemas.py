"""API keys on the wire."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.web.keys import SCOPES


def _known(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"unknown scope; known are {', '.join(SCOPES)}")
    return scope


class KeyIn(BaseModel):
    """What a new key is for and what it may do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "webshop", "scopes": ["ingest"], "expires_at": "2027-01-01T00:00:00Z"}]
        },
    )

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(SCOPES)})]] = Field(
        min_length=1, max_length=len(SCOPES)
    )
    expires_at: AwareDatetime | None = None


class KeyOut(BaseModel):
    """A key as it is listed: never the key itself."""

    key_id: UUID
    name: str
    hint: str = Field(description="The first characters, to recognise it by.")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyCreated(KeyOut):
    """The only answer that ever holds the key. Null when a repeated request is answered again."""

    key: str | None


class KeyPage(BaseModel):
    data: list[KeyOut]
    next_cursor: str | None
