"""Many writers with the same rows at once: no deadlock, nothing lost, nothing double."""

import asyncio
import random

import pytest
from sqlalchemy import text

from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

BATCHES, ROWS = 8, 200


async def count(service: Service, table: str) -> int:
    async with service.app.state.service.database.read() as session:
        return int(await session.scalar(text(f"select count(*) from {table}")) or 0)


async def test_four_clients_with_the_same_and_shuffled_rows(service: Service) -> None:
    rows = [transaction(f"T-{i:05}", customer_id=f"C-{i % 97}") for i in range(BATCHES * ROWS)]

    async def client(seed: int) -> int:
        mine = list(rows)
        random.Random(seed).shuffle(mine)
        created = 0
        for first in range(0, len(mine), ROWS):
            answer = await service.push(*mine[first : first + ROWS])
            assert answer["rejected"] == []
            assert answer["created"] + answer["duplicates"] == ROWS
            created += answer["created"]
        return created

    created = await asyncio.gather(*(client(seed) for seed in range(4)))
    assert sum(created) == len(rows)
    assert await count(service, "transactions") == len(rows)
    assert await count(service, "customers") == 97


async def test_writers_of_different_sources_share_customers(service: Service) -> None:
    async def client(source: str) -> None:
        for batch in range(5):
            rows = [transaction(f"{batch}-{i}", customer_id=f"C-{(i * 7 + batch) % 151}") for i in range(ROWS)]
            assert (await service.push(*rows, source=source))["created"] == ROWS

    await asyncio.gather(*(client(f"shop-{n}") for n in range(4)))
    assert await count(service, "transactions") == 4 * 5 * ROWS
    assert await count(service, "customers") == 151


async def test_every_customer_whom_a_large_push_touched_is_in_the_dirty_set(service: Service) -> None:
    await service.push(*[transaction(f"T-{i}", customer_id=f"C-{i % 11}") for i in range(150)])
    await service.push(transaction("guest", customer_id=None))
    async with service.app.state.service.database.read() as session:
        dirty = set(await session.scalars(text("select distinct unnest(customer_ids) from dirty_customers")))
    assert dirty == {f"C-{i}" for i in range(11)}


async def test_a_duplicate_touches_nobody(service: Service) -> None:
    rows = [transaction(f"T-{i}") for i in range(150)]
    await service.push(*rows)
    before = await count(service, "dirty_customers")
    assert (await service.push(*reversed(rows)))["duplicates"] == 150
    assert await count(service, "dirty_customers") == before
