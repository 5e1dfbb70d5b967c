"""The hot read: customers asked about while a query is on its way are scored together by the next one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg

from app.clock import Clock
from app.db.engine import Database
from app.errors import Unavailable
from app.modelling.churn import repository
from app.modelling.churn.repository import TAIL
from app.modelling.churn.scoring import ChurnModels, Opened, Shown, score
from app.modelling.features.compiler import Reporting
from app.modelling.predictions import service as predictions

# More rows than these are scored beside the event loop: what takes more than some 3 ms. Reasons of forests take longest.
ON_THE_LOOP = {"btyd": 32, "logistic": 32, "gradient_boosting": 32, "random_forest": 2}

Row = dict[str, Any]


class ChurnLookups:
    """Scores of single customers as of now, over a connection of its own."""

    def __init__(self, database: Database, models: ChurnModels, reporting: Reporting, clock: Clock) -> None:
        self._database, self._models, self._reporting, self._clock = database, models, reporting, clock
        self._cursor: psycopg.AsyncCursor[Any] | None = None
        self._turn = asyncio.Lock()
        self._gathering: _Batch | None = None
        self._opened: Opened | None = None

    async def find(self, customer_id: str) -> Row | None:
        """The score of a customer of this very identifier; null when there is none.

        Raises NoActiveModel, ModelTampered and Unavailable.
        """
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch(self)
        return await batch.ask(customer_id)

    async def answer(self, batch: "_Batch") -> dict[str, Row]:
        async with self._turn:
            # Those who come from here on wait for the next query.
            self._gathering = None
            return await self._scored(list(batch.waiting))

    async def _scored(self, customer_ids: Sequence[str]) -> dict[str, Row]:
        opened = self._opened or await self._open()
        while True:
            now = self._clock.now()
            asked = opened.asked(self._reporting, uses_clv=True)
            rows = await self._read(asked, customer_ids, now)
            # What the rows were read for must be what serves at the instant of the query itself.
            if not rows or rows[0][-TAIL + 1] == opened.model_id:
                break
            opened = await self._open()
        currency = self._reporting.currency

        def work() -> list[Row]:
            return Shown(opened, currency, now).rows(score(opened, rows, currency=currency), with_reasons=True)

        found = work() if len(rows) <= ON_THE_LOOP[opened.scorer.algorithm] else await asyncio.to_thread(work)
        return {row["customer_id"]: row for row in found}

    async def _open(self) -> Opened:
        self._opened = None
        async with self._database.read() as session:
            self._opened = await self._models.of(session, await predictions.serving(session, "churn"))
        return self._opened

    async def _read(self, asked: repository.Asked, customer_ids: Sequence[str], now: Any) -> list[tuple[Any, ...]]:
        fresh = self._cursor is None
        try:
            if self._cursor is None:
                self._cursor = await self._connect()
            dialect = self._database.engine.dialect
            return await repository.read(self._cursor, dialect, asked, scope=customer_ids, as_of=now)
        except psycopg.OperationalError as error:
            await self.close()
            if fresh:
                raise Unavailable("The database is not answering; try again") from error
        # The server may have been restarted since the last look-up: that is found out only now.
        return await self._read(asked, customer_ids, now)

    async def _connect(self) -> psycopg.AsyncCursor[Any]:
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
    """Identifiers that one query asks for; each who waits has a future, so that giving up takes nothing from others."""

    __slots__ = ("_loop", "_task", "waiting")

    def __init__(self, lookups: ChurnLookups) -> None:
        self.waiting: dict[str, list[asyncio.Future[Row | None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(lookups.answer(self))
        self._task.add_done_callback(self._hand_out)

    def ask(self, customer_id: str) -> "asyncio.Future[Row | None]":
        future: asyncio.Future[Row | None] = self._loop.create_future()
        self.waiting.setdefault(customer_id, []).append(future)
        return future

    def _hand_out(self, task: "asyncio.Task[dict[str, Row]]") -> None:
        error = Unavailable("The service is stopping") if task.cancelled() else task.exception()
        for customer_id, futures in self.waiting.items():
            for future in futures:
                if future.done():
                    continue
                if error is None:
                    future.set_result(task.result().get(customer_id))
                else:
                    future.set_exception(error)
