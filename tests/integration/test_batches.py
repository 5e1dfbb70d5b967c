"""Statements that are sent together: what each sees, what a failure leaves behind."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from app.db.arrays import bigints, texts
from app.db.batch import Statement, run
from app.db.engine import Database, Session

pytestmark = pytest.mark.anyio

INSERT = Statement("insert into t (name, number) values ($1, $2)")
COUNT = Statement("select count(*) from t")
DIVIDE = Statement("select 1 / $1::int")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1, statement_timeout_seconds=30, application="test")
    async with database.write() as session:
        await session.exec_driver_sql("create table t (name text, number int)")
    yield database
    await database.close()


async def test_each_sees_what_those_before_it_did(database: Database) -> None:
    async with database.write() as session:
        found = await run(session, (COUNT, []), (INSERT, ["a", 1]), (COUNT, []), (INSERT, ["b", None]), (COUNT, []))
    assert found == [[(0,)], [], [(1,)], [], [(2,)]]
    async with database.read() as session:
        assert (await session.execute(text("select name, number from t order by name"))).all() == [
            ("a", 1),
            ("b", None),
        ]


async def test_values_arrive_as_they_were_sent(database: Database) -> None:
    at, long = datetime(2026, 11, 1, 12, 0, 0, 1, UTC), timedelta(days=3, seconds=2, microseconds=1)
    given = Statement("select $1::text, $2::bigint, $3, $4, $5, $6")
    async with database.write() as session:
        parameters = ["it's ü", 2**62, at, long, texts(["ü", None, ""]), bigints([1, -2])]
        ((row,),) = await run(session, (given, parameters))
    assert row == ("it's ü", 2**62, at, long, ["ü", None, ""], [1, -2])


async def test_a_failure_leaves_nothing_and_the_connection_usable(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with database.write() as session:
                await run(session, (INSERT, ["a", 1]), (DIVIDE, [0]), (INSERT, ["b", 2]))
        async with database.write() as session:
            assert await run(session, (COUNT, []), (DIVIDE, [1])) == [[(0,)], [(1,)]]


async def fail(session: Session) -> None:
    """Something goes wrong after statements that the driver has prepared."""
    for _ in range(3):
        await session.execute(text("select 1"))
    raise ZeroDivisionError


async def test_what_is_prepared_is_known_again_after_others_rolled_back(database: Database) -> None:
    for _ in range(3):
        async with database.write() as session:
            assert await run(session, (COUNT, [])) == [[(0,)]]
        with pytest.raises(ZeroDivisionError):
            async with database.write() as session:
                await fail(session)
    async with database.write() as session:
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                await fail(session)
        assert await run(session, (COUNT, [])) == [[(0,)]]


async def test_it_is_not_for_sessions_that_only_read(database: Database) -> None:
    async with database.read() as session:
        with pytest.raises(AssertionError, match="ordinary"):
            await run(session, (COUNT, []))
