"""Storing costs: each once, under its identifier."""

from datetime import tzinfo
from functools import partial
from typing import Any

from app.db.engine import Session
from app.money import from_minor
from app.records.costs import repository
from app.records.costs.columns import CostColumns, columns_of
from app.records.costs.schemas import COSTS, CostIn
from app.records.intake.bulk import Kind
from app.records.intake.once import Shelf, add_once, by_content
from app.records.intake.outcome import Flaw, Outcome
from app.tables.money import costs

SHELF: Shelf[CostColumns] = Shelf(
    costs.c.cost_id, CostColumns.take, by_content(costs.c.cost_id, repository.stored_content), repository.add
)


async def store(session: Session, source: str, columns: CostColumns, **_people: object) -> tuple[Outcome, list[Flaw]]:
    """Store rows that are new. Needs lock_intake; nobody's person is in a cost, so nobody is resolved."""
    added = await add_once(session, SHELF, source, columns, flaws=())
    return Outcome(created=len(added.created), duplicates=added.duplicates), added.flaws


def cost_kind(zone: tzinfo) -> Kind[CostIn, CostColumns]:
    """How costs are read, checked and stored where days are cut in this zone."""
    return Kind("costs", COSTS, partial(columns_of, zone=zone), CostColumns.take, store)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A stored cost as it is answered."""
    return {
        "cost_id": row["cost_id"],
        "category": row["category"],
        "amount": {"amount": from_minor(row["amount_minor"], row["currency"]), "currency": row["currency"]},
        "from": row["starts_on"],
        "to": row["ends_on"],
        **{name: row[name] for name in ("campaign_id", "initiative_id", "channel")},
    }
