"""The same Idempotency-Key and body: the first answer again, and nothing happens twice."""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from sqlalchemy import func, insert, select

from app.db.engine import Session
from app.errors import FieldError, IdempotencyKeyReused
from app.tables.operations import idempotency_keys
from app.web.auth import principal_of

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of your own. Sending it again with the same body gives the first answer again.",
    ),
]


class Idempotency:
    """The idempotency key of one request, if it has one."""

    def __init__(self, request: Request, key: IdempotencyHeader = None) -> None:
        self._request, self._key = request, key

    async def replay(self, session: Session) -> Response | None:
        """The first answer to this key, once whoever is working on the same key has finished; null if new."""
        if self._key is None:
            return None
        caller, path = principal_of(self._request).key_id, self._request.url.path
        await session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(f"{caller} {path} {self._key}", 0)))
        )
        known = idempotency_keys.c
        found = (
            await session.execute(
                select(known.body_digest, known.status, known.headers, known.body).where(
                    known.key_id == caller, known.path == path, known.idempotency_key == self._key
                )
            )
        ).one_or_none()
        if found is None:
            return None
        if found.body_digest != await self._digest():
            raise IdempotencyKeyReused(
                errors=[FieldError("Idempotency-Key", "idempotency_key_reused", "first used with another body")]
            )
        return Response(found.body, found.status, {**found.headers, "Idempotency-Replayed": "true"})

    async def remember(self, session: Session, response: Response, *, shown_again: bytes | None = None) -> Response:
        """Keep the first answer, in the transaction that it reports; shown_again replaces a body with secrets."""
        if self._key is not None:
            headers: dict[str, Any] = {
                name: response.headers[name] for name in ("content-type", "location") if name in response.headers
            }
            await session.execute(
                insert(idempotency_keys).values(
                    key_id=principal_of(self._request).key_id,
                    path=self._request.url.path,
                    idempotency_key=self._key,
                    body_digest=await self._digest(),
                    status=response.status_code,
                    headers=headers,
                    body=bytes(response.body) if shown_again is None else shown_again,
                )
            )
        return response

    async def _digest(self) -> bytes:
        asked = self._request.url.query.encode() + b"\x00" + await self._request.body()
        return hashlib.sha256(asked).digest()


Idempotent = Annotated[Idempotency, Depends(Idempotency)]
