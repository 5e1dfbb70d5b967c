"""The connection beside the pool: what a transaction on it leaves behind, however it ends; and that pushes take it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from app.db.batch import Statement
from app.db.engine import Database
from app.db.express import Express
from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import shop

pytestmark = pytest.mark.anyio

INSERT = Statement("insert into t (number) values ($1)")
COUNT = Statement("select count(*) from t")
DIVIDE = Statement("select 1 / $1::int")
SLEEP = Statement("select pg_sleep(30)")
LOCK = Statement("select pg_advisory_xact_lock(17)")
WHO = Statement("select pg_backend_pid()")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1, statement_timeout_seconds=60, application="test")
    async with database.write() as session:
        await session.exec_driver_sql("create table t (number int)")
    yield database
    await database.close()


@pytest.fixture
async def express(database: Database) -> AsyncIterator[Express]:
    express = Express(database)
    yield express
    await express.close()


async def numbers(database: Database) -> list[int]:
    async with database.read() as session:
        return list(await session.scalars(text("select number from t order by number")))


async def backend(express: Express) -> int:
    async with express as transaction:
        (((pid,),),) = await transaction.ask((WHO, []))
    return int(pid)


async def end_backend(database: Database, pid: int) -> None:
    async with database.read() as session:
        await session.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})


async def test_each_sees_what_those_before_it_did_and_all_of_it_stays(database: Database, express: Express) -> None:
    for round_number in range(2):
        async with express as transaction:
            transaction.post((COUNT, []), (INSERT, [round_number]))
            found = await transaction.ask((COUNT, []))
            assert found == [[(round_number * 2,)], [], [(round_number * 2 + 1,)]]
            assert await transaction.end_with((INSERT, [9]), (COUNT, [])) == [[], [(round_number * 2 + 2,)]]
    assert await numbers(database) == [0, 1, 9, 9]


async def test_what_is_left_before_its_end_leaves_nothing(database: Database, express: Express) -> None:
    pid = await backend(express)
    async with express as transaction:
        await transaction.ask((INSERT, [1]))
    async with express as transaction:
        transaction.post((INSERT, [1]))
    async with express:
        pass
    assert await numbers(database) == []
    assert express.is_free
    assert await backend(express) == pid


async def fail(express: Express, *, at_the_end: bool) -> None:
    async with express as transaction:
        transaction.post((INSERT, [1]))
        if not at_the_end:
            await transaction.ask((DIVIDE, [0]), (INSERT, [2]))
        await transaction.ask((INSERT, [3]))
        await transaction.end_with((DIVIDE, [0]), (INSERT, [2]))


@pytest.mark.parametrize("at_the_end", [False, True])
async def test_a_failure_leaves_nothing_and_the_connection_usable(
    database: Database, express: Express, at_the_end: bool
) -> None:
    pid = await backend(express)
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await fail(express, at_the_end=at_the_end)
        async with express as transaction:
            assert await transaction.ask((COUNT, []), (DIVIDE, [1])) == [[(0,)], [(1,)]]
    assert await backend(express) == pid
    assert await numbers(database) == []


async def test_what_failed_and_was_never_asked_for_harms_nobody_after(database: Database, express: Express) -> None:
    async with express as transaction:
        transaction.post((INSERT, [1]), (DIVIDE, [0]))
    async with express as transaction:
        assert await transaction.ask((COUNT, []), (DIVIDE, [1])) == [[(0,)], [(1,)]]
        await transaction.end_with((INSERT, [2]))
    assert await numbers(database) == [2]


async def test_nobody_waits_long_for_a_lock(database: Database, express: Express) -> None:
    async with database.write() as other:
        await other.execute(text("select pg_advisory_xact_lock(17)"))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            async with asyncio.timeout(5), express as transaction:
                await transaction.ask((INSERT, [1]), (LOCK, []))
    async with express as transaction:
        await transaction.ask((INSERT, [2]), (LOCK, []))
        await transaction.end_with()
    assert await numbers(database) == [2]


async def test_a_connection_that_was_ended_is_opened_again(database: Database, express: Express) -> None:
    first = await backend(express)
    await end_backend(database, first)
    await asyncio.sleep(0.05)  # until the loop has heard of it
    assert await backend(express) != first


async def test_a_connection_that_is_ended_amid_a_transaction_fails_it_alone(
    database: Database, express: Express
) -> None:
    pid = await backend(express)

    async def store() -> None:
        async with express as transaction:
            await transaction.ask((INSERT, [1]), (SLEEP, []))

    storing = asyncio.create_task(store())
    await asyncio.sleep(0.1)
    await end_backend(database, pid)
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(storing, 5)
    assert await backend(express) != pid
    assert await numbers(database) == []


async def test_after_a_cancellation_answers_go_to_nobody_else(database: Database, express: Express) -> None:
    async def store() -> None:
        async with express as transaction:
            await transaction.ask((INSERT, [1]), (SLEEP, []))

    storing = asyncio.create_task(store())
    await asyncio.sleep(0.1)
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    async with express as transaction:
        assert await transaction.ask((COUNT, [])) == [[(0,)]]


@pytest.fixture
async def modelling(service: Service) -> Modelling:
    """A shop with an active segmentation, of which the process has heard."""
    modelling = Modelling(service)
    await service.push(*shop())
    await modelling.learn_and_activate()
    await modelling.drain()
    service.clock.advance(timedelta(minutes=1))
    await service.push(transaction("first", customer_id="C-00"))
    await service.push(transaction("second", customer_id="C-00"))
    return modelling


async def last_of_express(modelling: Modelling) -> list[str]:
    """What was last done on connections beside the pool."""
    query = "select query from pg_stat_activity where datname = current_database() and application_name like '%express'"
    async with modelling.state.database.read() as session:
        return list(await session.scalars(text(query)))


async def test_plain_pushes_are_stored_beside_the_pool(modelling: Modelling) -> None:
    assert await modelling.keys_of("C-01") == ["lost"]
    just_now = (modelling.service.clock.now() - timedelta(seconds=1)).isoformat()
    answer = await modelling.service.push(
        *(
            transaction(f"new-{n}", customer_id=customer_id, amount="900.00", occurred_at=just_now)
            for n, customer_id in enumerate(["C-00", "C-01", None])
        )
    )
    assert (answer["received"], answer["created"], answer["rejected"]) == (3, 3, [])
    assert await last_of_express(modelling) == ["commit"]
    assert await modelling.keys_of("C-01") == ["potential_loyalists"]
    assert await modelling.is_clean()


async def test_whatever_is_out_of_the_ordinary_goes_the_long_way(modelling: Modelling) -> None:
    ways: dict[str, tuple[list[dict[str, Any]], tuple[int, int, int]]] = {
        "known": ([transaction("second", customer_id="C-00"), transaction("A", customer_id="C-01")], (1, 1, 0)),
        "twice": ([transaction("B", customer_id="C-01"), transaction("B", customer_id="C-01")], (1, 1, 0)),
        "contradicting": ([transaction("second", customer_id="C-00", amount="3.33")], (0, 0, 1)),
        "flawed": ([transaction("C", customer_id="C-00"), transaction("D", amount="-1.00")], (1, 0, 1)),
        "new": ([transaction("E", customer_id="C-01"), transaction("F", customer_id="a stranger")], (2, 0, 0)),
        "other money": ([transaction("G", customer_id="C-01", currency="USD")], (1, 0, 0)),
    }
    for number, (name, (rows, answered)) in enumerate(ways.items()):
        await modelling.service.push(transaction(f"between-{number}", customer_id="C-00"))
        assert await last_of_express(modelling) == ["commit"], name
        answer = await modelling.service.push(*rows)
        assert (answer["created"], answer["duplicates"], len(answer["rejected"])) == answered, name
        assert await last_of_express(modelling) == ["rollback"], name
        assert await modelling.is_clean(), name


async def test_a_push_survives_the_end_of_the_connection(modelling: Modelling) -> None:
    await modelling.service.push(transaction("T-1", customer_id="C-00"))
    end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like '%express'"
    async with modelling.state.database.read() as session:
        await session.execute(text(f"{end} and datname = current_database()"))
    assert (await modelling.service.push(transaction("T-2", customer_id="C-00")))["created"] == 1
    assert (await modelling.service.push(transaction("T-3", customer_id="C-00")))["created"] == 1
    assert await last_of_express(modelling) == ["commit"]
