"""Time alone moves customers too: when each has to be looked at again though nothing happened."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import any_, bindparam, delete, exists, func, select, true, update

from app.db.arrays import texts, timestamps
from app.db.batch import Parameter, Statement, run
from app.db.engine import Session
from app.tables.customers import customers
from app.tables.events import events
from app.tables.segments import evaluations_due, feed_state
from app.tables.transactions import transactions

EPOCH, TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_SET = Statement("""
insert into evaluations_due as d (customer_id, due_at) select * from unnest($1, $2)
    on conflict (customer_id) do update set due_at = excluded.due_at where d.due_at <> excluded.due_at
""")
_BRING_FORWARD = Statement("""
insert into evaluations_due as d (customer_id, due_at) select * from unnest($1, $2)
    on conflict (customer_id) do update set due_at = excluded.due_at where d.due_at > excluded.due_at
""")
_NEVER = Statement("delete from evaluations_due where customer_id = any($1)")

# Where no fact is newer than this, the feed is silent, not everybody gone: time alone then moves nobody.
SILENT_AFTER = timedelta(days=30)
# How exactly it is known when the newest fact happened: noting every single one would be a write more for each push.
NOTED_EVERY = timedelta(hours=1)


async def set_due(
    session: Session, customer_ids: Sequence[str], dues: Sequence[datetime | None], *, whole: bool
) -> None:
    """Say when time alone may move these customers next; null: never. See calls."""
    if said := list(calls(customer_ids, dues, whole=whole)):
        await run(session, *said)


def calls(
    customer_ids: Sequence[str], dues: Sequence[datetime | None], *, whole: bool
) -> Iterator[tuple[Statement, Sequence[Parameter]]]:
    """What set_due runs, for whoever runs it among other statements.

    whole: by everything that is active, so that what was said before is replaced; otherwise the earlier one counts.
    """
    pairs = list(zip(customer_ids, dues, strict=True))
    known = [(each, (due - EPOCH) // TICK) for each, due in pairs if due is not None]
    if known:
        ids, micros = zip(*known, strict=True)
        yield _SET if whole else _BRING_FORWARD, [texts(ids), timestamps(micros)]
    if whole and len(known) < len(pairs):
        yield _NEVER, [texts([each for each, due in pairs if due is None])]


async def take_due(session: Session, *, now: datetime, at_most: int) -> list[str]:
    """Take the customers whom time alone may have moved by now, those due longest first; in order of identifier."""
    d = evaluations_due.c
    longest = select(d.customer_id).where(d.due_at <= now).order_by(d.due_at).limit(at_most)
    taken = delete(evaluations_due).where(d.customer_id.in_(longest)).returning(d.customer_id)
    return sorted(await session.scalars(taken))


async def forget_the_gone(session: Session) -> None:
    """Forget when customers are due who were merged or erased since that was said."""
    d = evaluations_due.c
    await session.execute(delete(evaluations_due).where(~exists().where(customers.c.customer_id == d.customer_id)))


async def note_facts(session: Session, customer_ids: Sequence[str], *, now: datetime) -> None:
    """Remember when the newest fact of these customers happened, if it is news. Needs lock_memberships."""
    known = await session.scalar(select(feed_state.c.newest_fact_at))
    if known is not None and known >= now - NOTED_EVERY:
        return
    newest = [
        select(func.max(facts.c.occurred_at))
        .where(
            facts.c.customer_id == any_(bindparam("customer_ids")),
            # Reading what cannot be news would be reading every history once more.
            true() if known is None else facts.c.occurred_at > known + NOTED_EVERY,
        )
        .scalar_subquery()
        for facts in (transactions, events)
    ]
    found = await session.scalar(select(func.greatest(*newest)), {"customer_ids": texts(customer_ids)})
    if found is not None:
        # One that is dated ahead counts as of now.
        await session.execute(update(feed_state).values(newest_fact_at=min(found, now)))


async def is_silent(session: Session, *, now: datetime) -> bool:
    """Whether no fact came to pass lately."""
    newest = await session.scalar(select(feed_state.c.newest_fact_at))
    return newest is None or newest < now - SILENT_AFTER
