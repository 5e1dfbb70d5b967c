"""Exchange rates in SQL."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, CHAR, Date, Numeric, bindparam, column, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.engine import Session
from app.records.exchange_rates.columns import Pair
from app.records.exchange_rates.schemas import RateFilter
from app.tables.money import exchange_rates

_r = exchange_rates.c
_KEY = (_r.on_day, _r.from_currency, _r.to_currency)


async def rates_of(session: Session, pairs: Sequence[Pair]) -> dict[Pair, Decimal]:
    """The rates that are stored for these days and pairs."""
    given = func.unnest(*_arrays(pairs)).table_valued(*_columns()).render_derived(name="given")
    query = select(*_KEY, _r.rate).join(
        given,
        (given.c.on_day == _r.on_day)
        & (given.c.from_currency == _r.from_currency)
        & (given.c.to_currency == _r.to_currency),
    )
    return {Pair(*row[:3]): row[3] for row in await session.execute(query)}


async def put(session: Session, rates: Mapping[Pair, Decimal]) -> None:
    """Store rates, whatever stood there before; sorted, so that writers never deadlock."""
    ordered = sorted(rates)
    rate = bindparam("rates", [rates[pair] for pair in ordered], ARRAY(Numeric))
    given = func.unnest(*_arrays(ordered), rate).table_valued(*_columns(), column("rate", Numeric))
    source = given.render_derived(name="given").c
    statement = upsert(exchange_rates).from_select([*(each.name for each in _KEY), "rate"], select(*source))
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY, set_={"rate": statement.excluded.rate, "received_at": func.now()}
        )
    )


def _columns() -> list[Any]:
    return [column(each.name, each.type) for each in _KEY]


def _arrays(pairs: Sequence[Pair]) -> list[Any]:
    return [
        bindparam("days", [pair.on for pair in pairs], ARRAY(Date)),
        bindparam("froms", [pair.from_currency for pair in pairs], ARRAY(CHAR(3))),
        bindparam("tos", [pair.to_currency for pair in pairs], ARRAY(CHAR(3))),
    ]


async def page(session: Session, *, only: RateFilter, limit: int, after: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Rates by day, then by pair, of the days and the currencies given; at most limit + 1."""
    query = select(*_KEY, _r.rate).order_by(*_KEY).limit(limit + 1)
    if only.from_ is not None:
        query = query.where(_r.from_currency == only.from_)
    if only.to is not None:
        query = query.where(_r.to_currency == only.to)
    if only.on_from is not None:
        query = query.where(_r.on_day >= only.on_from)
    if only.on_to is not None:
        query = query.where(_r.on_day < only.on_to)
    if after is not None:
        query = query.where(tuple_(*_KEY) > (date.fromisoformat(after[0]), after[1], after[2]))
    return [dict(row) for row in (await session.execute(query)).mappings()]
