"""The sums in SQL: what they are made of, now and as they were folded, adding to them, and reading them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    Select,
    Table,
    TableValuedAlias,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import NullType, TypeEngine

from app.clock import start_of_day
from app.db import arrays
from app.db.engine import Session
from app.measurement.rates import has_rates
from app.measurement.rollups.concerned import Asked, Basis, Concerned, Stretch
from app.measurement.rollups.packed import packed
from app.measurement.spells import spells
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.rollups import cohort_periods, folded_facts, folded_spells, kpi_days
from app.tables.segments import memberships
from app.tables.transactions import transactions

INSTANT = DateTime(timezone=True)
_TEXT = Text(collation="C")
_TEXTS = ARRAY(_TEXT)


# What the sums are made of, as it is now and as it was folded


async def facts_now(session: Session, customer_ids: Sequence[str], basis: Basis) -> dict[str, bytes]:
    """By customer with a transaction of an amount above 0: these, packed."""
    t = transactions.c
    converted = await has_rates(session, basis.currency)
    f = _facts(basis, t.customer_id == any_(texts(customer_ids)), converted=converted).subquery().c
    packed_facts = func.string_agg(packed(f.occurred_at, f.kind, f.amount), cast(literal(b""), BYTEA))
    rows = await session.execute(select(f.customer_id, packed_facts).group_by(f.customer_id))
    return {row[0]: row[1] for row in rows}


def _facts(
    basis: Basis,
    *of: ColumnElement[bool],
    converted: bool,
    among: FromClause = transactions,
    carried: Sequence[Any] = (),
) -> Select[Any]:
    """One row per transaction with an amount above 0; `amount` as it is reported, null: no rate was given."""
    t = transactions.c
    amount: ColumnElement[Any] = case((t.currency == basis.currency, t.amount_minor))
    if converted:
        rates = rates_by_day(basis.currency)
        same = and_(rates.c.currency == t.currency, rates.c.day == reporting_day(t.occurred_at, basis.zone))
        among = among.outerjoin(rates, same)
        amount = in_reporting_currency(t.amount_minor, t.currency, reporting=basis.currency, rates=rates)
    columns = (t.customer_id, t.occurred_at, t.kind, amount.label("amount"), *carried)
    # The offset keeps PostgreSQL from converting an amount again for each use of it.
    return select(*columns).select_from(among).where(t.amount_minor > 0, *of).offset(0)


async def facts_folded(session: Session, customer_ids: Sequence[str]) -> dict[str, bytes]:
    """The same as the sums hold them."""
    f = folded_facts.c
    rows = await session.execute(select(f.customer_id, f.facts).where(f.customer_id == any_(texts(customer_ids))))
    return {row[0]: row[1] for row in rows}


async def spells_now(session: Session, concerned: Concerned, *, only: UUID | None = None) -> list[Stretch]:
    """Stretches of time that these customers were in segments, in no order."""
    s = spells(_matters(memberships, concerned, only)).c
    return await _stretches(session, select(s.customer_id, s.segmentation_id, s.segment_id, s.starts_at, s.ends_at))


async def spells_folded(session: Session, concerned: Concerned, *, only: UUID | None = None) -> list[Stretch]:
    """The same as the sums hold them."""
    s = folded_spells.c
    each = (
        func.unnest(s.segment_id, s.starts_at, s.ends_at)
        .table_valued(column("segment_id", Uuid), column("starts_at", INSTANT), column("ends_at", INSTANT), name="each")
        .render_derived()
    )
    columns = (s.customer_id, s.segmentation_id, each.c.segment_id, each.c.starts_at, each.c.ends_at)
    query = select(*columns).select_from(folded_spells).join(each, true())
    return await _stretches(session, query.where(_matters(folded_spells, concerned, only)))


async def _stretches(session: Session, query: Select[Any]) -> list[Stretch]:
    found = query.subquery("found").c
    edges = (case((func.isfinite(each), each)) for each in (found.starts_at, found.ends_at))
    # As texts: of thousands of rows nearly all name the same few.
    ids = (cast(each, Text) for each in (found.segmentation_id, found.segment_id))
    rows = await session.execute(select(found.customer_id, *ids, *edges))
    return [
        Stretch(customer_id, _identifier(segmentation_id), _identifier(segment_id), starts_at, ends_at)
        for customer_id, segmentation_id, segment_id, starts_at, ends_at in rows
    ]


@lru_cache(maxsize=10_000)
def _identifier(text: str) -> UUID:
    return UUID(text)


def _matters(table: Table, concerned: Concerned, only: UUID | None) -> ColumnElement[bool]:
    """Which memberships may be others than those folded, or meet other facts: always all of a customer in a segmentation."""
    c = table.c
    found = [c.customer_id == any_(texts(concerned.everybody))]
    if only is not None:
        found.append(c.segmentation_id == only)
    elif concerned.by_membership:
        changed = bindparam(None, list(concerned.segmentation_ids), ARRAY(Uuid), unique=True)
        found.append(or_(c.customer_id == any_(texts(concerned.by_facts)), c.segmentation_id == any_(changed)))
    return and_(*found)


def texts(names: Sequence[str]) -> ColumnElement[Any]:
    return _whole(arrays.texts(names), _TEXTS)


# Writing


async def remember_facts(session: Session, facts: Mapping[str, bytes], *, gone: Sequence[str]) -> None:
    """Keep what the sums hold of customers from now on; of those who are gone, nothing."""
    f = folded_facts.c
    if gone:
        await session.execute(delete(folded_facts).where(f.customer_id == any_(texts(gone))))
    if facts:
        given = _unnested(customer_id=(texts(list(facts)), _TEXT), facts=(_array(facts.values(), BYTEA()), BYTEA()))
        await _put(session, folded_facts, select(given))


async def remember_spells(session: Session, stretches: Sequence[Stretch], *, gone: Sequence[tuple[str, UUID]]) -> None:
    """The same of stretches of time, which are all of their customers and segmentations."""
    s = folded_spells.c
    if gone:
        names, segmentation_ids = zip(*gone, strict=True)
        these = _unnested(
            customer_id=(texts(names), _TEXT), segmentation_id=(_array(segmentation_ids, Uuid()), Uuid())
        ).c
        same = and_(s.customer_id == these.customer_id, s.segmentation_id == these.segmentation_id)
        await session.execute(delete(folded_spells).where(same))
    if stretches:
        columns = {field: [getattr(each, field) for each in stretches] for field in Stretch._fields}
        kinds: tuple[TypeEngine[Any], ...] = (_TEXT, Uuid(), Uuid(), INSTANT, INSTANT)
        given = _unnested(
            **{name: (_array(column, kind), kind) for (name, column), kind in zip(columns.items(), kinds, strict=True)}
        ).c
        keys = (given.customer_id, given.segmentation_id)
        lists = (func.array_agg(each) for each in (given.segment_id, given.starts_at, given.ends_at))
        await _put(session, folded_spells, select(*keys, *lists).group_by(*keys))


async def _put(session: Session, table: Table, rows: Select[Any]) -> None:
    names = [each.name for each in table.c]
    keys = [each.name for each in table.primary_key]
    statement = upsert(table).from_select(names, rows)
    new = {name: statement.excluded[name] for name in names if name not in keys}
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))


async def add(session: Session, table: Table, rows: Mapping[str, Sequence[Any]], *, key: Sequence[str]) -> None:
    """Add numbers to rows of sums, of which there is one by each key; columns in the order of the table's."""
    if not rows[key[0]]:
        return
    names = [each.name for each in table.c]
    given = _unnested(**{name: (_array(rows[name], table.c[name].type), table.c[name].type) for name in names})
    # In the order of the key, so that its pages are written one after the other.
    statement = upsert(table).from_select(names, select(given).order_by(*(given.c[name] for name in key)))
    more = {name: table.c[name] + statement.excluded[name] for name in names if name not in key}
    await session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=more))


def _array(values: Iterable[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """An array as a parameter: of texts, bytes, and numbers that fit 64 bits in one piece, else value by value."""
    values = list(values)
    if isinstance(kind, Text):
        return texts(values)
    if isinstance(kind, BYTEA):
        return _whole(arrays.blobs(values), ARRAY(kind))
    if isinstance(kind, BigInteger | Numeric) and all(-(2**63) <= value < 2**63 for value in values):
        return _whole(arrays.bigints(values), ARRAY(kind))
    return bindparam(None, values, ARRAY(kind), unique=True)


def _whole(values: arrays.BinaryArray, kind: ARRAY[Any]) -> ColumnElement[Any]:
    return cast(bindparam(None, values, NullType(), unique=True), kind)


def _unnested(**arrays: tuple[ColumnElement[Any], TypeEngine[Any]]) -> TableValuedAlias:
    """Arrays side by side as a table."""
    given = (cast(values, ARRAY(kind)) for values, kind in arrays.values())
    columns = (column(name, kind) for name, (_, kind) in arrays.items())
    return func.unnest(*given).table_valued(*columns, name="given").render_derived()


async def replace_guests(session: Session, days: Sequence[date], basis: Basis) -> None:
    """Add the facts of guests on these days up again."""
    d = kpi_days.c
    of_them = d.day == any_(_array(days, Date()))
    await session.execute(delete(kpi_days).where(d.segmentation_id.is_(None), d.of_guests, of_them))
    rows = guests_on(days, basis, converted=await has_rates(session, basis.currency))
    await session.execute(insert(kpi_days).from_select([each.name for each in rows.selected_columns], rows))


def guests_on(days: Sequence[date], basis: Basis, *, converted: bool) -> Select[Any]:
    """Rows of `kpi_days` for guests on these reporting days; who cannot be told apart, no counter of people counts."""
    edges = [(start_of_day(day, basis.zone), start_of_day(day + timedelta(days=1), basis.zone)) for day in days]
    given = _unnested(
        day=(_array(days, Date()), Date()),
        starts_at=(_array((start for start, _ in edges), INSTANT), INSTANT),
        ends_at=(_array((end for _, end in edges), INSTANT), INSTANT),
    )
    t = transactions.c
    on_them = and_(t.occurred_at >= given.c.starts_at, t.occurred_at < given.c.ends_at)
    among = given.join(transactions, on_them)
    f = _facts(basis, t.customer_id.is_(None), converted=converted, among=among, carried=(given.c.day,)).subquery().c
    sums = []
    for kind in ("purchase", "refund"):
        of_kind = f.kind == kind
        sums += [
            func.count().filter(of_kind).label(f"{kind}s"),
            func.coalesce(func.sum(f.amount).filter(of_kind), 0).label(f"{kind}_minor"),
            func.coalesce(func.sum(cast(f.amount, Numeric) * f.amount).filter(of_kind), 0).label(f"{kind}_squares"),
            func.count().filter(of_kind, f.amount.is_(None)).label(f"{kind}s_unrated"),
        ]
    group = (false().label("of_members"), true().label("of_guests"), f.day)
    return select(*group, *sums).group_by(f.day)


# Reading


async def days(
    session: Session, asked: Asked, counters: Sequence[str], *, but_guests_on: Sequence[date]
) -> list[tuple[int, UUID | None, dict[str, int]]]:
    """Per period (from 1) and segment with a row of the window: the sums of these counters; no order.

    The segment is null for the facts of all, where no segmentation is named; else of those who were in none then. What
    guests did on some days may be left out.
    """
    d = kpi_days.c
    # Who was in no segment: everybody, less all who ever were in one, and these as far as they were in none then.
    weight = case((d.of_members, -1), else_=1)
    of_all = d.segmentation_id.is_(None)
    known: list[ColumnElement[bool]] = [
        of_all if asked.segmentation_id is None else or_(of_all, d.segmentation_id == asked.segmentation_id)
    ]
    if asked.of_guests is not None:
        known.append(d.of_guests == asked.of_guests)
    if but_guests_on:
        known.append(~and_(d.of_guests, d.day == any_(_array(but_guests_on, Date()))))
    period = func.width_bucket(d.day, _array(asked.starts, Date()), type_=Integer)
    sums = [func.sum(weight * d[name]) for name in counters]
    keys = (period.label("period"), d.segment_id)
    query = select(*keys, *sums).where(*known, d.day >= asked.first, d.day < asked.end).group_by("period", d.segment_id)
    found = await session.execute(query)
    return [(row[0], row[1], dict(zip(counters, map(int, row[2:]), strict=True))) for row in found]


async def guests(session: Session, days_: Sequence[date], basis: Basis) -> list[dict[str, Any]]:
    """Rows of `kpi_days` for guests on these reporting days, added up now."""
    converted = await has_rates(session, basis.currency)
    rows = await session.execute(guests_on(days_, basis, converted=converted))
    return [dict(row) for row in rows.mappings()]


async def cohorts(session: Session, interval: str, first: date, end: date) -> list[tuple[date, date, int, int, int]]:
    """Per cohort and period within [first, end): buyers, purchases in minor units, those without a rate; no order."""
    c = cohort_periods.c
    sums = (c.buyers, c.purchase_minor, c.purchases_unrated)
    query = select(c.cohort, c.period, *sums).where(c.interval == interval, c.cohort >= first, c.period < end)
    return [(row[0], row[1], int(row[2]), int(row[3]), int(row[4])) for row in await session.execute(query)]
