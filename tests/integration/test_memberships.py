"""Memberships as time ranges, kept current: nothing lost, nothing twice, nothing seen half done."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text

from app.db.engine import Database
from app.modelling.registry.shelf import Origin
from app.modelling.segments import assignments, evaluation, repository
from app.modelling.segments.current import drain, keep_current
from app.records.intake import repository as intake
from app.records.privacy.service import erase
from app.tables.customers import customers
from app.tables.intake import dirty_customers
from app.tables.segments import memberships, segmentation_versions
from app.tables.transactions import transactions
from tests.conftest import SECRET, Service
from tests.support.memberships import (
    assert_one_number,
    assert_ranges_are_sound,
    current,
    push_in_bulk,
    query,
    recomputed,
)
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import CUSTOMERS, shop

pytestmark = pytest.mark.anyio


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


@pytest.fixture
async def active(modelling: Modelling) -> str:
    """An active segmentation of the shop, with nobody waiting."""
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    await modelling.drain()
    return segmentation_id


@pytest.fixture
async def beside(modelling: Modelling) -> AsyncIterator[Database]:
    """Connections of somebody else."""
    database = Database(modelling.service.database_url, pool_size=2, statement_timeout_seconds=30, application="beside")
    yield database
    await database.close()


async def test_a_push_moves_its_customers_and_nobody_else(modelling: Modelling, active: str) -> None:
    before = await current(modelling)
    modelling.service.clock.advance(timedelta(hours=1))
    await push_in_bulk(
        modelling,
        *(
            transaction(f"N-{i}", customer_id="C-00", occurred_at="2026-11-01T11:00:00Z", amount="99")
            for i in range(12)
        ),
        transaction("N-new", customer_id="New", occurred_at="2026-11-01T11:00:00Z"),
    )
    assert await modelling.drain() == 2
    after = await current(modelling)
    assert (before["C-00"][0], after["C-00"][0], after["New"][0]) == ("lost", "champions", "new_customers")
    assert {each: after[each] for each in before if each != "C-00"} == {
        each: before[each] for each in before if each != "C-00"
    }
    assert await modelling.keys_of("C-00", as_of="2026-11-01T12:59:59Z") == ["lost"]
    await assert_ranges_are_sound(modelling)
    await assert_one_number(modelling)


async def test_who_is_found_unchanged_is_confirmed_without_a_new_range(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(minutes=1))
    await push_in_bulk(modelling, transaction("N-1", customer_id="C-24", kind="refund", amount="1"))
    assert await modelling.drain() == 1
    [membership] = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert (membership["since"], membership["evaluated_at"]) == ("2026-11-01T12:00:00Z", "2026-11-01T12:01:00Z")
    assert len((await modelling.get("/v1/customers/C-24/segments/history"))["data"]) == 1


async def test_changes_within_one_instant_leave_one_range(modelling: Modelling, active: str) -> None:
    for i in range(12):
        row = transaction(f"N-{i}", customer_id="C-00", occurred_at="2026-11-01T11:00:00Z", amount="99")
        await modelling.service.push(row)
        await modelling.drain()
    [only] = (await modelling.get("/v1/customers/C-00/segments/history"))["data"]
    assert (only["segment_key"], only["valid_from"], only["valid_to"]) == ("champions", "2026-11-01T12:00:00Z", None)
    await assert_ranges_are_sound(modelling)


async def test_who_no_longer_qualifies_leaves(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(minutes=1))
    async with modelling.state.database.write() as session:
        await session.execute(transactions.delete().where(transactions.c.customer_id == "C-24"))
        await intake.touch(session, ["C-24"])
    await modelling.drain()
    assert await modelling.keys_of("C-24") == []
    assert await modelling.keys_of("C-24", as_of="2026-11-01T12:00:30Z") == ["champions"]
    await assert_one_number(modelling)


async def test_a_clock_that_steps_back_makes_no_overlap(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(hours=1))
    rows = [
        transaction(f"N-{i}", customer_id="C-00", occurred_at="2026-11-01T11:00:00Z", amount="99") for i in range(12)
    ]
    for minutes, row in zip((0, -30, -10, 5), rows[::3], strict=True):
        modelling.service.clock.advance(timedelta(minutes=minutes))
        await modelling.service.push(row, rows[rows.index(row) + 1], rows[rows.index(row) + 2])
        await modelling.drain()
    assert await modelling.keys_of("C-00") == ["champions"]
    await assert_ranges_are_sound(modelling)


@pytest.mark.parametrize("seed", range(2))
async def test_memberships_equal_a_recompute_whatever_happened(modelling: Modelling, seed: int) -> None:
    """Pushes, refunds, merges, erasures, refreshes and the passing of time, in any order."""
    rng = random.Random(seed)
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    then: list[tuple[datetime, dict[str, Any]]] = []
    erased: set[str] = set()
    for step in range(8):
        modelling.service.clock.advance(timedelta(hours=rng.randrange(1, 24 * 60)))
        now = modelling.state.clock.now()
        ids = [row.customer_id for row in await query(modelling, select(customers.c.customer_id))]
        buyers = [*rng.sample(ids, 4), f"N-{step}"]
        rows = [
            transaction(
                f"S-{step}-{i}",
                customer_id=rng.choice(buyers),
                occurred_at=(now - timedelta(hours=rng.randrange(1, 2_000))).isoformat(),
                amount=f"{rng.randrange(1, 500)}",
                kind=rng.choice(["purchase", "purchase", "refund"]),
            )
            for i in range(rng.randrange(1, 15))
        ]
        await modelling.service.push(*rows)
        if step % 4 == 1:
            one, other = rng.sample(ids, 2)
            merged = await modelling.client.post("/v1/customers/merge", json={"from": one, "into": other})
            assert merged.status_code == 200, merged.text
        if step % 4 == 3:
            gone = rng.choice([row.customer_id for row in await query(modelling, select(customers.c.customer_id))])
            assert (await modelling.client.delete(f"/v1/customers/{gone}")).status_code == 200
            erased.add(gone)
        await modelling.drain()
        await modelling.start(segmentation_id, "refresh")
        found = await current(modelling)
        assert found == await recomputed(modelling, now)
        then.append((now, found))
    await assert_ranges_are_sound(modelling)
    await assert_one_number(modelling)
    # What was true then is true of then: of everybody who has been neither merged nor erased since.
    left = {row.customer_id for row in await query(modelling, select(memberships.c.customer_id).distinct())}
    for instant, before in then:
        answered = await current(modelling, as_of=instant.isoformat())
        kept = {each for each in answered if each in before}
        assert {each: answered[each] for each in kept} == {each: before[each] for each in kept}
    assert not erased & left


async def test_a_failed_drain_loses_nobody(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(hours=1))
    await push_in_bulk(modelling, transaction("N-1", customer_id="New", occurred_at="2026-11-01T11:00:00Z"))
    waiting = await query(modelling, select(dirty_customers.c.customer_ids))
    async with modelling.state.database.engine.connect() as session:
        await session.begin()
        assert (
            await drain(
                session, now=modelling.state.clock.now(), reporting=modelling.reporting, assigners=modelling.assigners
            )
            == 1
        )
        # Cut off before the commit.
    assert await query(modelling, select(dirty_customers.c.customer_ids)) == waiting
    assert await modelling.keys_of("New") == []
    await modelling.drain()
    assert await modelling.keys_of("New") == ["new_customers"]


async def test_two_drains_at_once_take_turns(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(hours=1))
    for i in range(20):
        await push_in_bulk(
            modelling, transaction(f"N-{i}", customer_id=f"C-{i % 5:02}", occurred_at="2026-11-01T11:00:00Z")
        )
    drained = await asyncio.gather(*(modelling.drain() for _ in range(3)))
    assert sum(drained) == 5
    assert await current(modelling) == await recomputed(modelling, modelling.state.clock.now())
    await assert_ranges_are_sound(modelling)


async def test_a_missing_rate_holds_up_nobody_else(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(hours=1))
    at = {"occurred_at": "2026-11-01T11:00:00Z"}
    await push_in_bulk(
        modelling,
        transaction("N-1", customer_id="C-24", currency="USD", **at),
        transaction("N-2", customer_id="New", **at),
    )
    assert await modelling.drain() == 2
    assert await modelling.keys_of("New") == ["new_customers"]
    assert await modelling.keys_of("C-24") == ["champions"]
    assert await modelling.drain() == 0
    answer = await modelling.client.post(f"/v1/segmentations/{active}/refresh")
    assert (await modelling.finish(answer))["error"]["code"] == "missing_exchange_rates"


async def test_who_was_left_for_want_of_a_rate_is_looked_at_again(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(hours=1))
    at = {"occurred_at": "2026-11-01T11:00:00Z"}
    await push_in_bulk(modelling, transaction("N-1", customer_id="Abroad", currency="USD", **at))
    await modelling.drain()
    assert await modelling.keys_of("Abroad") == []
    rates = [{"on": "2026-11-01", "from": "USD", "to": "EUR", "rate": "0.9"}]
    assert (await modelling.client.put("/v1/exchange-rates", json={"rates": rates})).status_code == 200
    modelling.service.clock.advance(timedelta(hours=1, seconds=1))
    await modelling.drain()
    assert await modelling.keys_of("Abroad") == ["new_customers"]


async def test_the_worker_keeps_memberships_current_and_outlives_failures(
    modelling: Modelling, active: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.modelling.segments.current.PAUSE_SECONDS", 0.05)
    modelling.service.clock.advance(timedelta(hours=1))
    stop = asyncio.Event()
    async with modelling.state.database.write() as session:
        await session.execute(text("alter table dirty_customers rename to away"))
    keeping = asyncio.create_task(
        keep_current(
            modelling.state.database,
            clock=modelling.state.clock,
            reporting=modelling.reporting,
            assigners=modelling.assigners,
            stop=stop,
        )
    )
    await asyncio.sleep(0.3)
    async with modelling.state.database.write() as session:
        await session.execute(text("alter table away rename to dirty_customers"))
    await push_in_bulk(modelling, transaction("N-1", customer_id="New", occurred_at="2026-11-01T11:00:00Z"))
    async with asyncio.timeout(20):
        while await modelling.keys_of("New") != ["new_customers"]:
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(keeping, 5)


async def add_version(modelling: Modelling, segmentation_id: str, **edges: list[float]) -> None:
    """A second version of a segmentation, with other edges."""
    async with modelling.state.database.write() as session:
        version = await repository.version_of(session, UUID(segmentation_id), 1)
        assert version is not None
        same = segmentation_versions.c.segmentation_id == UUID(segmentation_id)
        row = (await session.execute(select(segmentation_versions).where(same))).mappings().one()
        values = {name: row[name] for name in ("trained_at", "as_of", "features", "params", "evaluation", "profile")}
        assert version.model_id is not None
        document = await modelling.models.open(session, version.model_id)
        fitted = {"edges": {**document["fitted"]["edges"], **edges}}
        origin = Origin("rfm", "made up", CUSTOMERS, version.as_of, None)
        model_id = await modelling.models.keep(session, {**document, "fitted": fitted}, origin)
        await repository.add_version(
            session,
            UUID(segmentation_id),
            values={**values, "version": 2, "model_id": model_id, "matching": {}},
            named=list(version.segment_names.items()),
        )


async def test_a_second_version_takes_over_from_the_first_at_one_instant(modelling: Modelling, active: str) -> None:
    before = {each["segment_id"] for each in (await modelling.get(f"/v1/segmentations/{active}"))["segments"]}
    # With these edges nobody buys often: whoever was a champion is one no more.
    await add_version(modelling, active, purchase_count=[100, 200, 300, 400])
    modelling.service.clock.advance(timedelta(hours=1))
    result = await modelling.start(active, "activate")
    assert (result["version"], result["left"], result["entered"]) == (2, CUSTOMERS, CUSTOMERS)
    found = await modelling.get(f"/v1/segmentations/{active}")
    assert (found["version"], found["status"]) == (2, "active")
    assert {each["segment_id"] for each in found["segments"]} == before
    rows = await query(modelling, select(segmentation_versions.c.version, segmentation_versions.c.status))
    assert sorted(map(tuple, rows)) == [(1, "archived"), (2, "active")]
    [now] = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert (now["version"], now["segment_key"], now["since"]) == (2, "potential_loyalists", "2026-11-01T13:00:00Z")
    [then] = (await modelling.get("/v1/customers/C-24/segments", as_of="2026-11-01T12:59:59Z"))["memberships"]
    assert (then["version"], then["segment_key"]) == (1, "champions")
    # C-00 is lost by either version: another version, the same stay.
    [unmoved] = (await modelling.get("/v1/customers/C-00/segments"))["memberships"]
    assert (unmoved["version"], unmoved["segment_key"], unmoved["since"]) == (2, "lost", "2026-11-01T12:00:00Z")
    assert await current(modelling) == await recomputed(modelling, modelling.state.clock.now())
    await assert_ranges_are_sound(modelling)
    await assert_one_number(modelling)


async def test_an_activation_is_seen_whole_or_not_at_all(
    modelling: Modelling, beside: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many small ranges, so that there is time to look in between.
    monkeypatch.setattr(evaluation, "AT_ONCE", 5)
    await modelling.service.push(*shop(99))
    segmentation_id = await modelling.learn()
    seen: set[tuple[int, str]] = set()

    async def look() -> None:
        while True:
            async with beside.read() as session:
                members = (await session.execute(text("select count(*) from memberships"))).scalar_one()
                status = (await session.execute(text("select status from segmentation_versions"))).scalar_one()
            seen.add((members, status))

    looking = asyncio.create_task(look())
    await modelling.start(segmentation_id, "activate")
    await asyncio.sleep(0.1)
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    assert seen == {(0, "candidate"), (99, "active")}


async def test_a_refresh_that_was_cut_off_goes_on_after_its_last_range(
    modelling: Modelling, active: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "AT_ONCE", 4)
    modelling.service.clock.advance(timedelta(days=400))
    answer = await modelling.client.post(f"/v1/segmentations/{active}/refresh")
    path = answer.headers["location"]
    job_id = UUID(path.rsplit("/", 1)[1])
    cut_off = asyncio.create_task(modelling.runner.run(job_id))
    async with asyncio.timeout(20):
        while (await modelling.get(path))["progress"]["done"] < 8:
            await asyncio.sleep(0)
    cut_off.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cut_off
    job = await modelling.get(path)
    assert job["status"] == "running", job
    moved = await query(modelling, select(memberships.c.customer_id).where(memberships.c.valid_to.is_not(None)))
    assert 0 < len(moved) < CUSTOMERS
    # A worker takes it over, an hour later.
    modelling.service.clock.advance(timedelta(hours=1))
    await modelling.runner.run(job_id)
    assert (await modelling.get(path))["status"] == "succeeded"
    instants = await query(
        modelling, select(memberships.c.valid_to).where(memberships.c.valid_to.is_not(None)).distinct()
    )
    assert len(instants) == 2, "the ranges before the cut were not evaluated again"
    assert await current(modelling) == await recomputed(modelling, modelling.state.clock.now())
    await assert_ranges_are_sound(modelling)
    # Everybody was evaluated when the refresh began, or later.
    [row] = await query(modelling, select(segmentation_versions.c.refreshed_at))
    assert row.refreshed_at == datetime(2027, 12, 6, 12, tzinfo=UTC)


async def test_who_is_erased_during_an_activation_does_not_come_back(modelling: Modelling, beside: Database) -> None:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn()
    async with beside.write() as session:
        # The activation reaches the point where it writes and finds the erasure before it.
        await intake.lock_people(session)
        activating = asyncio.create_task(modelling.start(segmentation_id, "activate"))
        waiting = text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
        async with asyncio.timeout(20):
            while not (await session.execute(waiting)).scalar_one():
                await asyncio.sleep(0.01)
        await erase(session, "C-24", secret=SECRET, now=modelling.state.clock.now())
    assert (await activating)["entered"] == CUSTOMERS - 1
    assert await query(modelling, select(memberships).where(memberships.c.customer_id == "C-24")) == []
    await modelling.drain()
    await assert_one_number(modelling)


async def test_merging_and_erasing_keep_one_number(modelling: Modelling, active: str) -> None:
    await modelling.client.post("/v1/customers/merge", json={"from": "C-23", "into": "C-24"})
    assert (await modelling.client.delete("/v1/customers/C-22")).status_code == 200
    await assert_one_number(modelling)
    await modelling.drain()
    await assert_one_number(modelling)
    assert (
        sum(each["size"] for each in (await modelling.get(f"/v1/segmentations/{active}"))["segments"]) == CUSTOMERS - 2
    )


async def test_the_dirty_set_is_taken_in_bounded_parts_oldest_first(modelling: Modelling) -> None:
    async with modelling.state.database.write() as session:
        for batch in (["a", "b"], ["b", "c", "d"], ["e"], ["f"]):
            await session.execute(insert(dirty_customers).values(customer_ids=batch))
        take = assignments.take_dirty
        assert await take(session, batches=10, customers_at_most=3) == ["a", "b", "c", "d"]
        assert await take(session, batches=1, customers_at_most=3) == ["e"]
        assert await take(session, batches=10, customers_at_most=3) == ["f"]
        assert await take(session, batches=10, customers_at_most=3) == []
