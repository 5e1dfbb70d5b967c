"""API keys in SQL. A key itself is never here, only its hash."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import Session
from app.tables.operations import api_keys

# Everything but the hash.
SHOWN = [column for column in api_keys.c if column.name != "hash"]


async def create(
    session: Session, *, name: str, digest: bytes, hint: str, scopes: list[str], expires_at: datetime | None
) -> dict[str, Any]:
    statement = (
        insert(api_keys)
        .values(name=name, hash=digest, hint=hint, scopes=scopes, expires_at=expires_at)
        .returning(*SHOWN)
    )
    return dict((await session.execute(statement)).mappings().one())


async def create_unless_known(session: Session, *, name: str, digest: bytes, hint: str, scopes: list[str]) -> None:
    statement = insert(api_keys).values(name=name, hash=digest, hint=hint, scopes=scopes)
    await session.execute(statement.on_conflict_do_nothing(index_elements=["hash"]))


async def page(session: Session, *, limit: int, after: tuple[datetime, UUID] | None) -> list[dict[str, Any]]:
    """Keys, newest first, revoked ones included; at most limit + 1."""
    query = select(*SHOWN).order_by(api_keys.c.created_at.desc(), api_keys.c.key_id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(func.row(api_keys.c.created_at, api_keys.c.key_id) < func.row(after[0], after[1]))
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def revoke(session: Session, key_id: UUID, *, now: datetime) -> bool:
    """Revoke a key, keeping the first time; false when there is no such key."""
    statement = (
        update(api_keys)
        .where(api_keys.c.key_id == key_id)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, now))
        .returning(api_keys.c.key_id)
    )
    return (await session.execute(statement)).one_or_none() is not None
