"""Versions of a segmentation: learned anew, put to work, rolled back, laid side by side, while everything else goes on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.db.engine import Database
from tests.conftest import Service
from tests.support.answers import be_sound
from tests.support.market import EACH, KINDS, customer_ids, open_market
from tests.support.modelling import Modelling
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

SPEND = ["purchase_count", "total_spend", "days_since_last_purchase"]
KMEANS: dict[str, Any] = {"method": "kmeans", "features": SPEND, "k": 3}


@pytest.fixture
async def modelling(service: Service) -> Modelling:
    """The market, with nobody waiting."""
    service.client.event_hooks["response"].append(be_sound)
    modelling = Modelling(service)
    await open_market(modelling)
    return modelling


@pytest.fixture
async def active(modelling: Modelling) -> str:
    return await modelling.learn_and_activate("Kinds", **KMEANS)


@pytest.fixture
async def beside(modelling: Modelling) -> AsyncIterator[Database]:
    """Connections of somebody else."""
    database = Database(modelling.service.database_url, pool_size=2, statement_timeout_seconds=30, application="beside")
    yield database
    await database.close()


async def refit(modelling: Modelling, segmentation_id: str, **asked: Any) -> dict[str, Any]:
    return await modelling.result(await modelling.client.post(f"/v1/segmentations/{segmentation_id}/refit", json=asked))


async def activate(modelling: Modelling, segmentation_id: str, **params: int) -> dict[str, Any]:
    path = f"/v1/segmentations/{segmentation_id}/activate"
    return await modelling.result(await modelling.client.post(path, params=params))


async def statuses(modelling: Modelling, segmentation_id: str) -> list[tuple[int, str]]:
    data = (await modelling.get(f"/v1/segmentations/{segmentation_id}/versions"))["data"]
    return [(each["version"], each["status"]) for each in data]


async def shown(modelling: Modelling, segmentation_id: str) -> dict[str, tuple[str, str]]:
    """Id and name of each segment by key."""
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    return {each["key"]: (each["segment_id"], each["name"]) for each in found["segments"]}


async def of_key(modelling: Modelling, segmentation_id: str, key: str) -> list[str]:
    return await modelling.members((await shown(modelling, segmentation_id))[key][0])


async def test_a_refit_keeps_keys_ids_and_names_of_segments_that_it_finds_again(
    modelling: Modelling, active: str
) -> None:
    before = await shown(modelling, active)
    rows = [
        transaction(f"one-{customer}", customer_id=customer, occurred_at="2026-10-25T10:00:00Z", amount="210")
        for customer in [*customer_ids("heavy"), "light-00"]
    ]
    await modelling.service.push(*rows)
    await modelling.drain()
    modelling.service.clock.advance(timedelta(hours=1))
    await refit(modelling, active, seed=5)
    assert await shown(modelling, active) == before, "the version that serves is still the first"
    assert (await activate(modelling, active))["version"] == 2
    assert await shown(modelling, active) == before
    assert await of_key(modelling, active, "segment_1") == customer_ids("heavy")
    found = await modelling.get(f"/v1/segmentations/{active}")
    assert found["matching"]["version"] == 1
    assert {each["key"]: each["continues"] for each in found["matching"]["segments"]} == {each: each for each in before}
    assert min(each["overlap"] for each in found["matching"]["segments"]) > 0.9
    assert sum(map(sum, found["matching"]["customers"])) == 3 * EACH


async def test_new_segments_get_keys_that_were_never_given(modelling: Modelling, active: str) -> None:
    first = await shown(modelling, active)
    await refit(modelling, active, k=5)
    modelling.service.clock.advance(timedelta(hours=1))
    await activate(modelling, active)
    second = await shown(modelling, active)
    assert len(second) == 5
    assert {key: each for key, each in second.items() if key in first} == {
        key: each for key, each in first.items() if key in second
    }
    fresh = second.keys() - first.keys()
    await refit(modelling, active, k=4, seed=3)
    modelling.service.clock.advance(timedelta(hours=1))
    await activate(modelling, active)
    third = await shown(modelling, active)
    assert {key: third[key] for key in third.keys() & second.keys()} == {
        key: second[key] for key in third.keys() & second.keys()
    }
    assert not (third.keys() - second.keys()) & (first.keys() | fresh)
    # A segment that the active version does not have any more is shown by the one that had it last, without members.
    for gone in second.keys() - third.keys():
        segment = await modelling.get(f"/v1/segments/{second[gone][0]}")
        assert (segment["key"], segment["version"], segment["size"]) == (gone, 2, 0)
        assert await modelling.members(second[gone][0]) == []


async def test_a_version_can_be_rolled_back_to_and_exactly_one_is_active(modelling: Modelling, active: str) -> None:
    await refit(modelling, active, k=2)
    assert await statuses(modelling, active) == [(2, "candidate"), (1, "active")]
    modelling.service.clock.advance(timedelta(hours=1))
    await activate(modelling, active)
    assert await statuses(modelling, active) == [(2, "active"), (1, "archived")]
    [two] = (await modelling.get("/v1/customers/middle-00/segments"))["memberships"]
    modelling.service.clock.advance(timedelta(hours=1))
    assert (await activate(modelling, active, version=1))["version"] == 1
    assert await statuses(modelling, active) == [(2, "archived"), (1, "active")]
    assert (await modelling.get(f"/v1/segmentations/{active}"))["version"] == 1
    [one] = (await modelling.get("/v1/customers/middle-00/segments"))["memberships"]
    assert (two["version"], one["version"]) == (2, 1)
    history = (await modelling.get("/v1/customers/middle-00/segments/history"))["data"]
    assert [each["version"] for each in history] == [1, 2, 1]
    assert [each["valid_to"] for each in history] == [None, *(each["valid_from"] for each in history[:-1])]
    for number in (0, 3, 2**31):
        answer = await modelling.client.post(f"/v1/segmentations/{active}/activate", params={"version": number})
        assert answer.status_code in (404, 422)


async def test_what_is_not_said_at_a_refit_is_as_it_was_asked_for_at_first(modelling: Modelling) -> None:
    asked = {"params": {"scale": "standard", "pca": 2}, "min_segment_share": 0.1, "seed": 4, **KMEANS}
    segmentation_id = await modelling.learn("Kinds", **asked)
    first = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    await refit(modelling, segmentation_id, params={"scale": "robust"})
    second = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    assert (first["params"]["scale"], second["params"]["scale"]) == ("standard", "robust")
    assert (second["params"]["pca"], second["model"]["seed"], len(second["segments"])) == (2, 4, 3)
    for wrong, pointer in (({"params": {"pca": "x"}}, "/params/pca"), ({"rules": [{}]}, "/rules"), ({"k": 0}, "/k")):
        answer = await modelling.client.post(f"/v1/segmentations/{segmentation_id}/refit", json=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_refit_outlives_an_attribute_that_became_another_thing(modelling: Modelling) -> None:
    async def say(shoe: dict[str, Any]) -> None:
        people = [{"customer_id": each, "attributes": {"shoe": size}} for each, size in shoe.items()]
        answer = await modelling.client.post("/v1/customers", json={"customers": people})
        assert answer.status_code == 200

    everybody = [each for kind in KINDS for each in customer_ids(kind)]
    await say({each: 36 + 4 * (number % 3) for number, each in enumerate(everybody)})
    segmentation_id = await modelling.learn_and_activate("Shoes", method="kmeans", features=["attributes.shoe"], k=3)
    modelling.service.clock.advance(timedelta(hours=1))
    await say({everybody[0]: "large", everybody[1]: "large"})
    assert (await refit(modelling, segmentation_id, k=2))["version"] == 2
    found = (await modelling.get(f"/v1/segmentations/{segmentation_id}/versions"))["data"][0]
    assert found["matching"] == {"version": 1, "retyped": ["attributes.shoe"]}
    answer = await modelling.client.post(f"/v1/segmentations/{segmentation_id}/compare", json={"from": 1, "to": 2})
    assert "attributes.shoe" in (await modelling.finish(answer))["error"]["detail"]
    modelling.service.clock.advance(timedelta(hours=1))
    assert (await activate(modelling, segmentation_id))["version"] == 2


async def test_the_moves_between_two_versions_add_up(modelling: Modelling, active: str) -> None:
    await refit(modelling, active, k=2)
    path = f"/v1/segmentations/{active}/compare"
    found = await modelling.result(await modelling.client.post(path, json={"from": 1, "to": 2}))
    assert (found["compared_with"], found["version"], found["customers"]) == (1, 2, 3 * EACH)
    assert sum(each["customers"] for each in found["moves"]) == 3 * EACH
    assert sum(each["customers"] for each in found["moves"] if each["from"] == each["to"]) == found["stayed"]
    assert found["stayed_share"] == found["stayed"] / (3 * EACH)
    back = await modelling.result(await modelling.client.post(path, json={"from": 2, "to": 1}))
    assert sorted((each["to"], each["from"], each["customers"]) for each in back["moves"]) == sorted(
        (each["from"], each["to"], each["customers"]) for each in found["moves"]
    )
    same = await modelling.result(await modelling.client.post(path, json={"from": 1, "to": 1}))
    assert (same["stayed"], len(same["moves"])) == (3 * EACH, 3)
    assert (await modelling.client.post(path, json={"from": 1, "to": 3})).status_code == 404


async def test_two_trainings_at_once_are_refused(modelling: Modelling, active: str) -> None:
    path = f"/v1/segmentations/{active}/refit"
    first = await modelling.client.post(path, json={})
    again = await modelling.client.post(path, json={})
    assert (first.status_code, again.status_code, again.json()["code"]) == (202, 409, "conflict")
    # The version that serves goes on, and may be activated anew meanwhile.
    assert (await activate(modelling, active))["version"] == 1
    assert (await modelling.result(first))["version"] == 2
    assert (await modelling.result(await modelling.client.post(path, json={})))["version"] == 3


async def test_a_training_that_failed_stands_in_nobodys_way(modelling: Modelling, active: str) -> None:
    path = f"/v1/segmentations/{active}/refit"
    job = await modelling.finish(await modelling.client.post(path, json={"k": 100}))
    assert (job["status"], job["error"]["code"]) == ("failed", "too_few_customers")
    assert job["error"]["errors"][0]["pointer"] == "/k"
    assert await statuses(modelling, active) == [(1, "active")]
    assert (await refit(modelling, active))["version"] == 2


async def test_a_refit_goes_on_while_facts_come_in(modelling: Modelling, active: str) -> None:
    answer = await modelling.client.post(f"/v1/segmentations/{active}/refit", json={})
    learning = asyncio.create_task(modelling.result(answer))
    pushed = 0
    while not learning.done():
        row = transaction(f"in-{pushed}", customer_id=f"late-{pushed % 7}", occurred_at="2026-10-20T10:00:00Z")
        await modelling.service.push(row)
        await modelling.drain()
        pushed += 1
    assert pushed > 0
    assert (await learning)["version"] == 2
    modelling.service.clock.advance(timedelta(hours=1))
    await activate(modelling, active)
    await modelling.drain()
    sizes = [each["size"] for each in (await modelling.get(f"/v1/segmentations/{active}"))["segments"]]
    assert sum(sizes) == 3 * EACH + min(pushed, 7)


async def test_who_is_erased_during_a_training_is_not_in_what_comes_of_it(
    modelling: Modelling, active: str, beside: Database
) -> None:
    answer = await modelling.client.post(f"/v1/segmentations/{active}/refit", json={})
    async with beside.write() as session:
        # The training has read everybody, and waits to keep its model.
        await session.execute(text("lock table models in exclusive mode"))
        learning = asyncio.create_task(modelling.result(answer))
        waiting = text("select count(*) from pg_locks where not granted")
        async with asyncio.timeout(60):
            while not (await session.execute(waiting)).scalar_one():
                await asyncio.sleep(0.02)
        assert (await modelling.client.delete("/v1/customers/heavy-00")).status_code == 200
    assert (await learning)["version"] == 2
    modelling.service.clock.advance(timedelta(hours=1))
    await activate(modelling, active)
    assert await of_key(modelling, active, "segment_1") == customer_ids("heavy")[1:]
    assert (await modelling.client.get("/v1/customers/heavy-00/segments")).status_code == 404
    found = await modelling.get(f"/v1/segmentations/{active}")
    assert sum(each["size"] for each in found["segments"]) == 3 * EACH - 1


async def test_a_tree_that_is_grown_again_still_knows_what_it_is_to_tell(modelling: Modelling) -> None:
    people = [
        {"customer_id": each, "attributes": {"level": 3 if kind == "heavy" else 1.5}}
        for kind in KINDS
        for each in customer_ids(kind)
    ]
    people.append({"customer_id": "light-00", "attributes": {}})
    await modelling.client.post("/v1/customers", json={"customers": people[:-1]})
    await modelling.client.post("/v1/customers", json={"customers": people[-1:]})
    asked = {"features": SPEND, "params": {"label": "attributes.level"}}
    segmentation_id = await modelling.learn("Tree", "decision_tree", **asked)
    first = await shown(modelling, segmentation_id)
    # Numbers are labels as words are; who has none is none.
    assert [name for _, name in first.values()] == ["1.5", "3"]
    await refit(modelling, segmentation_id, params={"max_depth": 2})
    assert await shown(modelling, segmentation_id) == first
    params = (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["params"]
    assert (params["label"], params["max_depth"]) == ("attributes.level", 2)
    assert (await activate(modelling, segmentation_id, version=1))["version"] == 1
