"""Costs in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Text, any_, bindparam, insert, select

from app.db.engine import Session
from app.records.costs.columns import CostColumns
from app.tables.money import costs

_TEXTS = ARRAY(Text(collation="C"))
_c = costs.c
_CONTENT = (
    _c.category,
    _c.amount_minor,
    _c.currency,
    _c.starts_on,
    _c.ends_on,
    _c.campaign_id,
    _c.initiative_id,
    _c.channel,
)


async def stored_content(session: Session, _source: str, cost_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What is stored under these identifiers, by identifier, in the form of CostColumns.content."""
    given = bindparam("ids", list(cost_ids), _TEXTS)
    rows = await session.execute(select(_c.cost_id, *_CONTENT).where(_c.cost_id == any_(given)))
    return {row[0]: tuple(row[1:]) for row in rows}


async def add(session: Session, _source: str, columns: CostColumns) -> None:
    """Insert rows in the order of the columns, which must be that of cost_id."""
    await session.execute(insert(costs), [columns.row(position) for position in range(len(columns))])


async def page(
    session: Session, *, campaign_id: str | None, initiative_id: str | None, limit: int, after: Sequence[Any] | None
) -> list[dict[str, Any]]:
    """Costs in the order of their identifiers, of one campaign or initiative where given; at most limit + 1."""
    query = select(_c.cost_id, *_CONTENT).order_by(_c.cost_id).limit(limit + 1)
    if campaign_id is not None:
        query = query.where(_c.campaign_id == campaign_id)
    if initiative_id is not None:
        query = query.where(_c.initiative_id == initiative_id)
    if after is not None:
        query = query.where(_c.cost_id > after[0])
    return [dict(row) for row in (await session.execute(query)).mappings()]
