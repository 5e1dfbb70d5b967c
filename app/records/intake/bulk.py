"""The course of every bulk write: read, lock, recognise, store, keep what was refused, remember."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import msgspec

from app.clock import Clock, SystemClock
from app.db.batch import Call
from app.db.engine import Session
from app.privacy import customer_hash
from app.records.intake import repository
from app.records.intake.customers import CustomerMemory
from app.records.intake.envelope import Envelope
from app.records.intake.outcome import Added, Flaw, Outcome, Refusal, first_flaws
from app.records.intake.repository import PrivacyState

Row = TypeVar("Row", bound=msgspec.Struct)
Columns = TypeVar("Columns")

# Bodies this small are decoded where they are: handing them to a thread costs more.
SMALL_BODY = 16_384
# What store functions call the flaw of a row whose customer was erased.
ERASED = "customer_erased"
ERASED_DETAIL = "this customer was erased; nothing of theirs is taken any more"
# Below this the rows themselves are found again quickly enough.
REMEMBERED_FROM_ROWS = 100


@dataclass(frozen=True, slots=True)
class Intake:
    """What storing rows needs besides the rows."""

    memory: CustomerMemory
    secret: bytes
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row, Columns]):
    """One kind of record: how its rows are read, checked and stored."""

    name: str
    envelope: Envelope[Row]
    check: Callable[[Sequence[Row]], tuple[Columns, list[Flaw]]]
    take: Callable[[Columns, Sequence[int]], Columns]
    store: Callable[..., Awaitable[tuple[Outcome, list[Flaw]]]]
    # Like store, but leaves it to the caller to see to the customers whom the new rows are of. None: there is no such.
    add: Callable[..., Awaitable[Added]] | None = None
    # What stores those of a few rows that are not stored and are nobody's or of a customer who exists, a row for each;
    # null where one statement cannot. None: it never can.
    insertion: Callable[[str, Columns], Call | None] | None = None
    # What a key needs to push rows of this kind, and to try refused ones again.
    scope: str = "ingest"


@dataclass(frozen=True, slots=True)
class Checked(Generic[Columns]):
    """Rows that passed every check that needs no database, and those that did not.

    indices says where each good row stood in what was sent; payload gives a row back as it was sent. place is what
    pointers begin with where that is not the name of the list in the body.
    """

    source: str
    columns: Columns
    indices: Sequence[int]
    refused: list[Refusal]
    payload: Callable[[int], bytes]
    customer_of: Callable[[int], str | None]
    place: str | None = None

    @property
    def received(self) -> int:
        return len(self.indices) + len(self.refused)


def check(kind: Kind[Row, Columns], body: bytes) -> Checked[Columns]:
    """Read a body and check every row."""
    batch = kind.envelope.read(body)
    columns, flaws = kind.check(batch.rows)
    rows = batch.rows

    def payload(position: int) -> bytes:
        return msgspec.json.encode(rows[position])

    def customer_of(position: int) -> str | None:
        return getattr(rows[position], "customer_id", None)

    checked = Checked(batch.source, columns, batch.indices, batch.refused, payload, customer_of)
    return set_apart(kind, checked, flaws) if flaws else checked


def set_apart(kind: Kind[Row, Columns], checked: Checked[Columns], flaws: Sequence[Flaw]) -> Checked[Columns]:
    """The same rows with the flawed ones refused."""
    flawed = first_flaws(flaws)
    good = [position for position in range(len(checked.indices)) if position not in flawed]
    return Checked(
        checked.source,
        kind.take(checked.columns, good),
        [checked.indices[position] for position in good],
        [*checked.refused, *refusals(kind.envelope.name, checked, flawed.values())],
        lambda position: checked.payload(good[position]),
        lambda position: checked.customer_of(good[position]),
        checked.place,
    )


def refusals(name: str, checked: Checked[Columns], flaws: Iterable[Flaw]) -> Iterator[Refusal]:
    for flaw in flaws:
        index = checked.indices[flaw.position]
        pointer = f"/{checked.place or name}/{index}/{flaw.field}"
        # Nothing of an erased customer may be kept, not even the refused row.
        erased = flaw.code == ERASED
        payload = b"" if erased else checked.payload(flaw.position)
        customer_id = None if erased else checked.customer_of(flaw.position)
        yield Refusal(index, flaw.code, pointer, flaw.detail, payload, customer_id)


async def ingest(session: Session, kind: Kind[Row, Columns], body: bytes, *, intake: Intake) -> Outcome:
    """Take in one bulk body. Everything it changes is in the caller's transaction."""
    digest = hashlib.blake2b(body, digest_size=16, person=kind.name.encode()[:16]).digest()
    known = await repository.is_known_batch(session, digest)
    if known is not None:
        return Outcome(received=known, duplicates=known)
    checked = check(kind, body) if len(body) <= SMALL_BODY else await anyio.to_thread.run_sync(check, kind, body)
    with intake.memory.facts.writing():
        outcome, privacy = await store(session, kind, checked, intake=intake)
    if not outcome.rejected and outcome.received >= REMEMBERED_FROM_ROWS:
        await repository.remember_batch(session, digest, rows=outcome.received, epoch=privacy.epoch)
    return outcome


async def store(
    session: Session, kind: Kind[Row, Columns], checked: Checked[Columns], *, intake: Intake
) -> tuple[Outcome, PrivacyState]:
    """Store checked rows and keep the refused ones."""
    await repository.lock_intake(session, kind.name, checked.source)
    privacy = await repository.privacy(session)
    outcome = Outcome()
    if checked.indices:
        outcome, flaws = await kind.store(
            session,
            checked.source,
            checked.columns,
            privacy=privacy,
            memory=intake.memory,
            secret=intake.secret,
            now=intake.clock.now(),
        )
        outcome.rejected.extend(refusals(kind.envelope.name, checked, first_flaws(flaws).values()))
    refused = checked.refused
    if privacy.has_tombstones:
        refused = await of_nobody_erased(session, kind.envelope.name, refused, secret=intake.secret)
    outcome.rejected.extend(refused)
    outcome.received = checked.received
    await repository.reject(session, kind.name, checked.source, outcome.rejected)
    return outcome, privacy


async def of_nobody_erased(session: Session, name: str, refused: Sequence[Refusal], *, secret: bytes) -> list[Refusal]:
    """The same refusals; whatever else is wrong with the row of somebody erased, it is refused as that and not kept."""
    hashes = {each.customer_id: customer_hash(secret, each.customer_id) for each in refused if each.customer_id}
    gone = await repository.erased_among(session, list(hashes.values())) if hashes else set()
    return [
        each
        if each.customer_id is None or hashes.get(each.customer_id) not in gone
        else Refusal(each.index, ERASED, f"/{name}/{each.index}/customer_id", ERASED_DETAIL)
        for each in refused
    ]
