"""Lists by keyset: a signed cursor says after which row the next page begins."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query

from app.errors import BadCursor

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
_SIGNATURE_BYTES = 12

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.")]
CursorText = Annotated[
    str | None, Query(max_length=4_096, description="next_cursor of the page before; omit for the first page.")
]


def _signature(secret: bytes, listing: str, payload: bytes) -> bytes:
    return hmac.new(secret, listing.encode() + b"\x00" + payload, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def make_cursor(secret: bytes, listing: str, position: Sequence[Any]) -> str:
    """A cursor for one listing (its name and filters): the sort key of the last row given."""
    payload = orjson.dumps(list(position))
    return base64.urlsafe_b64encode(_signature(secret, listing, payload) + payload).decode().rstrip("=")


def read_cursor(secret: bytes, listing: str, cursor: str | None) -> list[Any] | None:
    """The position in a cursor made for this very listing; null for the first page."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCursor() from None
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(secret, listing, payload)):
        raise BadCursor()
    position: list[Any] = orjson.loads(payload)
    return position


def created_before(position: Sequence[Any] | None) -> tuple[datetime, UUID] | None:
    """The position in a list that is newest first, by (created_at, id)."""
    return None if position is None else (datetime.fromisoformat(position[0]), UUID(position[1]))


def page(
    rows: Sequence[dict[str, Any]], *, limit: int, secret: bytes, listing: str, key: Sequence[str]
) -> dict[str, Any]:
    """A page from limit + 1 rows: the extra row only tells that there is more."""
    shown = list(rows[:limit])
    more = len(rows) > limit
    cursor = make_cursor(secret, listing, [shown[-1][name] for name in key]) if more else None
    return {"data": shown, "next_cursor": cursor}
