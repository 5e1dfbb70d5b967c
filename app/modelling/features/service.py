"""Features of one customer as they are answered: a value, or null and the reason why there is none."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.db.engine import Session
from app.errors import CustomerNotFound, MissingRates
from app.modelling.features import repository, resolving
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import FEATURES


async def present(session: Session, customer_id: str) -> str:
    """The customer that this identifier means today, through merges. Raises CustomerNotFound."""
    found = await repository.survivors(session, [customer_id])
    if customer_id not in found:
        raise CustomerNotFound()
    return found[customer_id]


async def listed(session: Session, *, currency: str) -> dict[str, Any]:
    """The registry, and the attributes that customers have."""
    sampled, attributes = await resolving.observed(session)
    return {
        "data": [feature.shown(currency=currency) for feature in FEATURES],
        "attributes": [asdict(each) for each in attributes],
        "sampled_customers": sampled,
        "next_cursor": None,
    }


async def of_customer(session: Session, customer_id: str, *, as_of: datetime, reporting: Reporting) -> dict[str, Any]:
    """All features of an existing customer. Raises MissingRates when their money cannot be added."""
    read = await repository.read(session, FEATURES, scope=[customer_id], as_of=as_of, reporting=reporting)
    if read.unrated:
        await repository.refuse_missing_rates(session, scope=[customer_id], as_of=as_of, reporting=reporting)
    [(_, *values)] = read.rows
    known = list(zip(FEATURES, values, strict=True))
    return {
        "as_of": as_of,
        "features": {feature.name: value for feature, value in known},
        "reasons": {feature.name: feature.missing for feature, value in known if value is None},
        "units": {feature.name: feature.shown(currency=reporting.currency)["unit"] for feature in FEATURES},
    }


async def section(session: Session, customer_id: str, *, now: datetime, reporting: Reporting) -> dict[str, Any]:
    """The features in a customer's profile, which a missing rate must not make unreadable."""
    try:
        return await of_customer(session, customer_id, as_of=now, reporting=reporting)
    except MissingRates as error:
        return {"as_of": now, "features": None, "reason": error.code, "detail": error.detail}
