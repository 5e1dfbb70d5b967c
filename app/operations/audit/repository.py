"""The audit log in SQL."""

from typing import Any

from sqlalchemy import insert, select

from app.db.engine import Session
from app.tables.operations import audit_log


async def page(session: Session, *, limit: int, before: int | None) -> list[dict[str, Any]]:
    """Entries, newest first, before the given entry_id; at most limit + 1."""
    query = select(audit_log).order_by(audit_log.c.entry_id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(audit_log.c.entry_id < before)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def record(session: Session, *, action: str, subject: str) -> None:
    """A change made without a key, at the command line."""
    await session.execute(insert(audit_log).values(key_id=None, action=action, object=subject))
