"""Why a customer is in a segment, now and at a past instant; and that rows of features are assigned as customers are."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Service
from tests.support.answers import be_sound
from tests.support.market import KINDS, customer_ids, open_market
from tests.support.modelling import Modelling
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

SPEND = ["purchase_count", "total_spend", "days_since_last_purchase"]
OFTEN = {"feature": "purchase_count", "op": ">=", "value": 9}
# What to ask of each method on the market.
METHODS: dict[str, dict[str, Any]] = {
    "rfm": {},
    "kmeans": {"features": SPEND, "k": 3},
    "gaussian_mixture": {"features": SPEND, "k": 3},
    "hierarchical": {"features": SPEND, "k": 3},
    "dbscan": {"features": SPEND},
    "decision_tree": {"features": SPEND, "params": {"label": "attributes.plan"}},
    "rules": {"rules": [{"key": "often", "name": "Often", "when": OFTEN}]},
}


@pytest.fixture
async def modelling(service: Service) -> Modelling:
    """The market, with nobody waiting."""
    service.client.event_hooks["response"].append(be_sound)
    modelling = Modelling(service)
    await open_market(modelling, with_attributes=True)
    return modelling


async def explained(modelling: Modelling, customer_id: str, **params: Any) -> dict[str, Any]:
    """What is said of the only segmentation there is."""
    found = await modelling.get(f"/v1/customers/{customer_id}/segments/explanation", **params)
    assert found["customer_id"] == customer_id
    [said] = found["data"]
    return dict(said)


async def features_of(modelling: Modelling, customer_id: str) -> dict[str, Any]:
    found = (await modelling.get(f"/v1/customers/{customer_id}/features"))["features"]
    return {name: found[name]["value"] if isinstance(found[name], dict) else found[name] for name in SPEND}


@pytest.mark.parametrize("method", METHODS)
async def test_the_reason_of_now_is_that_of_the_membership(modelling: Modelling, method: str) -> None:
    segmentation_id = await modelling.learn_and_activate("S", method=method, **METHODS[method])
    for customer_id in ("heavy-03", "middle-07", "light-11"):
        said = await explained(modelling, customer_id)
        assert (said["segmentation_id"], said["version"], said["method"]) == (segmentation_id, 1, method)
        assert [said["segment_key"]] == (await modelling.keys_of(customer_id) or [None])
        assert said["explanation"]
    await modelling.client.post("/v1/customers", json={"customers": [{"customer_id": "who"}]})
    await modelling.drain()
    nobody = await explained(modelling, "who")
    assert nobody["segment_key"] is None
    assert nobody["explanation"]


async def test_scores_are_explained_by_the_edges_that_gave_them(modelling: Modelling) -> None:
    await modelling.learn_and_activate()
    said = (await explained(modelling, "heavy-03"))["explanation"]
    for each in said["features"]:
        below = sum(each["value"] > edge for edge in each["edges"])
        expected = 5 - below if each["feature"] == "days_since_last_purchase" else 1 + below
        assert each["score"] == expected
    assert {each["feature"]: each["value"] for each in said["features"]} == await features_of(modelling, "heavy-03")


@pytest.mark.parametrize("method", ["kmeans", "gaussian_mixture", "hierarchical"])
async def test_a_found_segment_is_explained_against_the_next_one(modelling: Modelling, method: str) -> None:
    segmentation_id = await modelling.learn_and_activate("S", method=method, **METHODS[method])
    keys = {each["key"] for each in (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["segments"]}
    placed = await explained(modelling, "heavy-03")
    said = placed["explanation"]
    assert said["next"] in keys - {placed["segment_key"]}
    assert said["margin"] > 0
    assert {each["feature"] for each in said["features"]} == set(SPEND)
    weights = [abs(each["contribution"]) for each in said["features"]]
    assert weights == sorted(weights, reverse=True)
    # Together the features speak for the segment the customer is in.
    assert sum(each["contribution"] for each in said["features"]) > 0
    assert (said["confidence"] is not None) == (method == "gaussian_mixture")


async def test_a_tree_says_its_conditions_and_rules_say_what_they_asked(modelling: Modelling) -> None:
    await modelling.learn_and_activate("Tree", method="decision_tree", **METHODS["decision_tree"])
    rule = (await explained(modelling, "heavy-03"))["explanation"]["rule"]
    assert any(name in condition for name in SPEND for condition in rule)
    segmentation_id = (await modelling.get("/v1/segmentations"))["data"][0]["segmentation_id"]
    await modelling.start(segmentation_id, "archive")
    await modelling.learn_and_activate("Rules", method="rules", **METHODS["rules"])
    [tried] = (await explained(modelling, "middle-00"))["explanation"]["rules"]
    assert tried == {
        "rule": "often",
        "matched": False,
        "by_hand": None,
        "when": {"held": False, "condition": "purchase_count >= 9", "value": 4},
    }


@pytest.mark.parametrize("method", ["rfm", "kmeans", "rules"])
async def test_the_reason_of_a_past_instant_is_that_of_then(modelling: Modelling, method: str) -> None:
    segmentation_id = await modelling.learn_and_activate("S", method=method, **METHODS[method])
    before = await explained(modelling, "light-00")
    then = modelling.state.clock.now().isoformat()
    modelling.service.clock.advance(timedelta(days=2))
    rows = [
        transaction(f"more-{n}", customer_id="light-00", occurred_at="2026-11-02T10:00:00Z", amount="300")
        for n in range(12)
    ]
    await modelling.service.push(*rows)
    await modelling.drain()
    after = await explained(modelling, "light-00")
    assert after["segment_key"] != before["segment_key"]
    if before["segment_key"] is not None:
        assert await explained(modelling, "light-00", as_of=then) == before
    # By the version that placed the customer then, also where another one does now.
    answer = await modelling.client.post(f"/v1/segmentations/{segmentation_id}/refit", json={})
    await modelling.result(answer)
    modelling.service.clock.advance(timedelta(hours=1))
    last = modelling.state.clock.now() - timedelta(minutes=1)
    await modelling.start(segmentation_id, "activate")
    assert (await explained(modelling, "light-00"))["version"] == 2
    assert (await explained(modelling, "light-00", as_of=last.isoformat()))["version"] == 1


@pytest.mark.parametrize("method", METHODS)
async def test_rows_of_features_are_assigned_as_the_customers_who_have_them(modelling: Modelling, method: str) -> None:
    segmentation_id = await modelling.learn_and_activate("S", method=method, **METHODS[method])
    names = (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["features"]
    everybody = [customer_id for kind in KINDS for customer_id in customer_ids(kind)[::4]]
    features = [await features_of(modelling, each) for each in everybody]
    rows = [{name: each[name] for name in names} for each in features]
    path = f"/v1/segmentations/{segmentation_id}/assign"
    answer = await modelling.client.post(path, json={"rows": rows})
    assert answer.status_code == 200, answer.text
    looked_up = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": everybody})
    shown = ("segment_id", "segment_key", "segment_name", "reason", "confidence")
    stored = [
        {name: each["memberships"][0][name] for name in shown if name in each["memberships"][0]}
        if each["memberships"]
        else dict.fromkeys(shown[:4])
        for each in looked_up.json()["data"]
    ]
    assert answer.json()["data"] == stored
    assert answer.json()["version"] == 1


@pytest.mark.parametrize("method", METHODS)
async def test_rows_that_make_no_sense_are_refused_or_assigned_and_never_fail(
    modelling: Modelling, method: str
) -> None:
    segmentation_id = await modelling.learn("S", method, **METHODS[method])
    path = f"/v1/segmentations/{segmentation_id}/assign"
    known = "purchase_count"
    for rows, pointer in (
        ([{known: 1}, {"shoe_size": 44}], "/rows/1/shoe_size"),
        ([{"a/b~c": 44}], "/rows/0/a~1b~0c"),
        ([{known: "many"}], f"/rows/0/{known}"),
        ([{known: True}], f"/rows/0/{known}"),
        ([{known: [1]}], f"/rows/0/{known}"),
    ):
        refused = await modelling.client.post(path, json={"rows": rows})
        assert refused.status_code == 422, refused.text
        assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]
    extremes = [{}, {known: None}, {known: 1e308}, {known: -1e308}, {known: 0}, {known: 3}]
    answer = await modelling.client.post(path, json={"rows": extremes})
    assert (answer.status_code, len(answer.json()["data"])) == (200, len(extremes))
    assert (await modelling.client.post(path, json={"rows": []})).json()["data"] == []
    assert (await modelling.client.post(path, json={"rows": [{}] * 10_001})).status_code == 422
    assert (await modelling.client.post(path, json={"rows": [], "version": 2})).status_code == 404


async def test_what_features_do_not_say_is_not_guessed(modelling: Modelling) -> None:
    """Scores need all three figures, and rules about histories need histories."""
    rfm = await modelling.learn()
    answer = await modelling.client.post(f"/v1/segmentations/{rfm}/assign", json={"rows": [{"purchase_count": 20}]})
    assert [each["segment_key"] for each in answer.json()["data"]] == [None]
    when = {"did": {"type": "purchase", "within_days": 30}}
    rules = await modelling.learn("Did", "rules", rules=[{"key": "a", "name": "A", "when": when}])
    answer = await modelling.client.post(f"/v1/segmentations/{rules}/assign", json={"rows": [{}]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/rows")
