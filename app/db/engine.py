"""The only place that opens, commits and rolls back transactions, but for those that `express` sends in one piece."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import psycopg
from sqlalchemy import Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# A session is a connection inside one open transaction.
Session = AsyncConnection

CONNECT_TIMEOUT_SECONDS = 5
POOL_WAIT_SECONDS = 5
# What is kept beside a connection.
AFTER_COMMIT, DRIVER, PREPARED = "after_commit", "driver", "prepared"


class Database:
    """Connections of one process to one PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int, statement_timeout_seconds: float, application: str) -> None:
        self.url = url
        connect_args = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": application,
            # UTC so that text forms and date arithmetic never depend on the server's zone.
            "options": f"-c statement_timeout={int(statement_timeout_seconds * 1000)} -c timezone=UTC",
            "prepare_threshold": 1,
        }
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            # Of a number beyond 64 bits, as jsonb spells out 1e33, this makes a double, which can be answered.
            json_deserializer=orjson.loads,
            connect_args=connect_args,
        )
        self._connect_args: dict[str, Any] = connect_args
        # psycopg has the server forget what is prepared whenever a transaction is rolled back.
        for undone in ("rollback", "rollback_savepoint"):
            event.listen(self.engine.sync_engine, undone, _forget_prepared)
        # Several statements of one answer must see one state: count, list and total agree.
        self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Session]:
        """One transaction: committed when the block ends well, rolled back otherwise."""
        async with self.engine.connect() as connection:
            todo = connection.info[AFTER_COMMIT] = list[Callable[[], None]]()
            async with connection.begin():
                yield connection
            for each in todo:
                each()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """One snapshot; PostgreSQL itself refuses writes in it."""
        async with self._reader.connect() as connection, connection.begin():
            yield connection

    async def connect_beside(self, *, name: str, settings: str) -> psycopg.AsyncConnection:
        """A connection that is none of the pool's, with more settings, by another name in the server's eyes."""
        _, named = self.engine.dialect.create_connect_args(make_url(self.url))
        given = {**named, **self._connect_args}
        given["application_name"] = f"{given['application_name']}: {name}"
        given["options"] = f"{given['options']} {settings}"
        return await psycopg.AsyncConnection.connect(**given, autocommit=True)

    async def close(self) -> None:
        await self.engine.dispose()


def _forget_prepared(connection: Connection, *_savepoint: object) -> None:
    # One that was lost amid a statement has nothing to forget, and no info to ask for.
    if not connection.invalidated:
        connection.info.pop(PREPARED, None)


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Do this once the transaction is committed, and not at all if it is not."""
    session.info[AFTER_COMMIT].append(action)


async def driver(session: Session) -> psycopg.AsyncConnection:
    """The psycopg connection under a session, for COPY and for work enqueued in its transaction."""
    # Kept beside the connection, for as long as that lives: finding it anew costs as much as a small statement.
    known: psycopg.AsyncConnection | None = session.info.get(DRIVER)
    if known is None:
        raw = await session.get_raw_connection()
        known = session.info[DRIVER] = cast(psycopg.AsyncConnection, raw.driver_connection)
    return known
