"""The SQL behind pushed arms: who the customers are, what is known of them, what is new."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    DateTime,
    LargeBinary,
    Text,
    any_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.engine import Session
from app.measurement.campaigns.holdouts import held_out
from app.tables.campaigns import campaign_assignments
from app.tables.customers import customer_aliases, customers
from app.tables.intake import dirty_customers
from app.tables.privacy import PEOPLE_LOCK, tombstones

_TEXTS = ARRAY(Text(collation="C"))
_INSTANTS = ARRAY(DateTime(timezone=True))
_a, _c, _x = campaign_assignments.c, customers.c, customer_aliases.c


def _given(values: Sequence[str]) -> BindParameter[Any]:
    return bindparam(None, list(values), _TEXTS, unique=True)


async def lock_people(session: Session) -> None:
    """Keep merges and erasures waiting until this transaction ends, as every bulk write does."""
    await session.execute(text("select pg_advisory_xact_lock_shared(:privacy)"), {"privacy": PEOPLE_LOCK})


async def survivors(session: Session, names: Sequence[str]) -> dict[str, str]:
    """Whom each known name means today."""
    given = func.unnest(_given(names)).table_valued("name").render_derived("given")
    query = (
        select(given.c.name, func.coalesce(_c.customer_id, _x.customer_id))
        .join_from(given, customers, _c.customer_id == given.c.name, isouter=True)
        .join(customer_aliases, _x.alias == given.c.name, isouter=True)
        .where(or_(_c.customer_id.is_not(None), _x.customer_id.is_not(None)))
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def erased_among(session: Session, hashes: Sequence[bytes]) -> list[bytes]:
    """Which of these keyed hashes are tombstones."""
    given = bindparam(None, list(hashes), ARRAY(LargeBinary), unique=True)
    return list(
        await session.scalars(select(tombstones.c.customer_hash).where(tombstones.c.customer_hash == any_(given)))
    )


async def create_customers(session: Session, names: Sequence[str]) -> None:
    """Create customers known by nothing but their name, in order, and have them evaluated."""
    if names:
        given = func.unnest(_given(names)).column_valued("customer_id")
        statement = upsert(customers).from_select(["customer_id"], select(given))
        await session.execute(statement.on_conflict_do_nothing(index_elements=["customer_id"]))
        await session.execute(insert(dirty_customers).values(customer_ids=list(names)))


async def held_out_among(
    session: Session, people: Sequence[str], *, holding: Sequence[dict[str, Any]], secret: bytes
) -> set[str]:
    """Which of these customers are in one of these global holdouts."""
    given = func.unnest(_given(people)).column_valued("customer_id")
    return set(await session.scalars(select(given).where(held_out(holding, given, secret=secret))))


async def arms_of(session: Session, campaign_id: str, people: Sequence[str]) -> dict[str, str]:
    """The arm of those of these customers who have one, under whichever of their names it was decided first."""
    given = func.unnest(_given(people)).column_valued("customer_id")
    names = select(given.label("person"), given.label("name")).union_all(
        select(_x.customer_id, _x.alias).where(_x.customer_id == any_(_given(people)))
    )
    named = names.subquery("named").c
    query = select(named.person, _a.arm).join(
        campaign_assignments, _a.customer_id == named.name
    ).where(_a.campaign_id == campaign_id).order_by(_a.assignment_id.desc())  # fmt: skip
    return {row[0]: row[1] for row in await session.execute(query)}


async def store(session: Session, campaign_id: str, rows: Sequence[tuple[str, str, datetime, datetime | None]]) -> None:
    """Store new assignments (customer, arm, since, exposed) in order of customers, so that writers never deadlock."""
    if not rows:
        return
    ordered = sorted(rows)
    kinds: tuple[ARRAY[Any], ...] = (_TEXTS, _TEXTS, _INSTANTS, _INSTANTS)
    columns = [bindparam(None, [row[place] for row in ordered], kind, unique=True) for place, kind in enumerate(kinds)]
    given = func.unnest(*columns).table_valued("customer_id", "arm", "assigned_at", "exposed_at").render_derived()
    names = ["campaign_id", "customer_id", "arm", "assigned_at", "exposed_at", "external"]
    chosen = select(
        bindparam(None, campaign_id, Text, unique=True),
        given.c.customer_id,
        given.c.arm,
        given.c.assigned_at,
        given.c.exposed_at,
        text("true"),
    )
    await session.execute(insert(campaign_assignments).from_select(names, chosen))


async def mark_crossed_over(session: Session, campaign_id: str, people: Sequence[str]) -> None:
    """Remember that another arm was pushed for these customers."""
    if people:
        mine = or_(
            _a.customer_id == any_(_given(people)),
            exists().where(_x.alias == _a.customer_id, _x.customer_id == any_(_given(people))),
        )
        await session.execute(
            update(campaign_assignments).where(_a.campaign_id == campaign_id, mine).values(crossed_over=True)
        )
