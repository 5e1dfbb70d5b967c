"""Each fact once: what is new is inserted, what is known is skipped, what contradicts is reported."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from psycopg.errors import UniqueViolation
from sqlalchemy import Column
from sqlalchemy.exc import IntegrityError

from app.db.engine import Session, after_commit
from app.records.intake import repository
from app.records.intake.bulk import ERASED, ERASED_DETAIL
from app.records.intake.customers import CustomerMemory, People, resolve
from app.records.intake.outcome import Added, Flaw, Outcome
from app.records.intake.recent import Content, Recall

# Identifiers looked at before hoping that a whole batch is new.
SAMPLE = 16
# Smaller batches are compared with what is stored quickly enough.
RECALLED_FROM_ROWS = 100
# Up to here a statement over values is quicker than a COPY; see bench/realtime.py.
FEW_ROWS = 100
# SQLAlchemy wraps what the driver says of its own statements; a COPY goes past it.
ALREADY_THERE = (IntegrityError, UniqueViolation)


class Columns(Protocol):
    """Rows by column; content is everything that one row says besides its identifier."""

    def __len__(self) -> int: ...

    def content(self, position: int) -> tuple[Any, ...]: ...


class OwnedColumns(Columns, Protocol):
    """Rows about customers; null for nobody in particular."""

    customer_id: list[str | None]


C = TypeVar("C", bound=Columns)
Owned = TypeVar("Owned", bound=OwnedColumns)


@dataclass(frozen=True, slots=True)
class Known:
    """Positions of rows that are stored: with this very content, and with another."""

    same: Sequence[int]
    other: Sequence[int]


@dataclass(frozen=True, slots=True)
class Shelf(Generic[C]):
    """Where one kind of fact is kept, by the column of its identifier; a shelf may have no sources."""

    identifier: Column[str]
    take: Callable[[C, Sequence[int]], C]
    compare: Callable[[Session, str, C], Awaitable[Known]]
    add: Callable[[Session, str, C], Awaitable[None]]
    contents: Callable[[C], list[Content]] | None = None
    # Inserts those of a few rows, in order, that are not stored, and gives their identifiers.
    add_unknown: Callable[[Session, str, C], Awaitable[set[str]]] | None = None

    def ids(self, columns: C) -> list[str]:
        found: list[str] = getattr(columns, self.identifier.name)
        return found


async def add_once(session: Session, shelf: Shelf[C], source: str, columns: C, *, flaws: Sequence[Flaw]) -> Added:
    """Store rows that are new and not flawed, skip those that are stored, report those that contradict.

    Needs lock_intake.
    """
    ids = shelf.ids(columns)
    flawed = {flaw.position for flaw in flaws}
    good = [position for position in range(len(columns)) if position not in flawed] if flawed else range(len(columns))
    order = sorted(good, key=ids.__getitem__)
    fresh, repeated, conflicts = _once(ids, columns, order)
    added = await _add_new(session, shelf, source, columns, order=fresh) if fresh else Added([], 0, [])
    conflicting = [_conflict(position, shelf.identifier.name) for position in conflicts]
    return Added(added.created, added.duplicates + repeated, [*flaws, *conflicting, *added.flaws])


def _conflict(position: int, name: str) -> Flaw:
    detail = f"this {name} is stored with other content; a correction needs an identifier of its own"
    return Flaw(position, "conflict", name, detail)


def _once(ids: Sequence[str], columns: Columns, order: Sequence[int]) -> tuple[list[int], int, list[int]]:
    """First of each identifier, in order; how many repeat it; which contradict it."""
    if len(set(map(ids.__getitem__, order))) == len(order):
        return list(order), 0, []
    fresh: list[int] = []
    duplicates, conflicts = 0, []
    for position in order:
        if not fresh or ids[fresh[-1]] != ids[position]:
            fresh.append(position)
        elif columns.content(fresh[-1]) == columns.content(position):
            duplicates += 1
        else:
            conflicts.append(position)
    return fresh, duplicates, conflicts


async def _add_new(session: Session, shelf: Shelf[C], source: str, columns: C, *, order: Sequence[int]) -> Added:
    """Insert what is not stored; every identifier stands once."""
    ids = shelf.ids(columns)
    if shelf.add_unknown is not None and len(order) <= FEW_ROWS:
        return await _add_few(session, shelf, source, columns, order=order)
    sample = [ids[position] for position in order[:: max(1, len(order) // SAMPLE)]]
    if not await repository.any_known(session, shelf.identifier, [*sample, ids[order[-1]]], source=source):
        # Probably all new: let the primary key find out, which costs nothing when it is so.
        try:
            async with session.begin_nested():
                await shelf.add(session, source, shelf.take(columns, order))
            return Added(order, 0, [])
        except ALREADY_THERE:
            pass
    known = await shelf.compare(session, source, shelf.take(columns, order))
    stored = {*known.same, *known.other}
    fresh = [position for place, position in enumerate(order) if place not in stored]
    if fresh:
        await shelf.add(session, source, shelf.take(columns, fresh))
    flaws = [_conflict(order[place], shelf.identifier.name) for place in known.other]
    return Added(fresh, len(known.same), flaws)


async def _add_few(session: Session, shelf: Shelf[C], source: str, columns: C, *, order: Sequence[int]) -> Added:
    """The same for a few rows, for which one statement that skips what is known is quicker than asking first."""
    assert shelf.add_unknown is not None, "only such shelves take a few rows at once"
    ids = shelf.ids(columns)
    inserted = await shelf.add_unknown(session, source, shelf.take(columns, order))
    rest = [position for position in order if ids[position] not in inserted]
    if not rest:
        return Added(order, 0, [])
    known = await shelf.compare(session, source, shelf.take(columns, rest))
    flaws = [_conflict(rest[place], shelf.identifier.name) for place in known.other]
    return Added([position for position in order if ids[position] in inserted], len(known.same), flaws)


def by_content(
    identifier: Column[str], stored_content: Callable[[Session, str, Sequence[str]], Awaitable[Mapping[str, Any]]]
) -> Callable[[Session, str, C], Awaitable[Known]]:
    """Compare rows with what is stored under their identifiers, row by row."""

    async def compare(session: Session, source: str, columns: C) -> Known:
        ids: list[str] = getattr(columns, identifier.name)
        stored = await stored_content(session, source, ids)
        places = [place for place, each in enumerate(ids) if each in stored]
        same = [place for place in places if stored[ids[place]] == columns.content(place)]
        return Known(same, sorted(set(places).difference(same)))

    return compare


def adding(shelf: Shelf[Owned]) -> Callable[..., Awaitable[Added]]:
    """The add function of a kind of fact about customers, who are created when they are new."""

    async def add(
        session: Session,
        source: str,
        columns: Owned,
        *,
        privacy: repository.PrivacyState,
        memory: CustomerMemory,
        secret: bytes,
    ) -> Added:
        """Needs lock_intake. Flaws name positions of the columns given."""
        people = await resolve(session, _named(columns.customer_id), privacy=privacy, memory=memory, secret=secret)
        columns, flaws = _renamed(people, columns)
        added = await _add_once_or_recall(
            session, shelf, source, columns, flaws=flaws, recall=memory.facts.at(privacy.epoch)
        )
        whole = len(added.created) == len(columns)
        owners = columns.customer_id if whole else map(columns.customer_id.__getitem__, added.created)
        return replace(added, owners=list(_named(owners)))

    return add


def _named(customer_ids: Iterable[str | None]) -> set[str]:
    found = set(customer_ids)
    found.discard(None)
    return cast(set[str], found)


def storing(shelf: Shelf[Owned]) -> Callable[..., Awaitable[tuple[Outcome, list[Flaw]]]]:
    """The store function of such a kind: whoever has a new fact is to be evaluated again."""
    add = adding(shelf)

    async def store(
        session: Session,
        source: str,
        columns: Owned,
        *,
        privacy: repository.PrivacyState,
        memory: CustomerMemory,
        secret: bytes,
        **_now: object,
    ) -> tuple[Outcome, list[Flaw]]:
        """Needs lock_intake. Flaws name positions of the columns given."""
        added = await add(session, source, columns, privacy=privacy, memory=memory, secret=secret)
        await repository.touch(session, added.owners)
        return Outcome(created=len(added.created), duplicates=added.duplicates), added.flaws

    return store


async def _add_once_or_recall(
    session: Session,
    shelf: Shelf[Owned],
    source: str,
    columns: Owned,
    *,
    flaws: list[Flaw],
    recall: Recall,
) -> Added:
    """Like add_once; rows that this process remembers having stored are not looked up again."""
    if shelf.contents is None or len(columns) < RECALLED_FROM_ROWS or flaws:
        return await add_once(session, shelf, source, columns, flaws=flaws)
    where, ids, contents = (shelf.identifier.table.name, source), shelf.ids(columns), partial(_contents, shelf, columns)
    known = recall.known(where, ids, contents)
    unknown = [position for position in range(len(columns)) if position not in known] if known else range(len(columns))
    rest = shelf.take(columns, unknown) if known else columns
    added = await add_once(session, shelf, source, rest, flaws=())
    if added.created:
        created = rest if len(added.created) == len(rest) else shelf.take(rest, added.created)
        after_commit(session, lambda: recall.remember(where, shelf.ids(created), partial(_contents, shelf, created)))
    found = [replace(flaw, position=unknown[flaw.position]) for flaw in added.flaws]
    created_at = [unknown[place] for place in added.created] if known else added.created
    return Added(created_at, added.duplicates + len(known), found)


def _contents(shelf: Shelf[C], columns: C, positions: Sequence[int]) -> list[Content]:
    assert shelf.contents is not None, "only such shelves are recalled"
    return shelf.contents(shelf.take(columns, positions))


def _renamed(people: People, columns: Owned) -> tuple[Owned, list[Flaw]]:
    """The columns with merged customers renamed; rows of the erased are flawed."""
    if not people.merged and not people.erased:
        return columns, []
    flaws = [
        Flaw(position, ERASED, "customer_id", ERASED_DETAIL)
        for position, customer_id in enumerate(columns.customer_id)
        if customer_id in people.erased
    ]
    columns = copy(columns)
    columns.customer_id = [None if each is None else people.merged.get(each, each) for each in columns.customer_id]
    return columns, flaws
