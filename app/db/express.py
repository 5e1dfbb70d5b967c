"""One connection beside the pool, for transactions so small that the way to them would cost more than they do.

It stays in pipeline mode: what is asked together goes out in one piece and comes back in one piece.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import abc, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from app.db.batch import Call, Rows, Statement, prepare, send
from app.db.engine import Database

# Whoever has to wait for a lock longer than this goes another way. Planning a statement for its very values would
# take longer than running it for a few rows.
NAME, SETTINGS = "express", "-c lock_timeout=100 -c plan_cache_mode=force_generic_plan"

_BEGIN, _COMMIT, _ROLLBACK = Statement("begin"), Statement("commit"), Statement("rollback")
_tuple: Callable[[Sequence[Any]], tuple[Any, ...]] = tuple


class Express:
    """The connection, opened when it is first needed and again after it was lost; one transaction at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._link: _Link | None = None
        self.is_free = True

    async def __aenter__(self) -> "Transaction":
        """One transaction: rolled back unless it is ended well."""
        assert self.is_free, "one transaction at a time"
        self.is_free = False
        try:
            if self._link is None or not self._link.is_usable:
                await self.close()
                self._link = _Link(await self._database.connect_beside(name=NAME, settings=SETTINGS))
            self._link.post((_BEGIN, []))
        except BaseException:
            self.is_free = True
            raise
        return Transaction(self._link)

    async def __aexit__(self, *_raised: object) -> None:
        """Leave nothing open; a connection on which something is still under way, or that was lost, is given up."""
        link = self._link
        try:
            if link is not None and not link.is_idle:
                if link.is_usable:
                    await link.answers((_ROLLBACK, []))
                else:
                    await self.close()
        except psycopg.Error:
            # Of what was posted and never asked for; there is nothing left to roll back that would stay.
            await self.close()
        finally:
            self.is_free = True

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


class Transaction:
    """What an open transaction can be told."""

    def __init__(self, link: "_Link") -> None:
        self._link = link
        self._skipped = 1  # that it was begun

    def post(self, *calls: Call) -> None:
        """Have these run, one after the other, while the caller goes on; their rows come before those asked for next."""
        self._link.post(*calls)

    async def ask(self, *calls: Call) -> list[Rows]:
        """Run these one after the other; the rows of each. If one fails, those after it are not run."""
        found = await self._link.answers(*calls)
        skipped, self._skipped = self._skipped, 0
        return found[skipped:]

    async def end_with(self, *calls: Call) -> list[Rows]:
        """Run these and make everything durable, or nothing of it if one fails."""
        return (await self.ask(*calls, (_COMMIT, [])))[:-1]


class _Link:
    """The connection as the event loop sees it."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._loop, self._socket = asyncio.get_running_loop(), connection.pgconn.socket
        self._prepared: dict[Statement, bytes] = {}
        self._transformers: dict[Statement, abc.Transformer] = {}
        # What was sent since the last answers: a statement run, or prepared under a name.
        self._sent: list[tuple[Statement, bytes | None]] = []
        self._results: list[pq.abc.PGresult] = []
        self._answer: asyncio.Future[list[pq.abc.PGresult]] | None = None
        self._pgconn.enter_pipeline_mode()
        # Once and for good: to register for each wait costs as much as a small statement.
        self._loop.add_reader(self._socket, self._readable)

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open."""
        is_over = self._pgconn.transaction_status == pq.TransactionStatus.IDLE
        return self.is_usable and is_over and not self._sent

    @property
    def is_usable(self) -> bool:
        return self._answer is None and self._pgconn.status == pq.ConnStatus.OK

    def post(self, *calls: Call) -> None:
        """Send these on their way."""
        for statement, parameters in calls:
            name = self._prepared.get(statement)
            if name is None:
                name = prepare(self._pgconn, statement, parameters)
                self._prepared[statement] = name
                self._sent.append((statement, name))
            send(self._pgconn, name, parameters)
            self._sent.append((statement, None))
        self._flush()

    async def answers(self, *calls: Call) -> list[Rows]:
        """Send these too, and give the rows of everything that was sent."""
        self.post(*calls)
        self._pgconn.pipeline_sync()
        self._flush()
        answer = self._answer = self._loop.create_future()
        # After a cancellation it stays: what comes then belongs to nobody.
        results = await answer
        self._answer = None
        sent, self._sent = self._sent, []
        failed = next((each for each in results if each.status == pq.ExecStatus.FATAL_ERROR), None)
        if failed is not None:
            for (statement, name), result in zip(sent, results, strict=False):
                if name is not None and result.status != pq.ExecStatus.COMMAND_OK:
                    self._prepared.pop(statement, None)
            raise error_from_result(failed)
        return [self._rows(each, result) for (each, name), result in zip(sent, results, strict=True) if name is None]

    def _flush(self) -> None:
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        try:
            if self._pgconn.flush():
                return
        except psycopg.OperationalError as error:
            self._lost(error)
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        """Take what has arrived; after the last of what was asked for, say so."""
        pgconn, results = self._pgconn, self._results
        try:
            pgconn.consume_input()
            while self._answer is not None and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    if pgconn.status != pq.ConnStatus.OK:
                        raise psycopg.OperationalError("the connection was lost")
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._results = []
                    if not self._answer.done():
                        self._answer.set_result(results)
                    return
                results.append(result)
        except psycopg.OperationalError as error:
            self._lost(error)

    def _lost(self, error: psycopg.OperationalError) -> None:
        self._loop.remove_reader(self._socket)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _rows(self, statement: Statement, result: pq.abc.PGresult) -> Rows:
        if not result.ntuples:
            return []
        # What a prepared statement answers has the same types each time.
        transformer = self._transformers.get(statement)
        if transformer is None:
            transformer = self._transformers[statement] = Transformer(self._connection)
            transformer.set_pgresult(result)
        else:
            transformer.set_pgresult(result, set_loaders=False)
        return transformer.load_rows(0, result.ntuples, _tuple)

    async def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        await self._connection.close()
