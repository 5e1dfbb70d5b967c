"""What tracking asks of the record tables in SQL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Column, Text, any_, bindparam, select

from app.db.engine import Session

_TEXTS = ARRAY(Text(collation="C"))


async def instants_of(
    session: Session, identifier: Column[str], ids: Sequence[str], *, source: str
) -> dict[str, datetime]:
    """When those of these facts that are stored occurred, by identifier."""
    table = identifier.table.c
    query = select(identifier, table.occurred_at).where(
        table.source == source, identifier == any_(bindparam("ids", list(ids), _TEXTS))
    )
    return {row[0]: row[1] for row in await session.execute(query)}
