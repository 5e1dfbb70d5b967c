"""Small pushes: answered when the memberships of their customers are up to date, stored together, answered apart."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.records.intake import repository as intake
from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import shop

pytestmark = pytest.mark.anyio

# The lock of everybody who writes memberships; a test of the segments holds their side to the same number.
MEMBERSHIPS_LOCK = 7_355_608_020


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


@pytest.fixture
async def active(modelling: Modelling) -> str:
    """An active segmentation of the shop, with nobody waiting, and a little time gone by."""
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    await modelling.drain()
    modelling.service.clock.advance(timedelta(minutes=1))
    return segmentation_id


@pytest.fixture
async def beside(service: Service) -> AsyncIterator[Database]:
    """Connections of somebody else."""
    database = Database(service.database_url, pool_size=2, statement_timeout_seconds=30, application="beside")
    yield database
    await database.close()


async def rows_of(service: Service, query: str) -> list[Any]:
    async with service.app.state.service.database.read() as session:
        return list(await session.scalars(text(query)))


async def post(service: Service, *rows: dict[str, Any]) -> httpx.Response:
    return await service.client.post("/v1/transactions", json={"transactions": rows})


async def together(service: Service, beside: Database, *bodies: Sequence[dict[str, Any]]) -> list[httpx.Response]:
    """The answers to bodies that are stored as one group: they come while a push before them waits for its turn."""
    async with beside.write() as session:
        await intake.lock_intake(session, "transactions", "default")
        first = asyncio.create_task(post(service, transaction("before-all", customer_id=None)))
        await asyncio.sleep(0.2)
        tasks = [asyncio.create_task(post(service, *rows)) for rows in bodies]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in (first, *tasks))
    assert (await first).status_code == 200
    return [await task for task in tasks]


def codes(answer: httpx.Response) -> list[tuple[int, str, str]]:
    return [(row["index"], row["code"], row["pointer"]) for row in answer.json()["rejected"]]


async def test_the_very_next_question_knows_what_was_pushed(modelling: Modelling, active: str) -> None:
    assert await modelling.keys_of("C-00") == ["lost"]
    rows = [
        transaction(f"{customer_id}-{n}", customer_id=customer_id, occurred_at="2026-10-30T10:00:00Z", amount="500.00")
        for customer_id in ("C-00", "stranger")
        for n in range(12)
    ]
    answer = await modelling.service.push(*rows)
    assert (answer["created"], answer["duplicates"], answer["rejected"]) == (24, 0, [])
    for customer_id in ("C-00", "stranger"):
        found = (await modelling.get(f"/v1/customers/{customer_id}/segments"))["memberships"]
        assert [each["segment_key"] for each in found] == ["champions"]
        assert found[0]["since"] == found[0]["evaluated_at"] == "2026-11-01T12:01:00Z"
    history = await modelling.get("/v1/customers/C-00/segments/history")
    assert [each["segment_key"] for each in history["data"]] == ["champions", "lost"]
    assert await rows_of(modelling.service, "select batch_id from dirty_customers") == []


async def test_a_larger_push_is_for_the_worker(modelling: Modelling, active: str) -> None:
    rows = [transaction(f"new-{n}", customer_id="C-00", occurred_at="2026-10-30T10:00:00Z") for n in range(101)]
    await modelling.service.push(*rows)
    assert await modelling.keys_of("C-00") == ["lost"]
    assert await modelling.drain() == 1
    assert await modelling.keys_of("C-00") != ["lost"]


async def test_a_group_is_one_transaction_and_each_gets_its_own_bad_rows_back(
    service: Service, beside: Database
) -> None:
    answers = await together(
        service,
        beside,
        [transaction("A-0"), transaction("A-1", currency="ZZZ"), {"transaction_id": "A-2"}],
        [transaction("B-0", amount="-1.00"), transaction("B-1"), transaction("B-2", refunds="B-1")],
        [],
        [transaction("C-0")],
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json()["created"] for answer in answers] == [1, 1, 0, 1]
    assert [answer.json()["received"] for answer in answers] == [3, 3, 0, 1]
    assert codes(answers[0]) == [
        (1, "unknown_currency", "/transactions/1/currency"),
        (2, "missing_field", "/transactions/2/customer_id"),
    ]
    assert codes(answers[1]) == [
        (0, "negative_amount", "/transactions/0/amount"),
        (2, "refunds_on_purchase", "/transactions/2/refunds"),
    ]
    written_by = "select distinct xmin::text from transactions where transaction_id <> 'before-all'"
    assert len(await rows_of(service, written_by)) == 1
    kept = (await service.client.get("/v1/rejections")).json()["data"]
    assert sorted((each["code"], each["index"]) for each in kept) == [
        ("missing_field", 2),
        ("negative_amount", 0),
        ("refunds_on_purchase", 2),
        ("unknown_currency", 1),
    ]


async def test_every_push_of_a_group_is_in_the_audit_log(service: Service, beside: Database) -> None:
    answers = await together(service, beside, [transaction("A")], [transaction("B", currency="ZZZ")])
    logged = (await service.client.get("/v1/audit-log")).json()["data"]
    pushed = {each["request_id"] for each in logged if each["action"] == "POST /v1/transactions"}
    assert {answer.headers["x-request-id"] for answer in answers} < pushed
    assert all(each["key_id"] and each["object"] is None for each in logged)


async def test_the_same_row_in_two_requests_is_created_once(service: Service, beside: Database) -> None:
    lines = [{"product_id": "P", "quantity": 2, "unit_price": "5.00"}]
    row, other = transaction("A", items=lines), transaction("A", items=[{**lines[0], "quantity": 3}])
    first, again, contradicting = await together(service, beside, [row, transaction("B")], [row], [other])
    counts = [(each.json()["created"], each.json()["duplicates"]) for each in (first, again, contradicting)]
    assert counts == [(2, 0), (0, 1), (0, 0)]
    assert codes(contradicting) == [(0, "conflict", "/transactions/0/transaction_id")]
    stored, conflict = await together(service, beside, [row], [transaction("B", amount="7.00"), transaction("C")])
    assert (stored.json()["duplicates"], conflict.json()["created"]) == (1, 1)
    assert codes(conflict) == [(0, "conflict", "/transactions/0/transaction_id")]
    assert await rows_of(service, "select quantity::int from transaction_items") == [2]


async def test_rows_of_the_erased_are_refused_and_their_neighbours_stored(service: Service, beside: Database) -> None:
    await service.push(transaction("T-1", customer_id="gone"))
    assert (await service.client.delete("/v1/customers/gone")).status_code == 200
    answers = await together(
        service,
        beside,
        [transaction("A", customer_id="gone"), transaction("B", customer_id="gone", currency="ZZZ")],
        [transaction("C", customer_id="here"), transaction("D", customer_id="here", currency="ZZZ")],
    )
    assert [code for _, code, _ in codes(answers[0])] == ["customer_erased"] * 2
    assert [code for _, code, _ in codes(answers[1])] == ["unknown_currency"]
    assert answers[1].json()["created"] == 1
    assert sorted(await rows_of(service, "select length(payload) > 0 from rejections")) == [False, False, True]
    assert await rows_of(service, "select customer_id from rejections where customer_id is not null") == ["here"]


async def test_rows_of_the_merged_are_the_survivors(modelling: Modelling, active: str) -> None:
    merged = await modelling.client.post("/v1/customers/merge", json={"from": "C-00", "into": "C-01"})
    assert merged.status_code == 200
    rows = [
        transaction(f"new-{n}", customer_id="C-00", occurred_at="2026-10-30T10:00:00Z", amount="500.00")
        for n in range(12)
    ]
    assert (await modelling.service.push(*rows))["created"] == 12
    assert await modelling.keys_of("C-01") == ["champions"]


async def test_what_fails_fails_alone(service: Service, beside: Database) -> None:
    async with beside.write() as session:
        await session.exec_driver_sql("alter table transactions add check (transaction_id <> 'poison')")
    answers = await together(service, beside, [transaction("A")], [transaction("poison")], [transaction("B")])
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert [answers[place].json()["created"] for place in (0, 2)] == [1, 1]
    assert sorted(await rows_of(service, "select transaction_id from transactions")) == ["A", "B", "before-all"]
    logged = (await service.client.get("/v1/audit-log")).json()["data"]
    assert len([each for each in logged if each["action"] == "POST /v1/transactions"]) == 3


async def test_facts_are_taken_when_memberships_cannot_be_written(
    modelling: Modelling, active: str, beside: Database
) -> None:
    async with beside.write() as session:
        await session.exec_driver_sql("alter table memberships rename column evaluated_at to hidden")
    answer = await modelling.service.push(transaction("new", customer_id="C-00"))
    assert answer["created"] == 1
    assert await rows_of(modelling.service, "select customer_ids from dirty_customers") == [["C-00"]]


async def test_small_pushes_amid_large_ones_of_the_same_rows(modelling: Modelling, active: str) -> None:
    rows = [
        transaction(f"new-{n:04}", customer_id=f"C-{n % 31:02}", occurred_at=f"2026-10-{1 + n % 28:02}T10:00:00Z")
        for n in range(600)
    ]

    async def large(first: int) -> int:
        return int((await modelling.service.push(*rows[first : first + 300]))["created"])

    async def small(first: int) -> int:
        return int((await modelling.service.push(*rows[first : first + 10]))["created"])

    created = await asyncio.gather(large(0), *(small(first) for first in range(0, 600, 10)), large(300), large(150))
    assert sum(created) == 600
    await modelling.drain()
    assert (await modelling.start(active, "refresh"))["changed"] == 0


async def test_a_push_does_not_wait_for_a_long_writer_of_memberships(
    modelling: Modelling, active: str, beside: Database
) -> None:
    async with beside.write() as session:
        await session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MEMBERSHIPS_LOCK})
        start = time.monotonic()
        answer = await modelling.service.push(
            transaction("new", customer_id="C-00", occurred_at="2026-10-30T10:00:00Z", amount="500.00")
        )
        # Far below the 30 s after which the request itself would be given up; a moment is waited for short writers.
        assert time.monotonic() - start < 5
    assert answer["created"] == 1
    assert await modelling.keys_of("C-00") == ["lost"]
    assert await modelling.drain() == 1
    assert await modelling.keys_of("C-00") != ["lost"]


async def test_who_gives_up_waiting_takes_the_answer_from_nobody(service: Service, beside: Database) -> None:
    async with beside.write() as session:
        await intake.lock_intake(session, "transactions", "default")
        tasks = [asyncio.create_task(post(service, transaction(f"T-{n}"))) for n in range(4)]
        await asyncio.sleep(0.2)
        for impatient in (tasks[0], tasks[2]):
            impatient.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await impatient
    for patient in (tasks[1], tasks[3]):
        assert (await patient).json()["created"] == 1


async def test_events_are_stored_together_too(modelling: Modelling, active: str) -> None:
    events = [
        {"event_id": f"E-{n}", "customer_id": f"C-{n:02}", "type": "email_click", "occurred_at": "2026-10-30T10:00:00Z"}
        for n in range(20)
    ]
    answers = await asyncio.gather(
        *(modelling.client.post("/v1/events", json={"events": [each, events[0]]}) for each in events)
    )
    counts = [(answer.json()["created"], answer.json()["duplicates"]) for answer in answers]
    assert (sum(one for one, _ in counts), sum(two for _, two in counts)) == (20, 20)
    assert await rows_of(modelling.service, "select batch_id from dirty_customers") == []


@pytest.mark.parametrize("seed", range(4))
async def test_pushes_in_any_interleaving_end_with_the_memberships_of_one_batch(
    modelling: Modelling, active: str, seed: int
) -> None:
    rng = random.Random(seed)
    waiting = [
        transaction(
            f"new-{n}",
            customer_id=rng.choice([None, *(f"C-{rng.randrange(40):02}" for _ in range(5))]),
            occurred_at=f"2026-{rng.randrange(1, 11):02}-{rng.randrange(1, 29):02}T10:00:00Z",
            amount=f"{rng.randrange(1, 500)}.00",
            kind=rng.choice(["purchase", "purchase", "refund"]),
        )
        for n in range(150)
    ]
    bodies = []
    while waiting:
        size = rng.randrange(1, 8)
        bodies.append((waiting[:size], rng.choice(["default", "default", "till"])))
        waiting = waiting[size:]

    async def client(mine: Sequence[tuple[list[dict[str, Any]], str]]) -> None:
        for rows, source in mine:
            assert (await modelling.service.push(*rows, source=source))["created"] == len(rows)
            await asyncio.sleep(rng.random() * 0.01)

    await asyncio.gather(*(client(bodies[number::6]) for number in range(6)))
    await modelling.drain()
    before = await rows_of(modelling.service, STANDING)
    assert (await modelling.start(active, "refresh"))["changed"] == 0
    assert await rows_of(modelling.service, STANDING) == before


STANDING = """
select customer_id || segment_id || reason::text from memberships where valid_to is null order by customer_id
"""
