"""Reading features: the one select, run for the customers that are asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, BindParameter, Dialect, Text, any_, bindparam, func, select

from app.db.arrays import texts
from app.db.batch import Call, Parameter, Statement
from app.db.engine import Session, driver
from app.errors import FieldError, MissingRates
from app.modelling.features.compiler import (
    VARYING,
    Range,
    Reporting,
    Scope,
    feature_select,
    missing_rates,
    parameters,
)
from app.modelling.features.definitions import Feature
from app.modelling.features.derived import Derived
from app.tables.customers import customer_aliases, customers


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """One row per existing customer, in order of identifier: the identifier, then a value per feature, or null.

    Behind the features come the derived columns. unrated: customers whose money is unknown because a rate is missing;
    their values mean nothing. next_changes: for each row the instant before which nothing in it changes by time
    alone, null: never; empty unless asked for.
    """

    rows: list[tuple[Any, ...]]
    unrated: frozenset[str]
    next_changes: list[datetime | None] = field(default_factory=list)


async def read(
    session: Session,
    features: tuple[Feature, ...],
    *,
    scope: Scope,
    as_of: datetime,
    reporting: Reporting,
    derived: tuple[Derived, ...] = (),
) -> FeatureRows:
    """Features of the scope as of an instant, from the facts before it.

    Amounts are first added as they are. Only customers with some in another currency are read again, with rates:
    a shop of one currency never joins any.
    """
    asked = _Asked(features, derived, reporting)
    found = await _read(session, asked, scope, as_of)
    return FeatureRows([row[:-1] for row in found.rows], found.unrated)


async def read_with_next_change(
    session: Session,
    features: tuple[Feature, ...],
    *,
    scope: Scope,
    as_of: datetime,
    reporting: Reporting,
    derived: tuple[Derived, ...] = (),
) -> FeatureRows:
    """The same as read, with next_changes."""
    found = await _read(session, _Asked(features, derived, reporting, with_next_change=True), scope, as_of)
    return FeatureRows([row[:-2] for row in found.rows], found.unrated, [row[-1] for row in found.rows])


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a row is made of."""

    features: tuple[Feature, ...]
    derived: tuple[Derived, ...]
    reporting: Reporting
    with_next_change: bool = False

    @property
    def unconverted(self) -> int:
        """Where it stands in a row."""
        return 1 + len(self.features) + len(self.derived)


@lru_cache(maxsize=256)
def _text(asked: _Asked, dialect: Dialect, *, by_range: bool, converting: bool) -> tuple[bytes, Mapping[str, Any]]:
    """The select as text for the driver, and the values that are always the same.

    One customer is read within a millisecond, of which the usual way through the toolkit would cost the half.
    """
    statement = feature_select(
        asked.features,
        reporting=asked.reporting,
        by_range=by_range,
        converting=converting,
        derived=asked.derived,
        with_next_change=asked.with_next_change,
    )
    spelled_out = statement.compile(dialect=dialect).construct_expanded_state(dict.fromkeys(VARYING))
    processors = spelled_out.processors
    fixed = {
        name: processors[name](value) if name in processors else value
        for name, value in spelled_out.parameters.items()
        if name not in VARYING
    }
    return spelled_out.statement.encode(), fixed


async def _read(session: Session, asked: _Asked, scope: Scope, as_of: datetime) -> FeatureRows:
    """Whole rows of the select."""
    rows = await _run(session, asked, scope, as_of, converting=False)
    unconverted = asked.unconverted
    foreign = [row[0] for row in rows if row[unconverted]]
    if not foreign:
        return FeatureRows(rows, frozenset())
    again = await _run(session, asked, foreign, as_of, converting=True)
    converted = {row[0]: row for row in again}
    unrated = frozenset(row[0] for row in again if row[asked.unconverted])
    return FeatureRows([converted.get(row[0], row) for row in rows], unrated)


@dataclass(frozen=True, slots=True)
class SmallRead:
    """read_with_next_change of customers by name, to be run among other statements; amounts as they are.

    Its rows end with whether amounts in another currency are among them, and with the next change.
    """

    statement: Statement
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def of(self, customer_ids: Sequence[str], *, as_of: datetime) -> Call:
        varying: dict[str, Parameter] = {**self.fixed, "as_of": as_of, "customer_ids": texts(customer_ids)}
        return self.statement, [varying[name] for name in self.names]


@lru_cache(maxsize=256)
def small_read(
    dialect: Dialect, features: tuple[Feature, ...], derived: tuple[Derived, ...], reporting: Reporting
) -> SmallRead:
    """The same one each time, or connections would prepare it anew: $1, $2, ... stand in place of names."""
    asked = _Asked(features, derived, reporting, with_next_change=True)
    text, fixed = _text(asked, dialect, by_range=False, converting=False)
    order: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return "%" if match[0] == "%%" else f"${order.setdefault(match[1], len(order) + 1)}"

    numbered = re.sub(r"%\((\w+)\)s|%%", number, text.decode())
    return SmallRead(Statement(numbered), tuple(order), fixed)


async def _run(
    session: Session, asked: _Asked, scope: Scope, as_of: datetime, *, converting: bool
) -> list[tuple[Any, ...]]:
    text, fixed = _text(asked, session.dialect, by_range=isinstance(scope, Range), converting=converting)
    connection = await driver(session)
    # The text is that of our own select; whatever callers said is among the parameters. Numbers read faster as bytes.
    async with connection.cursor(binary=True) as cursor:
        named = {} if isinstance(scope, Range) else {"customer_ids": texts(scope)}
        await cursor.execute(text, {**fixed, **parameters(scope, as_of), **named})
        return await cursor.fetchall()


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
