"""The SQL that every bulk write needs: locks, who the customers are, what was refused, whom it touched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Column, Text, any_, bindparam, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db.arrays import texts
from app.db.batch import Call, Statement, run
from app.db.engine import Session, driver
from app.records.intake.outcome import Refusal
from app.tables.customers import customer_aliases, customers
from app.tables.intake import known_batches, rejections
from app.tables.privacy import PEOPLE_LOCK, privacy_state, tombstones
from app.web.sessions import audit

_TEXTS = ARRAY(Text(collation="C"))


@dataclass(frozen=True, slots=True)
class PrivacyState:
    """What a bulk write must know of merges and erasures before it may store anything."""

    epoch: int
    has_tombstones: bool
    has_aliases: bool


async def lock_intake(session: Session, kind: str, source: str) -> None:
    """Wait for writers of the same kind and source, and for merges and erasures; they wait for us."""
    await session.execute(
        text("select pg_advisory_xact_lock_shared(:privacy), pg_advisory_xact_lock(hashtextextended(:stream, 0))"),
        {"privacy": PEOPLE_LOCK, "stream": f"intake {kind} {source}"},
    )


async def lock_people(session: Session) -> None:
    """Wait for all writers to finish and keep new ones out: whoever merges or erases needs the facts at rest."""
    await session.execute(text("select pg_advisory_xact_lock(:privacy)"), {"privacy": PEOPLE_LOCK})


async def move_epoch(session: Session) -> None:
    """Tell every process that what it remembers about customers is out of date."""
    await session.execute(privacy_state.update().values(epoch=privacy_state.c.epoch + 1))


async def privacy(session: Session) -> PrivacyState:
    """To be read after lock_intake, in a statement of its own, so that it sees what the lock waited for."""
    query = select(privacy_state.c.epoch, select(tombstones).exists(), select(customer_aliases).exists())
    row = (await session.execute(query)).one()
    return PrivacyState(*row)


# Planning a statement for its very values would take longer than running it for a few customers.
_ONE_PLAN = Statement("select set_config('plan_cache_mode', 'force_generic_plan', true)")
_LOCK = Statement("select pg_advisory_xact_lock_shared($1), pg_advisory_xact_lock(hashtextextended($2, 0))")
_PRIVACY = Statement(
    "select epoch, exists (select from tombstones), exists (select from customer_aliases) from privacy_state"
)
_KNOWN = Statement("select customer_id from customers where customer_id = any($1)")


async def open_intake(
    session: Session, kind: str, source: str, *, strangers: Sequence[str], entries: Sequence[Mapping[str, object]]
) -> tuple[PrivacyState, set[str]]:
    """lock_intake, then privacy, then which of the strangers are customers; and the entries for the audit log."""
    calls: list[Call] = [(_ONE_PLAN, []), _lock(kind, source), (_PRIVACY, []), audit(entries)]
    if strangers:
        calls.append((_KNOWN, [texts(strangers)]))
    _, _, (state,), _, *found = await run(session, *calls)
    return PrivacyState(*state), {each for rows in found for (each,) in rows}


def opening(kind: str, source: str, *, entries: Sequence[Mapping[str, object]]) -> list[Call]:
    """lock_intake, and the entries for the audit log."""
    return [_lock(kind, source), audit(entries)]


def _lock(kind: str, source: str) -> Call:
    return _LOCK, [PEOPLE_LOCK, f"intake {kind} {source}"]


async def known_customers(session: Session, customer_ids: Sequence[str]) -> set[str]:
    """Which of these customers exist."""
    given = bindparam("ids", list(customer_ids), _TEXTS)
    return set(await session.scalars(select(customers.c.customer_id).where(customers.c.customer_id == any_(given))))


async def aliases_of(session: Session, customer_ids: Sequence[str]) -> dict[str, str]:
    """For those that were merged away: whom they mean now."""
    given = bindparam("ids", list(customer_ids), _TEXTS)
    query = select(customer_aliases.c.alias, customer_aliases.c.customer_id)
    rows = await session.execute(query.where(customer_aliases.c.alias == any_(given)))
    return {row.alias: row.customer_id for row in rows}


async def any_known(session: Session, identifier: Column[str], ids: Sequence[str], *, source: str) -> bool:
    """Whether one of these identifiers is stored, under this source where the table knows sources."""
    query = select(identifier).where(identifier == any_(bindparam("ids", list(ids), _TEXTS)))
    if "source" in identifier.table.c:
        query = query.where(identifier.table.c.source == source)
    return bool(await session.scalar(select(query.exists())))


async def erased_among(session: Session, hashes: Sequence[bytes]) -> set[bytes]:
    """Which of these keyed hashes are tombstones."""
    rows = await session.scalars(select(tombstones.c.customer_hash).where(tombstones.c.customer_hash.in_(hashes)))
    return set(rows)


async def create_customers(session: Session, customer_ids: Sequence[str]) -> None:
    """Create customers that are known by nothing but their identifier; sorted, so that writers never deadlock."""
    given = func.unnest(bindparam("ids", sorted(customer_ids), _TEXTS)).column_valued("customer_id")
    statement = upsert(customers).from_select(["customer_id"], select(given))
    await session.execute(statement.on_conflict_do_nothing(index_elements=["customer_id"]))


async def touch(session: Session, customer_ids: Sequence[str]) -> None:
    """Put customers into the dirty set."""
    if customer_ids:
        connection = await driver(session)
        statement = "insert into dirty_customers (customer_ids) values (%b)"
        await connection.execute(statement, [texts(list(customer_ids))])


async def reject(session: Session, kind: str, source: str | None, refused: Sequence[Refusal]) -> None:
    """Keep refused rows, so that nothing is lost."""
    if refused:
        await session.execute(
            insert(rejections),
            [
                {
                    "kind": kind,
                    "source": source,
                    "index": refusal.index,
                    "code": refusal.code,
                    "pointer": refusal.pointer.replace("\x00", ""),
                    "detail": refusal.detail.replace("\x00", ""),
                    "customer_id": refusal.customer_id,
                    "payload": refusal.payload,
                    "status": "open",
                }
                for refusal in refused
            ],
        )


async def is_known_batch(session: Session, digest: bytes) -> int | None:
    """How many rows this very body had when it was stored whole in the present epoch; null when it was not."""
    query = select(known_batches.c.row_count).where(
        known_batches.c.digest == digest, known_batches.c.privacy_epoch == privacy_state.c.epoch
    )
    found: int | None = (await session.execute(query)).scalar_one_or_none()
    return found


async def remember_batch(session: Session, digest: bytes, *, rows: int, epoch: int) -> None:
    statement = upsert(known_batches).values(digest=digest, row_count=rows, privacy_epoch=epoch)
    renewed = {"row_count": rows, "privacy_epoch": epoch, "received_at": func.now()}
    await session.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=renewed))
