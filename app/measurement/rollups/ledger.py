"""The ledger in SQL: what has changed since it was last folded into the sums, and beginning them anew."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.engine import Session
from app.measurement.rollups.concerned import Basis, Entry, Horizon
from app.tables.conversion import reporting_day
from app.tables.customers import customers
from app.tables.privacy import PEOPLE_LOCK
from app.tables.rollups import (
    cohort_periods,
    folded_facts,
    folded_spells,
    kpi_days,
    rollup_entries,
    rollup_state,
)
from app.tables.transactions import transactions

FOLD_LOCK = 7_355_608_030


async def try_lock(session: Session) -> bool:
    """Keep other folders out until the transaction ends; false where another is at work."""
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(FOLD_LOCK))))


async def hold_people(session: Session) -> None:
    """Keep merges and erasures waiting until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(PEOPLE_LOCK)))


async def settings(session: Session) -> tuple[str | None, str | None]:
    """Currency and time zone of the sums; nulls where nothing was ever added up."""
    row = (await session.execute(select(rollup_state.c.currency, rollup_state.c.zone))).one()
    return row[0], row[1]


async def waiting(session: Session) -> tuple[int, datetime | None]:
    """How many customers wait in the ledger, who may be named more than once, and since when the oldest entry does."""
    e = rollup_entries.c
    row = (
        await session.execute(
            select(func.coalesce(func.sum(func.cardinality(e.customer_ids)), 0), func.min(e.recorded_at))
        )
    ).one()
    return int(row[0]), row[1]


async def horizon(session: Session, basis: Basis) -> Horizon | None:
    """What all facts lie within, folded or waiting; null where the sums are for another currency or zone, or for none."""
    e, s = rollup_entries.c, rollup_state.c
    pending = select(
        func.min(e.first_fact_at).label("first_fact_at"),
        func.max(e.newest_fact_at).label("newest_fact_at"),
        func.max(e.received_at).label("received_at"),
    ).subquery("pending")
    p = pending.c
    edges = (
        func.least(s.first_fact_at, p.first_fact_at),
        func.greatest(s.newest_fact_at, p.newest_fact_at),
        func.greatest(s.received_at, p.received_at),
    )
    query = select(*edges).join_from(rollup_state, pending, true())
    row = (await session.execute(query.where(s.currency == basis.currency, s.zone == str(basis.zone)))).one_or_none()
    return None if row is None else Horizon(*row)


async def pending(session: Session, *, segmentation_id: UUID | None, at_most: int) -> list[Entry] | None:
    """The entries that concern facts, or memberships of this segmentation.

    Null where they name more customers than that, or concern rates and so nobody knows whom.
    """
    e = rollup_entries.c
    relevant: ColumnElement[bool] = e.segmentation_id.is_(None)
    if segmentation_id is not None:
        relevant = or_(relevant, e.segmentation_id == segmentation_id)
    size = select(func.coalesce(func.sum(func.cardinality(e.customer_ids)), 0), func.count(e.rates_from), func.count())
    customers_, rates, entries = (await session.execute(size.where(relevant))).one()
    if customers_ > at_most or rates:
        return None
    return await _entries(session, relevant) if entries else []


async def facts_about(session: Session) -> int:
    """How many transactions there are, about."""
    query = text("select greatest(reltuples, 0)::bigint from pg_class where oid = 'transactions'::regclass")
    return int((await session.execute(query)).scalar_one())


async def oldest(session: Session, *, entries: int) -> list[Entry]:
    """The entries that came first, in their order; at most so many."""
    return await _entries(session, true(), at_most=entries)


async def _entries(session: Session, which: ColumnElement[bool], *, at_most: int | None = None) -> list[Entry]:
    e = rollup_entries.c
    columns = (e.entry_id, e.customer_ids, e.segmentation_id, e.guest_hours, e.rates_from, e.rates_to)
    rows = await session.execute(select(*columns).where(which).order_by(e.entry_id).limit(at_most))
    return [Entry(*row) for row in rows]


async def forget(session: Session, entries: Sequence[Entry]) -> None:
    """Take entries out of the ledger; what they say of the horizon is kept."""
    e, s = rollup_entries.c, rollup_state.c
    gone = delete(rollup_entries).where(e.entry_id.in_([entry.entry_id for entry in entries]))
    taken = gone.returning(e.first_fact_at, e.newest_fact_at, e.received_at).cte("taken")
    first, newest, received = (
        await session.execute(
            select(func.min(taken.c.first_fact_at), func.max(taken.c.newest_fact_at), func.max(taken.c.received_at))
        )
    ).one()
    known = {
        "first_fact_at": func.least(s.first_fact_at, first),
        "newest_fact_at": func.greatest(s.newest_fact_at, newest),
        "received_at": func.greatest(s.received_at, received),
    }
    await session.execute(update(rollup_state).values(known))


async def split(session: Session, entry: Entry, *, at_once: int) -> None:
    """In place of an entry about many: several, each about so many at most."""
    parts = [entry.customer_ids[start : start + at_once] for start in range(0, len(entry.customer_ids), at_once)]
    rows = [{"customer_ids": part, "segmentation_id": entry.segmentation_id} for part in parts]
    await session.execute(insert(rollup_entries), rows)
    # The rest of what it says stays where it is.
    e = rollup_entries.c
    await session.execute(update(rollup_entries).where(e.entry_id == entry.entry_id).values(customer_ids=[]))


async def begin_anew(session: Session, basis: Basis, *, at_once: int) -> None:
    """Forget all sums and have everything that there is wait in the ledger, so many customers to an entry."""
    # Not truncated: who reads meanwhile must go on seeing what there was.
    for table in (kpi_days, cohort_periods, folded_facts, folded_spells, rollup_entries):
        await session.execute(delete(table))
    c, t = customers.c, transactions.c
    number = func.row_number().over(order_by=c.customer_id)
    numbered = select(c.customer_id, ((number - 1) // at_once).label("bundle")).subquery()
    names = aggregate_order_by(numbered.c.customer_id, numbered.c.customer_id)
    everybody = select(func.array_agg(names)).group_by(numbered.c.bundle).order_by(numbered.c.bundle)
    await session.execute(insert(rollup_entries).from_select(["customer_ids"], everybody))
    hour = func.date_trunc("hour", t.occurred_at)
    hours = select(hour.label("hour")).where(t.customer_id.is_(None)).distinct().subquery()
    guests = select(func.array_agg(hours.c.hour)).having(func.count() > 0)
    await session.execute(insert(rollup_entries).from_select(["guest_hours"], guests))
    horizon = select(func.min(t.occurred_at), func.max(t.occurred_at), func.max(t.received_at))
    first, newest, received = (await session.execute(horizon)).one()
    now_for = {"currency": basis.currency, "zone": str(basis.zone)}
    await session.execute(
        update(rollup_state).values(**now_for, first_fact_at=first, newest_fact_at=newest, received_at=received)
    )


async def expand_rates(session: Session, entry: Entry, basis: Basis, *, at_once: int) -> None:
    """In place of an entry about rates: entries of everybody whose facts they may concern."""
    t = transactions.c
    day = reporting_day(t.occurred_at, basis.zone)
    foreign = and_(t.currency != basis.currency, day >= entry.rates_from, day < entry.rates_to)
    owners = select(t.customer_id).where(foreign, t.customer_id.is_not(None)).distinct().subquery()
    number = func.row_number().over(order_by=owners.c.customer_id)
    numbered = select(owners.c.customer_id, ((number - 1) // at_once).label("bundle")).subquery()
    names = select(func.array_agg(numbered.c.customer_id)).group_by(numbered.c.bundle)
    await session.execute(insert(rollup_entries).from_select(["customer_ids"], names))
    hours = func.array_agg(func.date_trunc("hour", t.occurred_at).distinct())
    guests = select(hours).where(foreign, t.customer_id.is_(None)).having(func.count() > 0)
    await session.execute(insert(rollup_entries).from_select(["guest_hours"], guests))
