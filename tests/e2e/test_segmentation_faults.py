"""Segmentations under kill -9, load, a restart and tampering, with real processes: memberships stay what they must be.

What must be is worked out from the pushed rows by the stateless endpoint, which knows no ranges, dirty set or jobs.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.modelling.segments.assignments import MEMBERSHIPS_LOCK
from app.modelling.segments.evaluation import AT_ONCE
from tests.support.busy_shop import CUSTOMERS, ROWS, Books, Traffic, World
from tests.support.processes import ServiceProcess, seconds_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)

# Enough to tell segments apart; learning from everybody would take most of the time.
LEARNED_FROM = 2_000
READ = ("purchase_count", "total_spend")
# A first worker reads every module.
CAUGHT_WITHIN_SECONDS = 60
# Looked at while everything stands still: every 15th customer, all of whom `push_unseen` touches.
UNSEEN, SAMPLE = 3, 15


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="tessera-", dir="/tmp") as folder:
        world = World(ServiceProcess(Path(folder) / "home", "--no-worker").wait_ready(), Books())
        try:
            prepare(world)
            yield world
        finally:
            world.end_workers()
            world.service.finish()


def prepare(world: World) -> None:
    """Learned from some, everybody pushed; rfm and the first of two versions of k-means are active."""
    with world.service.client() as client:
        world.start_worker()
        world.push(client, world.books.first(range(LEARNED_FROM)))
        few = {"bootstraps": 0, "starts": 2}
        asked: dict[str, dict[str, Any]] = {
            "rfm": {"method": "rfm"},
            "kmeans": {"method": "kmeans", "features": READ, "k": 3, "params": few},
        }
        learning = []
        for name, choices in asked.items():
            answer = client.post("/v1/segmentations", json={"name": name, **choices})
            world.segmentations[name] = answer.json()["segmentation_id"]
            learning.append(answer.headers["Location"])
        world.push(client, world.books.first(range(LEARNED_FROM, CUSTOMERS)))
        for location in learning:
            world.done(client, location)
        refit = client.post(f"/v1/segmentations/{world.segmentations['kmeans']}/refit", json={"k": 4})
        activations = [world.start(client, name, "activate", version=1) for name in asked]
        for location in (refit.headers["Location"], *activations):
            world.done(client, location)


def members(client: httpx.Client, world: World, *, every: int = 1) -> dict[str, dict[str, dict[str, Any]]]:
    """By segmentation and customer what look-ups answer, of everybody or of every so manyth."""
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in world.segmentations}
    names = {segmentation_id: name for name, segmentation_id in world.segmentations.items()}
    asked = list(world.books.bought)[::every]
    for start in range(0, len(asked), ROWS):
        answer = client.post("/v1/segments/lookup", json={"customer_ids": asked[start : start + ROWS]})
        assert answer.status_code == 200, answer.text
        for each in answer.json()["data"]:
            for membership in each["memberships"]:
                found[names[membership["segmentation_id"]]][each["customer_id"]] = membership
    return found


def assigned(
    client: httpx.Client, world: World, name: str, *, version: int | None = None, every: int = 1
) -> dict[str, tuple[str, Any]]:
    """Segment and reason of everybody by the stateless endpoint, from what the test pushed."""
    reads = READ if name == "kmeans" else (*READ, "days_since_last_purchase")
    rows = {each: {feature: row[feature] for feature in reads} for each, row in world.books.rows().items()}
    ids, found = list(rows)[::every], []
    for start in range(0, len(ids), ROWS):
        body = {"rows": [rows[each] for each in ids[start : start + ROWS]], "version": version}
        answer = client.post(f"/v1/segmentations/{world.segmentations[name]}/assign", json=body)
        assert answer.status_code == 200, answer.text
        found += [(each["segment_key"], each["reason"]) for each in answer.json()["data"]]
    return dict(zip(ids, found, strict=True))


def told(memberships: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, Any]]:
    return {customer: (each["segment_key"], each["reason"]) for customer, each in memberships.items()}


def assert_all_is_right(client: httpx.Client, world: World, *, version: int) -> None:
    """Memberships are what the batch assignment gives, by this version of k-means; histories are whole."""
    world.settle()
    found = members(client, world)
    for name in world.segmentations:
        assert told(found[name]) == assigned(client, world, name)
    assert {each["version"] for each in found["kmeans"].values()} == {version}
    assert_histories_are_whole(world)


def assert_histories_are_whole(world: World) -> None:
    with world.database() as database:
        assert database.execute(UNSOUND).fetchall() == []
        opened = database.execute("select segmentation_id, count(*) from memberships where valid_to is null group by 1")
        assert {str(own): number for own, number in opened} == dict.fromkeys(world.segmentations.values(), CUSTOMERS)


# Whoever has bought is always in some segment of either segmentation: each range begins where the one before ends,
# only the last one is open, and a range that follows says something new.
UNSOUND = """
select customer_id, valid_from, valid_to, next_from from (
  select *, lead(valid_from) over own as next_from, lead(segment_id) over own as next_segment,
         lead(reason) over own as next_reason, lead(version) over own as next_version
    from memberships window own as (partition by customer_id, segmentation_id order by valid_from)) as ranges
 where valid_to is distinct from next_from
    or (next_segment, next_reason, next_version) = (segment_id, reason, version)
 limit 5
"""
WAITING = """
select exists (select from pg_stat_activity
                where application_name = 'tessera worker' and wait_event_type = 'Lock'
                  and wait_event in ('transactionid', 'tuple'))
"""


@contextmanager
def held_up(world: World, name: str, customer_id: str) -> Iterator[Callable[[], bool]]:
    """Hold one membership, so that whoever changes it stops there; gives a look whether a worker does."""
    with world.database() as holding, world.database() as looking, holding.transaction():
        query = """select from memberships where segmentation_id = %s and customer_id = %s and valid_to is null
                   for update"""
        assert len(holding.execute(query, (world.segmentations[name], customer_id)).fetchall()) == 1
        yield lambda: looking.execute(WAITING).fetchone() == (True,)


def push_unseen(client: httpx.Client, world: World) -> None:
    """Purchases of every third customer that the memberships do not follow, as if their dirty set had been lost."""
    with world.database() as database:
        database.execute("select pg_advisory_lock(%s)", (MEMBERSHIPS_LOCK,))
        world.push(
            client, [world.books.purchase(each, cents=40_000, days_ago=0.5) for each in range(0, CUSTOMERS, UNSEEN)]
        )
        database.execute("delete from dirty_customers")
        database.execute("select pg_advisory_unlock(%s)", (MEMBERSHIPS_LOCK,))


def kill_in_the_middle(world: World, is_held_up: Callable[[], bool]) -> None:
    """kill -9 of the only worker once it is held up with half of its changes written."""
    worker = world.workers.pop()
    seconds_until(is_held_up, within=CAUGHT_WITHIN_SECONDS)
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate(timeout=CAUGHT_WITHIN_SECONDS)


def test_jobs_of_workers_killed_in_the_middle_are_brought_to_their_end_by_another(world: World) -> None:
    last = f"C-{(CUSTOMERS - 1) // SAMPLE * SAMPLE:05}"
    with world.service.client() as client:
        before = members(client, world, every=SAMPLE)
        push_unseen(client, world)
        with held_up(world, "rfm", last) as is_held_up:
            refresh = world.start(client, "rfm", "refresh")
            kill_in_the_middle(world, is_held_up)
        job = client.get(refresh).json()
        assert (job["status"], job["progress"]["done"]) == ("running", AT_ONCE)
        half = members(client, world, every=SAMPLE)
        # The first range is there, of the second nothing.
        assert half["rfm"]["C-00000"] != before["rfm"]["C-00000"]
        assert half["rfm"][last] == before["rfm"][last]

        world.start_worker()
        with held_up(world, "kmeans", last) as is_held_up:
            activation = world.start(client, "kmeans", "activate", version=2)
            kill_in_the_middle(world, is_held_up)
        assert client.get(activation).json()["status"] == "running"
        assert members(client, world, every=SAMPLE)["kmeans"] == before["kmeans"]

        world.start_worker()
        assert world.done(client, activation)["version"] == 2
        assert world.done(client, refresh)["changed"] > 0
        assert_all_is_right(client, world, version=2)
        with world.database() as database:
            query = "select min(attempts) from jobs where job_id::text = any(%s)"
            taken = database.execute(query, ([each.rsplit("/", 1)[1] for each in (refresh, activation)],)).fetchone()
        assert taken is not None
        assert taken[0] >= 2


def test_a_version_is_activated_under_load_without_a_request_that_fails(world: World) -> None:
    with world.service.client() as client, Traffic(world).flowing() as traffic:
        version = 3 - world.active(client)
        location = world.start(client, "kmeans", "activate", version=version)
        before = {name: len(answered) for name, answered in traffic.statuses.items()}
        world.done(client, location)
        # Or there was no load while it happened.
        assert all(len(answered) > before.get(name, 0) for name, answered in traffic.statuses.items())
    assert traffic.wrong == []
    assert {name: set(answered) for name, answered in traffic.statuses.items()} == {
        name: {200} for name in ("look_up", "look_up_many", "list_members", "push")
    }
    with world.service.client() as client:
        assert_all_is_right(client, world, version=version)


def tamper(world: World, version: int) -> None:
    """Change one bit in the middle of a stored model."""
    with world.database() as database:
        changed = database.execute(
            """update models m set content = set_byte(content, length(content) / 2, get_byte(content, length(content) / 2) # 1)
                 from segmentation_versions v
                where v.model_id = m.model_id and v.segmentation_id = %s and v.version = %s""",
            (world.segmentations["kmeans"], version),
        )
        assert changed.rowcount == 1


def test_a_restart_changes_nothing_and_a_tampered_model_is_refused_while_its_members_stand(world: World) -> None:
    with world.service.client() as client:
        world.settle()
        active = world.active(client)
        other = 3 - active
        before = members(client, world, every=SAMPLE)
        other_way = assigned(client, world, "kmeans", version=other, every=SAMPLE)
    world.end_workers()
    tamper(world, active)
    assert world.service.stop() == 0
    world.service.finish()
    # From here on with a worker of its own, as most run it.
    world.service = ServiceProcess(world.service.home, port=world.service.port).wait_ready()
    with world.service.client() as client:
        assert members(client, world, every=SAMPLE) == before
        assert told(before["rfm"]) == assigned(client, world, "rfm", every=SAMPLE)
        assert other_way == assigned(client, world, "kmeans", version=other, every=SAMPLE)
        assert_refused(client, world)
        # Another segmentation goes on being kept current; the members of this one stay as they are.
        world.push(client, [world.books.purchase(each, cents=90_000, days_ago=0.5) for each in range(50)])
        world.settle()
        after = members(client, world)
        assert after["rfm"]["C-00000"] != before["rfm"]["C-00000"]
        assert told(after["rfm"]) == assigned(client, world, "rfm")
        assert {each: after["kmeans"][each] for each in before["kmeans"]} == before["kmeans"]
        assert_histories_are_whole(world)


def assert_refused(client: httpx.Client, world: World) -> None:
    """Whatever needs the model is refused for the same reason."""
    path = f"/v1/segmentations/{world.segmentations['kmeans']}"
    refused = client.post(f"{path}/assign", json={"rows": [{"total_spend": 5.0}]})
    assert (refused.status_code, refused.json()["code"]) == (409, "model_tampered")
    explained = client.get("/v1/customers/C-00000/segments/explanation")
    assert (explained.status_code, explained.json()["code"]) == (409, "model_tampered")
    failed = world.over(client, world.start(client, "kmeans", "refresh"))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_tampered")
    assert client.get(path).status_code == 200
