"""Reading features: the one select, run for the customers that are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BindParameter, Text, any_, bindparam, func, select

from app.db.engine import Session
from app.errors import FieldError, MissingRates
from app.modelling.features.compiler import (
    Range,
    Reporting,
    Scope,
    feature_select,
    missing_rates,
    parameters,
)
from app.modelling.features.definitions import Feature
from app.tables.customers import customer_aliases, customers


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """One row per existing customer, in order of identifier: the identifier and a value per feature, or null.

    unrated: customers whose money is unknown because a rate is missing; their values mean nothing.
    """

    rows: list[tuple[Any, ...]]
    unrated: frozenset[str]


async def read(
    session: Session, features: tuple[Feature, ...], *, scope: Scope, as_of: datetime, reporting: Reporting
) -> FeatureRows:
    """Features of the scope as of an instant, from the facts before it.

    Amounts are first added as they are. Only customers with some in another currency are read again, with rates:
    a shop of one currency never joins any.
    """
    rows = await _run(session, features, scope=scope, as_of=as_of, reporting=reporting, converting=False)
    foreign = [row[0] for row in rows if row[-1]]
    if not foreign:
        return FeatureRows([row[:-1] for row in rows], frozenset())
    again = await _run(session, features, scope=foreign, as_of=as_of, reporting=reporting, converting=True)
    converted = {row[0]: row for row in again}
    return FeatureRows([converted.get(row[0], row)[:-1] for row in rows], frozenset(row[0] for row in again if row[-1]))


async def _run(
    session: Session,
    features: tuple[Feature, ...],
    *,
    scope: Scope,
    as_of: datetime,
    reporting: Reporting,
    converting: bool,
) -> Sequence[tuple[Any, ...]]:
    statement = feature_select(features, reporting=reporting, by_range=isinstance(scope, Range), converting=converting)
    return [tuple(row) for row in await session.execute(statement, parameters(scope, as_of))]


async def refuse_missing_rates(session: Session, *, scope: Scope, as_of: datetime, reporting: Reporting) -> None:
    """Raise MissingRates for amounts of the scope that cannot be converted, naming currency and first day."""
    statement = missing_rates(reporting, by_range=isinstance(scope, Range))
    found = (await session.execute(statement, parameters(scope, as_of))).all()
    if found:
        details = [
            f"{row.amounts} amounts in {row.currency}, the first on {row.first_day}, have no rate to "
            f"{reporting.currency}; PUT one to /v1/exchange-rates"
            for row in found
        ]
        raise MissingRates(
            "; ".join(details),
            errors=[
                FieldError(row.currency, "missing_exchange_rate", detail)
                for row, detail in zip(found, details, strict=True)
            ],
        )


async def end_of_range(session: Session, *, after: str, size: int) -> str | None:
    """The last of the next `size` customers after this identifier, or of fewer when there are no more; null: none."""
    following = (
        select(customers.c.customer_id)
        .where(customers.c.customer_id > after)
        .order_by(customers.c.customer_id)
        .limit(size)
        .subquery()
    )
    last: str | None = await session.scalar(select(func.max(following.c.customer_id)))
    return last


async def count_customers(session: Session) -> int:
    return int((await session.execute(select(func.count()).select_from(customers))).scalar_one())


async def survivors(session: Session, customer_ids: Sequence[str]) -> dict[str, str]:
    """For each identifier that means somebody: the customer it means today, through merges."""
    asked = [each for each in customer_ids if "\x00" not in each]
    known = select(customers.c.customer_id).where(customers.c.customer_id == any_(_texts(asked)))
    found = {each: each for each in await session.scalars(known)}
    strangers = [each for each in asked if each not in found]
    if strangers:
        merged = select(customer_aliases.c.alias, customer_aliases.c.customer_id)
        rows = await session.execute(merged.where(customer_aliases.c.alias == any_(_texts(strangers))))
        found.update({row.alias: row.customer_id for row in rows})
    return found


def _texts(values: Sequence[str]) -> BindParameter[Any]:
    return bindparam("texts", values, ARRAY(Text(collation="C")))
