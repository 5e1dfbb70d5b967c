"""The hot read: look-ups that arrive while a query is on its way go out together with the next one."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg

from app.db.engine import Database
from app.errors import Unavailable
from app.modelling.memberships import repository
from app.modelling.memberships.repository import Row, SegmentName


class Names:
    """Names of segments as this process has seen them. They never change, so what is known stays right."""

    def __init__(self) -> None:
        self._known: dict[UUID, SegmentName] = {}

    async def cover(self, connection: psycopg.AsyncConnection, rows: Iterable[Row]) -> None:
        """Make sure that every segment in these rows has a name."""
        if not all(row[2] is None or row[2] in self._known for row in rows):
            self._known = await repository.read_names(connection)

    def shown(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The memberships in these rows of one customer, in order of segmentation."""
        return sorted((self._one(row) for row in rows if row[2] is not None), key=_order)

    def _one(self, row: Row) -> dict[str, Any]:
        _, _, segment_id, version, since, evaluated_at, confidence, reason = row
        assert segment_id is not None, "only rows with a membership are shown"
        named = self._known[segment_id]
        found = {
            "segmentation_id": named.segmentation_id,
            "segmentation": named.segmentation,
            "version": version,
            "segment_id": segment_id,
            "segment_key": named.key,
            "segment_name": named.name,
            "since": since,
            "evaluated_at": evaluated_at,
            "reason": orjson.Fragment(reason),
        }
        return found if confidence is None else {**found, "confidence": confidence}


def _order(membership: dict[str, Any]) -> str:
    name: str = membership["segmentation"]
    return name


class Lookups:
    """Current memberships of single customers, over a connection of its own."""

    def __init__(self, database: Database) -> None:
        self.names = Names()
        self._database = database
        self._cursor: psycopg.AsyncCursor | None = None
        self._turn = asyncio.Lock()
        self._gathering: _Batch | None = None

    async def find(self, customer_id: str) -> list[dict[str, Any]] | None:
        """The memberships of a customer now; null when there is no customer of this very identifier.

        Raises Unavailable.
        """
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch(self)
        rows = await batch.ask(customer_id)
        return self.names.shown(rows) if rows[0][1] else None

    async def answer(self, batch: "_Batch") -> dict[str, list[Row]]:
        async with self._turn:
            # Those who come from here on wait for the next query.
            self._gathering = None
            rows = await self._read(list(batch.waiting))
        found: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            found[row[0]].append(row)
        return found

    async def _read(self, customer_ids: Sequence[str]) -> list[Row]:
        fresh = self._cursor is None
        try:
            return await self._read_once(customer_ids)
        except psycopg.OperationalError as error:
            await self.close()
            if fresh:
                raise Unavailable("The database is not answering; try again") from error
        # The server may have been restarted since the last look-up: that is found out only now.
        return await self._read(customer_ids)

    async def _read_once(self, customer_ids: Sequence[str]) -> list[Row]:
        if self._cursor is None:
            self._cursor = await self._connect()
        rows = await repository.read_current(self._cursor, customer_ids)
        await self.names.cover(self._cursor.connection, rows)
        return rows

    async def _connect(self) -> psycopg.AsyncCursor:
        """On a connection like those of the pool, but ours, and without a transaction around each query."""
        pooled = await self._database.engine.raw_connection()
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.AsyncConnection), "the engine's driver is psycopg"
        pooled.detach()
        await connection.set_autocommit(True)
        return connection.cursor(binary=True)

    async def close(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await cursor.connection.close()


class _Batch:
    """Identifiers that one query asks for, and who waits for which.

    Each waits on a future of their own: whoever gives up takes the answer from nobody else.
    """

    __slots__ = ("_loop", "_task", "waiting")

    def __init__(self, lookups: Lookups) -> None:
        self.waiting: dict[str, list[asyncio.Future[list[Row]]]] = {}
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(lookups.answer(self))
        self._task.add_done_callback(self._hand_out)

    def ask(self, customer_id: str) -> "asyncio.Future[list[Row]]":
        future: asyncio.Future[list[Row]] = self._loop.create_future()
        self.waiting.setdefault(customer_id, []).append(future)
        return future

    def _hand_out(self, task: "asyncio.Task[dict[str, list[Row]]]") -> None:
        error = Unavailable("The service is stopping") if task.cancelled() else task.exception()
        for customer_id, futures in self.waiting.items():
            for future in futures:
                if future.done():
                    continue
                if error is None:
                    future.set_result(task.result()[customer_id])
                else:
                    future.set_exception(error)
