"""Memberships as they are answered: of one customer, of many, at an instant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.db.engine import Session, driver
from app.modelling.features.repository import survivors
from app.modelling.features.service import present
from app.modelling.memberships import repository
from app.modelling.memberships.lookup import Names
from app.modelling.memberships.repository import Row


async def of_customer(
    session: Session, customer_id: str, *, as_of: datetime | None, now: datetime, names: Names
) -> dict[str, Any]:
    """The memberships of a customer, through merges, at an instant or now. Raises CustomerNotFound."""
    survivor = await present(session, customer_id)
    rows = await repository.read_rows(session, [survivor], as_of=as_of)
    await names.cover(await driver(session), rows)
    return answer(survivor, names.shown(rows), as_of=as_of or now)


def answer(customer_id: str, memberships: Sequence[dict[str, Any]], *, as_of: datetime) -> dict[str, Any]:
    return {"customer_id": customer_id, "as_of": as_of, "memberships": memberships}


async def of_many(session: Session, customer_ids: Sequence[str], *, names: Names) -> dict[str, Any]:
    """The current memberships of these customers, each once, in the order asked, under the identifier asked for."""
    asked = list(dict.fromkeys(customer_ids))
    found = await _known(session, asked, names=names)
    merged = await survivors(session, [each for each in asked if each not in found])
    if merged:
        theirs = await _known(session, sorted(set(merged.values())), names=names)
        found |= {alias: theirs[survivor] for alias, survivor in merged.items()}
    return {
        "data": [{"customer_id": each, "memberships": names.shown(found[each])} for each in asked if each in found],
        "unknown": [each for each in asked if each not in found],
    }


async def _known(session: Session, customer_ids: Sequence[str], *, names: Names) -> dict[str, list[Row]]:
    """The rows of those identifiers that are customers."""
    rows = await repository.read_rows(session, customer_ids, as_of=None)
    await names.cover(await driver(session), rows)
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row[1]:
            found.setdefault(row[0], []).append(row)
    return found


async def section(session: Session, customer_id: str, *, now: datetime, names: Names) -> dict[str, Any]:
    """The memberships in a customer's profile."""
    rows = await repository.read_rows(session, [customer_id], as_of=None)
    await names.cover(await driver(session), rows)
    return {"as_of": now, "memberships": names.shown(rows)}
