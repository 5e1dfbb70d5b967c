"""Making, listing and revoking API keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import FieldError, InvalidInput, KeyNotFound
from app.operations.keys import repository
from app.web.keys import fingerprint, hint, new_key


async def create(
    session: Session, *, name: str, scopes: list[str], expires_at: datetime | None, now: datetime
) -> tuple[str, dict[str, Any]]:
    """A new key and its record. The key is returned here once and kept nowhere."""
    if expires_at is not None and expires_at <= now:
        raise InvalidInput(
            "The key would be expired already",
            errors=[FieldError("/expires_at", "in_the_past", "expires_at must lie in the future")],
        )
    key = new_key()
    record = await repository.create(
        session,
        name=name,
        digest=fingerprint(key),
        hint=hint(key),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    return key, record


async def accept_admin_key(session: Session, *, key: str) -> None:
    """Let in the admin key of the settings."""
    await repository.create_unless_known(
        session, name="TESSERA_ADMIN_KEY", digest=fingerprint(key), hint=hint(key), scopes=["admin"]
    )


async def revoke(session: Session, key_id: UUID, *, now: datetime) -> None:
    if not await repository.revoke(session, key_id, now=now):
        raise KeyNotFound()
