"""Small pushes go out together: those that come while others are being committed share the next transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg.errors import LockNotAvailable

from app.db.engine import Database, Session
from app.db.express import Express
from app.db.failures import is_database_away
from app.errors import Unavailable, places
from app.records.intake import repository
from app.records.intake.bulk import Checked, Intake, Kind, of_nobody_erased, refusals
from app.records.intake.envelope import Batch
from app.records.intake.outcome import Added, Flaw, Outcome, first_flaws
from app.records.intake.push import Push
from app.records.intake.quick import LookAt, store_quickly

# Of one transaction: bounds how long the first of a group waits for the last.
REQUESTS_AT_ONCE = 64
ROWS_AT_ONCE = 2_000
# How long a busy line lets pushes gather; one who comes alone never waits.
GATHER_SECONDS = 0.001

# Brings what is inferred about these customers up to date, in the transaction that is open; False: it could not now.
Settle = Callable[[Session, Sequence[str]], Awaitable[bool]]

log = structlog.get_logger("tessera.intake")


@dataclass(slots=True)
class Line:
    """Pushes of one kind and source in the order they came, those that are being committed, and the task that does it."""

    waiting: deque[Push] = field(default_factory=deque)
    at_work: list[Push] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    def take(self) -> list[Push]:
        """Go on to the next that fit into one transaction, at least one; not those that nobody waits for any more."""
        taken: list[Push] = []
        rows = 0
        while self.waiting and len(taken) < REQUESTS_AT_ONCE:
            push = self.waiting[0]
            rows += len(push.batch.rows)
            if taken and rows > ROWS_AT_ONCE:
                break
            self.waiting.popleft()
            if not push.answer.done():
                taken.append(push)
        self.at_work = taken
        return taken


class Together:
    """The small pushes of one process. Each is answered after the commit of what it brought."""

    def __init__(self, database: Database, intake: Intake, settle: Settle, look_at: LookAt) -> None:
        self._database, self._intake, self._settle = database, intake, settle
        self._express, self._look_at = Express(database), look_at
        self._lines: dict[tuple[str, str], Line] = {}

    async def push(self, kind: Kind[Any, Any], batch: Batch[Any], *, entry: Mapping[str, object]) -> Outcome:
        """Store the rows of one body with others of its kind and source."""
        loop = asyncio.get_running_loop()
        push = Push(kind, batch, entry, loop.create_future())
        key = (kind.name, batch.source)
        line = self._lines.setdefault(key, Line())
        line.waiting.append(push)
        if line.task is None:
            self._begin(key, line, self._serve(key, line))
        return await push.answer

    def _begin(self, key: tuple[str, str], line: Line, work: Coroutine[Any, Any, None]) -> None:
        line.task = asyncio.get_running_loop().create_task(work)
        line.task.add_done_callback(partial(self._ended, key, line))

    def _ended(self, key: tuple[str, str], line: Line, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._lines.pop(key, None)
            for push in (*line.at_work, *line.waiting):
                _fail(push, Unavailable("The service is stopping"))
        elif (error := task.exception()) is not None:
            self._begin(key, line, self._recover(key, line, error))

    async def close(self) -> None:
        """Whoever still waits is told that the service is stopping."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._express.close()

    async def _serve(self, key: tuple[str, str], line: Line) -> None:
        """Commit group after group. Whatever one fails with ends this; then _recover takes over."""
        while group := line.take():
            for push, outcome in zip(group, await self._commit(group, self._settle), strict=True):
                _answer(push, outcome)
            if len(line.waiting) < len(group) > 1:
                # Those who were just answered are about to send more: one transaction for all of them.
                await asyncio.sleep(GATHER_SECONDS)
        del self._lines[key]

    async def _recover(self, key: tuple[str, str], line: Line, error: BaseException) -> None:
        await self._one_by_one(line.at_work, error)
        await self._serve(key, line)

    async def _one_by_one(self, group: Sequence[Push], error: BaseException) -> None:
        """Try each alone, so that none fails for what another brought, nor for what is inferred about customers."""
        log.error(
            "small pushes failed; each is tried alone",
            error=type(error).__qualname__,
            at=places(error),
            requests=len(group),
        )
        away: BaseException | None = None
        for push in group:
            # Gathered, because what one fails with must not end the serving of the next.
            found = away or (await asyncio.gather(self._commit([push], None), return_exceptions=True))[0]
            if isinstance(found, BaseException):
                _fail(push, found)
                # Nobody gains by everybody waiting for a database that is away.
                away = found if is_database_away(found) else None
            else:
                _answer(push, found[0])

    async def _commit(self, group: Sequence[Push], settle: Settle | None) -> list[Outcome]:
        if settle is not None and self._express.is_free:
            try:
                found = await store_quickly(self._express, group, look_at=self._look_at)
            except psycopg.Error as error:
                # Somebody held a lock for long, or the connection was lost: the long way may yet succeed.
                tell = log.info if isinstance(error, LockNotAvailable) else log.warning
                tell("small pushes go the long way", error=type(error).__qualname__, requests=len(group))
                found = None
            if found is not None:
                return found
        async with self._database.write() as session:
            return await store_group(session, group, intake=self._intake, settle=settle)


def _answer(push: Push, outcome: Outcome) -> None:
    if not push.answer.done():
        push.answer.set_result(outcome)


def _fail(push: Push, error: BaseException) -> None:
    if not push.answer.done():
        push.answer.set_exception(error)


async def store_group(
    session: Session, group: Sequence[Push], *, intake: Intake, settle: Settle | None
) -> list[Outcome]:
    """Store the rows of pushes of one kind and source; for each push what became of it."""
    kind, source = group[0].kind, group[0].batch.source
    rows = [row for push in group for row in push.batch.rows]
    named = {row.customer_id for row in rows if row.customer_id is not None}
    memory = intake.memory
    privacy, known = await repository.open_intake(
        session,
        kind.name,
        source,
        strangers=sorted(named - memory.known),
        entries=[push.entry for push in group],
    )
    remembered = memory.at(privacy.epoch)
    remembered |= known
    columns, flaws = kind.check(rows)
    sorted_out = _Sorted(kind, group, rows)
    sorted_out.refuse(flaws)
    if privacy.has_tombstones:
        await sorted_out.forget_the_erased(session, secret=intake.secret)
    good = sorted_out.good()
    if good:
        taken = columns if len(good) == len(rows) else kind.take(columns, good)
        assert kind.add is not None, "only kinds that can add come here"
        added = await kind.add(session, source, taken, privacy=privacy, memory=memory, secret=intake.secret)
        sorted_out.count(added, good)
        owners = sorted(added.owners)
        if owners and (settle is None or not await settle(session, owners)):
            await repository.touch(session, owners)
    await repository.reject(session, kind.name, source, [each for one in sorted_out.outcomes for each in one.rejected])
    return sorted_out.outcomes


class _Sorted:
    """What becomes of the rows of a group, told apart by push."""

    def __init__(self, kind: Kind[Any, Any], group: Sequence[Push], rows: Sequence[Any]) -> None:
        self._name = kind.envelope.name
        self._push_of = [number for number, push in enumerate(group) for _ in push.batch.rows]
        self._refused: set[int] = set()
        self.outcomes = [Outcome(received=push.batch.received, rejected=list(push.batch.refused)) for push in group]
        self._rows = Checked(
            group[0].batch.source,
            rows,
            [index for push in group for index in push.batch.indices],
            [],
            lambda position: msgspec.json.encode(rows[position]),
            lambda position: rows[position].customer_id,
        )

    def refuse(self, flaws: Sequence[Flaw]) -> None:
        """Give each flawed row back to who sent it."""
        found = first_flaws(flaws)
        for flaw, refusal in zip(found.values(), refusals(self._name, self._rows, found.values()), strict=True):
            self.outcomes[self._push_of[flaw.position]].rejected.append(refusal)
        self._refused |= found.keys()

    async def forget_the_erased(self, session: Session, *, secret: bytes) -> None:
        """Keep nothing of what was refused so far and is of somebody erased."""
        together = [refusal for outcome in self.outcomes for refusal in outcome.rejected]
        if together:
            kept = iter(await of_nobody_erased(session, self._name, together, secret=secret))
            for outcome in self.outcomes:
                outcome.rejected = [next(kept) for _ in outcome.rejected]

    def good(self) -> list[int]:
        return [position for position in range(len(self._push_of)) if position not in self._refused]

    def count(self, added: Added, good: Sequence[int]) -> None:
        """What of the good rows was created, known already, or contradicts."""
        contradicting = [Flaw(good[flaw.position], flaw.code, flaw.field, flaw.detail) for flaw in added.flaws]
        self.refuse(contradicting)
        created = {good[position] for position in added.created}
        for position in created:
            self.outcomes[self._push_of[position]].created += 1
        for position in good:
            if position not in created and position not in self._refused:
                self.outcomes[self._push_of[position]].duplicates += 1
