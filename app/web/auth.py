"""Who calls and what they may do: every route names the scope it needs."""

import base64
import binascii
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import Request
from sqlalchemy import select

from app.db.engine import Database
from app.errors import Forbidden, Unauthenticated
from app.tables.operations import api_keys
from app.web.keys import SCOPES, fingerprint, is_mistyped
from app.web.state import state_of

# A revoked key may still be taken by another process for this long.
REMEMBER_SECONDS = 1.0
REMEMBER_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Principal:
    """The key a request came with."""

    key_id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class KeyRing:
    """Keys seen a moment ago, so that busy callers do not cost a query each time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[bytes, tuple[float, Principal]] = {}

    async def find(self, key: str) -> Principal | None:
        digest = fingerprint(key)
        now = time.monotonic()
        seen = self._seen.get(digest)
        if seen is not None and seen[0] > now:
            return seen[1]
        principal = await self._look_up(digest)
        if principal is not None:
            if len(self._seen) >= REMEMBER_AT_MOST:
                self._seen.clear()
            self._seen[digest] = (now + REMEMBER_SECONDS, principal)
        return principal

    def forget(self) -> None:
        """After a revocation in this process: nothing remembered may outlive it."""
        self._seen.clear()

    async def _look_up(self, digest: bytes) -> Principal | None:
        """The key with this hash that was not revoked; null when there is none."""
        query = select(api_keys.c.key_id, api_keys.c.scopes, api_keys.c.expires_at).where(
            api_keys.c.hash == digest, api_keys.c.revoked_at.is_(None)
        )
        async with self._database.read() as session:
            row = (await session.execute(query)).one_or_none()
        return Principal(row.key_id, frozenset(row.scopes), row.expires_at) if row else None


def presented_key(authorization: str) -> str | None:
    """The key in an Authorization header: Bearer, or Basic with the key as user name (tracking clients)."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip() or None
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


async def authenticate(request: Request) -> Principal:
    """The principal of a request, or 401."""
    key = presented_key(request.headers.get("authorization", ""))
    if key is None:
        raise Unauthenticated("Send the API key as 'Authorization: Bearer <key>'")
    if is_mistyped(key):
        raise Unauthenticated("The API key is mistyped: its checksum does not match")
    ring: KeyRing = request.app.state.keys
    principal = await ring.find(key)
    if principal is None:
        raise Unauthenticated("The API key is unknown or revoked")
    if principal.expires_at is not None and principal.expires_at <= state_of(request).clock.now():
        raise Unauthenticated("The API key has expired")
    request.scope["principal"] = principal
    return principal


class Require:
    """A dependency that lets a request pass only with a key of this scope."""

    def __init__(self, scope: str) -> None:
        assert scope in SCOPES, f"{scope} is a known scope"
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        principal = await authenticate(request)
        if not principal.may(self.scope):
            raise Forbidden(f"This needs a key with the scope {self.scope!r}")
        return principal


def principal_of(request: Request) -> Principal:
    """The key this request was let in with."""
    principal: Principal = request.scope["principal"]
    return principal
