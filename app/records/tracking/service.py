"""Taking in messages of tracking clients: everything of one request in one transaction, in one order of locks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio
from sqlalchemy import Column

from app.clock import format_instant
from app.db.engine import Session
from app.records.intake import repository as intake
from app.records.intake.bulk import SMALL_BODY
from app.records.intake.customers import CustomerMemory, People, resolve
from app.records.intake.outcome import Outcome, Refusal
from app.records.tracking import repository
from app.records.tracking.linking import Links, carry_out, due
from app.records.tracking.mapping import Link, Reader, RecordKind, Row, Translated
from app.records.tracking.prepared import KINDS, SOURCES, Prepared, prepared
from app.records.tracking.reading import Sent
from app.tables.events import events
from app.tables.transactions import transactions

T = TypeVar("T")
Batches = Mapping[RecordKind, Prepared]

# What happened, by the column of its identifier, in the order in which it is stored.
FACTS: Mapping[RecordKind, Column[str]] = {
    "events": events.c.event_id,
    "transactions": transactions.c.transaction_id,
}


@dataclass(slots=True)
class Reading:
    """What the messages of one request mean."""

    rows: dict[RecordKind, list[tuple[Sent, Row]]] = field(default_factory=lambda: {name: [] for name in KINDS})
    links: list[tuple[Sent, Link]] = field(default_factory=list)
    refused: dict[RecordKind, list[Refusal]] = field(default_factory=lambda: {name: [] for name in KINDS})

    @property
    def acting(self) -> set[str]:
        """Whose the rows are."""
        return {row.values["customer_id"] for rows in self.rows.values() for _, row in rows}


async def take_in(
    session: Session, messages: Sequence[Sent], *, reader: Reader, secret: bytes, call: str | None = None
) -> Outcome:
    """Store what messages mean and keep those that mean nothing usable as rejections.

    call says what the messages are, where the path does.
    """
    large = sum(len(sent.raw) for sent in messages) > SMALL_BODY
    reading = await _run(partial(_read, messages, reader, call), large=large)
    links = await due(session, reading.links, acting=reading.acting)
    await _lock(session, reading, exclusively=bool(links))
    await _adopt_instants(session, reading)
    batches = await _run(partial(_prepare, reading), large=large)
    outcome = Outcome(received=len(messages))
    await _store_all(Writing(session, secret, reader.now, outcome, reading.refused), batches, links)
    for name, refused in reading.refused.items():
        await intake.reject(session, name, SOURCES[name], refused)
        outcome.rejected += refused
    return outcome


async def _run(function: Callable[[], T], *, large: bool) -> T:
    return await anyio.to_thread.run_sync(function) if large else function()


def _read(messages: Sequence[Sent], reader: Reader, call: str | None) -> Reading:
    reading = Reading()
    for sent in messages:
        kind, meant = reader.translate(sent, kind=call)
        if not isinstance(meant, Translated):
            reading.refused[kind].append(meant)
            continue
        if meant.row is not None:
            reading.rows[kind].append((sent, meant.row))
        if meant.link is not None:
            reading.links.append((sent, meant.link))
    return reading


async def _lock(session: Session, reading: Reading, *, exclusively: bool) -> None:
    """Everybody out at once where customers merge: two writers that both waited for that later would wait forever."""
    if exclusively:
        await intake.lock_people(session)
    for name, rows in reading.rows.items():
        if rows:
            await intake.lock_intake(session, name, SOURCES[name])


async def _adopt_instants(session: Session, reading: Reading) -> None:
    """A message without a time that was stored before keeps the time it got then, or it would seem another."""
    for name, identifier in FACTS.items():
        untimed = {row.values[identifier.name]: row for _, row in reading.rows[name] if row.untimed}
        if untimed:
            stored = await repository.instants_of(session, identifier, list(untimed), source=SOURCES[name])
            for _, row in reading.rows[name]:
                if row.untimed and (at := stored.get(row.values[identifier.name])):
                    row.values["occurred_at"] = format_instant(at)


def _prepare(reading: Reading) -> Batches:
    batches = {name: prepared(name, rows) for name, rows in reading.rows.items() if rows}
    for name, batch in batches.items():
        reading.refused[name] += batch.checked.refused
    return batches


@dataclass(frozen=True, slots=True)
class Writing:
    """What one request writes with and into."""

    session: Session
    secret: bytes
    now: datetime
    outcome: Outcome
    refused: Mapping[RecordKind, list[Refusal]]

    async def resolve(self, named: set[str]) -> tuple[People, set[str]]:
        """Who these are, all at once so that no later statement creates anybody; and those who are new.

        The memory lives as long as the request: what it creates may yet be rolled back.
        """
        memory = CustomerMemory()
        privacy = await intake.privacy(self.session)
        people = await resolve(self.session, named, privacy=privacy, memory=memory, secret=self.secret)
        return people, named - memory.known - people.merged.keys() - people.erased

    async def store(self, name: RecordKind, batch: Prepared) -> None:
        """Store the good rows of one kind; refused ones join the others."""
        if not batch.checked.indices:
            return
        stored, flaws = await batch.kind.store(
            self.session,
            batch.checked.source,
            batch.checked.columns,
            privacy=await intake.privacy(self.session),
            memory=CustomerMemory(),
            secret=self.secret,
            now=self.now,
        )
        for count in ("created", "updated", "duplicates"):
            setattr(self.outcome, count, getattr(self.outcome, count) + getattr(stored, count))
        self.refused[name].extend(batch.refusals(flaws))


async def _store_all(writing: Writing, batches: Batches, links: Links) -> None:
    """Customers, then who is whom, then what they did."""
    acting = {customer for batch in batches.values() for customer in batch.customers}
    people, new = await writing.resolve(acting | {each for _, link in links for each in (link.source, link.target)})
    if (customers := batches.get("customers")) is not None:
        await writing.store("customers", customers)
        _count_as_created(writing, customers, new)
    spoilt = {refusal.index for refusal in writing.refused["customers"]}
    kept = [(sent, link) for sent, link in links if link.declared or sent.index not in spoilt]
    linked = await carry_out(writing.session, kept, people=people, now=writing.now)
    writing.outcome.updated += linked.merged
    writing.outcome.duplicates += linked.nothing_new
    writing.refused["customers"].extend(linked.refused)
    for name in FACTS:
        if (batch := batches.get(name)) is not None:
            await writing.store(name, batch)


def _count_as_created(writing: Writing, customers: Prepared, new: set[str]) -> None:
    """Whoever was created a moment ago so that all are created at once seems to have been there already."""
    spoilt = {refusal.index for refusal in writing.refused["customers"]}
    checked = customers.checked
    stored = {checked.customer_of(p) for p, index in enumerate(checked.indices) if index not in spoilt}
    created = len(stored & new)
    writing.outcome.created += created
    writing.outcome.updated -= created
