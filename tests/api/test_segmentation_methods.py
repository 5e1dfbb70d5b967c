"""Every method through HTTP: what it finds, what it shows of itself, and what it says when it cannot."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.tables.registry import models
from tests.conftest import Service
from tests.support.answers import be_sound
from tests.support.market import EACH, KINDS, customer_ids, open_market
from tests.support.modelling import Modelling
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

SPEND = ["purchase_count", "total_spend", "days_since_last_purchase"]
MEASURES = ("silhouette", "davies_bouldin", "calinski_harabasz", "stability")


@pytest.fixture
def modelling(service: Service) -> Modelling:
    service.client.event_hooks["response"].append(be_sound)
    return Modelling(service)


@pytest.fixture
async def market(modelling: Modelling) -> Modelling:
    await open_market(modelling, with_attributes=True)
    return modelling


async def groups(modelling: Modelling, segmentation_id: str) -> dict[str, list[str]]:
    """Members by the key of their segment, of segments that have some."""
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    listed = {each["key"]: await modelling.members(each["segment_id"]) for each in found["segments"]}
    return {key: members for key, members in listed.items() if members}


async def failure(modelling: Modelling, **asked: Any) -> dict[str, Any]:
    """The error of a training that fails."""
    answer = await modelling.client.post("/v1/segmentations", json={"name": "S", **asked})
    job = await modelling.finish(answer)
    assert job["status"] == "failed", job
    error: dict[str, Any] = job["error"]
    assert error["code"] != "fault", error
    return error


@pytest.mark.parametrize("method", ["kmeans", "gaussian_mixture", "hierarchical"])
async def test_an_automatic_k_finds_the_kinds_that_are_there(market: Modelling, method: str) -> None:
    segmentation_id = await market.learn_and_activate("Kinds", method=method, features=SPEND, k_range=[2, 5])
    found = await market.get(f"/v1/segmentations/{segmentation_id}")
    assert sorted((await groups(market, segmentation_id)).values()) == sorted(customer_ids(kind) for kind in KINDS)
    assert [each["key"] for each in found["segments"]] == ["segment_1", "segment_2", "segment_3"]
    # In order of spend.
    shares = [each["revenue_share"] for each in found["segments"]]
    assert (shares, sum(shares)) == (sorted(shares, reverse=True), pytest.approx(1))
    assert len({each["name"] for each in found["segments"]}) == 3
    assert all(each["persona"]["drivers"] and each["persona"]["typical"] for each in found["segments"])
    evaluation = found["evaluation"]
    table = evaluation["k_table"]
    assert [row["k"] for row in table] == [2, 3, 4, 5]
    [chosen] = [row for row in table if row["chosen"]]
    assert chosen["k"] == 3
    assert {name: evaluation[name] for name in MEASURES} == {name: chosen[name] for name in MEASURES}
    assert evaluation["sizes_ok"] is True
    assert evaluation["explained_by"]["fidelity"] == 1
    assert found["model"]["customers"] == 3 * EACH
    assert set(found["model"]["libraries"]) == {"numpy", "scipy", "scikit-learn"}


async def test_a_number_of_segments_can_be_asked_for(market: Modelling) -> None:
    for k in (1, 4):
        segmentation_id = await market.learn(f"K{k}", "kmeans", features=SPEND, k=k)
        found = await market.get(f"/v1/segmentations/{segmentation_id}")
        assert (len(found["segments"]), len(found["evaluation"]["k_table"])) == (k, 1)
        assert sum(each["size"] for each in found["segments"]) == 3 * EACH
    one = (await market.get("/v1/segmentations"))["data"][1]["evaluation"]
    assert (one["silhouette"], one["explained_by"], "silhouette" in one["reasons"]) == (None, None, True)


async def test_the_probability_of_a_mixture_is_shown_with_the_membership(market: Modelling) -> None:
    await market.learn_and_activate("Mixture", method="gaussian_mixture", features=SPEND, k=3)
    [membership] = (await market.get("/v1/customers/heavy-03/segments"))["memberships"]
    assert 0.5 < membership["confidence"] <= 1
    assert membership["reason"]["because"]


@pytest.mark.parametrize("params", [{}, {"eps": 0.6, "min_samples": 4}])
async def test_who_lies_in_no_dense_region_is_unassigned_and_counted(market: Modelling, params: dict[str, Any]) -> None:
    lonely = [
        transaction(f"lonely-{n}", customer_id="lonely", occurred_at="2026-03-05T10:00:00Z", amount="900")
        for n in range(40)
    ]
    await market.service.push(*lonely)
    segmentation_id = await market.learn_and_activate("Dense", method="dbscan", features=SPEND, params=params)
    found = await groups(market, segmentation_id)
    assert "lonely" in found["unassigned"]
    assert sum(map(len, found.values())) == 3 * EACH + 1
    [membership] = (await market.get("/v1/customers/lonely/segments"))["memberships"]
    assert membership["reason"] == {"because": "in no dense region"}
    shown = await market.get(f"/v1/segmentations/{segmentation_id}")
    assert [each["name"] for each in shown["segments"] if each["key"] == "unassigned"] == ["Unassigned"]


async def test_a_tree_learns_labels_and_tells_them_of_everybody(market: Modelling) -> None:
    await market.service.push(transaction("new", customer_id="new", occurred_at="2026-10-05T10:00:00Z", amount="210"))
    await market.drain()
    label = {"label": "attributes.plan"}
    segmentation_id = await market.learn_and_activate("Tree", method="decision_tree", features=SPEND, params=label)
    found = await market.get(f"/v1/segmentations/{segmentation_id}")
    assert [(each["key"], each["name"]) for each in found["segments"]] == [
        ("basic", "basic"),
        ("gold", "gold"),
        ("silver", "silver"),
    ]
    assert found["features"] == SPEND
    assert found["evaluation"]["accuracy"] == 1
    assert found["evaluation"]["reasons"]["silhouette"] == "labels_were_given"
    members = await groups(market, segmentation_id)
    assert set(customer_ids("heavy")) <= set(members["gold"])
    # Nobody said of what plan the newcomer is: the tree does.
    assert sum("new" in each for each in members.values()) == 1
    [membership] = (await market.get("/v1/customers/heavy-00/segments"))["memberships"]
    assert membership["reason"]["because"]


async def test_attributes_are_features_of_their_type(market: Modelling) -> None:
    names = ["attributes.age", "attributes.plan"]
    segmentation_id = await market.learn_and_activate("People", method="kmeans", features=names, k=3)
    found = await groups(market, segmentation_id)
    assert sorted(found.values()) == sorted(customer_ids(kind) for kind in KINDS)
    await market.client.post("/v1/customers", json={"customers": [{"customer_id": "nobody knows"}]})
    await market.drain()
    assert await market.keys_of("nobody knows") == []


async def test_the_same_seed_gives_the_same_model_to_the_byte(market: Modelling) -> None:
    for name in ("one", "two"):
        await market.learn(name, "kmeans", features=SPEND, k=3, seed=7)
    async with market.state.database.read() as session:
        contents = list(await session.scalars(select(models.c.content)))
    assert len(contents) == 2
    assert contents[0] == contents[1]


async def test_a_few_whales_do_not_make_a_segment_of_their_own(market: Modelling) -> None:
    whale = transaction("whale", customer_id="heavy-00", occurred_at="2026-10-05T10:00:00Z", amount="90000000.00")
    await market.service.push(whale)
    segmentation_id = await market.learn("Whale", "kmeans", features=["purchase_count", "total_spend"], k="auto")
    found = await market.get(f"/v1/segmentations/{segmentation_id}")
    assert found["evaluation"]["sizes_ok"] is True
    assert min(each["size"] for each in found["segments"]) > 1


@pytest.mark.parametrize(
    ("asked", "code", "pointer"),
    [
        ({"method": "kmeans", "features": ["total_spend", "shoe_size"]}, "unknown_feature", "/features/1"),
        ({"method": "kmeans", "features": []}, "invalid_input", "/features"),
        ({"method": "kmeans", "k": 0}, "invalid_input", "/k"),
        ({"method": "kmeans", "k": 101}, "invalid_input", "/k"),
        ({"method": "kmeans", "k": "many"}, "invalid_input", "/k"),
        ({"method": "kmeans", "k_range": [5, 2]}, "invalid_input", "/k_range"),
        ({"method": "kmeans", "params": {"colour": 1}}, "invalid_input", "/params/colour"),
        ({"method": "kmeans", "params": {"pca": -1}}, "invalid_input", "/params/pca"),
        ({"method": "dbscan", "k": 3}, "invalid_input", "/k"),
        ({"method": "dbscan", "params": {"eps": 1, "min_cluster_size": 5}}, "invalid_input", "/params/eps"),
        ({"method": "decision_tree"}, "invalid_input", "/params/label"),
        ({"method": "decision_tree", "params": {"label": 5}}, "invalid_input", "/params/label"),
        ({"method": "decision_tree", "params": {"label": "shoe_size"}}, "unknown_feature", "/params/label"),
        ({"method": "kmeans", "params": {"label": "attributes.plan"}}, "invalid_input", "/params/label"),
        ({"method": "rules"}, "invalid_input", "/rules"),
        ({"method": "rules", "rules": []}, "invalid_input", "/rules"),
        ({"method": "kmeans", "rules": [{}]}, "invalid_input", "/rules"),
        ({"method": "kmeans", "seed": -1}, "invalid_input", "/seed"),
    ],
)
async def test_what_cannot_be_learned_is_refused_where_it_stands(
    modelling: Modelling, asked: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await modelling.client.post("/v1/segmentations", json={"name": "S", **asked})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert (await modelling.get("/v1/segmentations"))["data"] == []


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"method": "kmeans", "features": ["total_spend"], "k": 30}, "too_few_customers", "30 segments need"),
        ({"method": "kmeans", "features": ["mean_csat"]}, "too_few_customers", "something is known of 0"),
        ({"method": "kmeans", "features": ["refund_share"]}, "too_few_customers", "refund_share is the same"),
        ({"method": "kmeans", "features": ["attributes.country"]}, "too_few_customers", "country is the same"),
        ({"method": "kmeans", "features": ["attributes.shoe"]}, "unknown_feature", "attributes.shoe"),
        ({"method": "dbscan", "features": SPEND, "params": {"eps": 1e-9, "min_samples": 50}}, "invalid_input", "dense"),
        (
            {"method": "decision_tree", "params": {"label": "attributes.country"}},
            "invalid_input",
            "country has 1 values",
        ),
        ({"method": "decision_tree", "params": {"label": "attributes.shoe"}}, "unknown_feature", "attributes.shoe"),
        (
            {"method": "decision_tree", "features": ["attributes.plan"], "params": {"label": "attributes.plan"}},
            "invalid_input",
            "at least one feature",
        ),
    ],
)
async def test_what_the_data_do_not_allow_fails_saying_why(
    market: Modelling, asked: dict[str, Any], code: str, said: str
) -> None:
    error = await failure(market, **asked)
    assert (error["code"], said in error["detail"]) == (code, True), error


@pytest.mark.parametrize("method", ["kmeans", "gaussian_mixture", "hierarchical", "dbscan"])
@pytest.mark.parametrize("customers", [0, 1])
async def test_one_customer_makes_no_segments(modelling: Modelling, method: str, customers: int) -> None:
    for number in range(customers):
        await modelling.service.push(transaction(f"T-{number}"))
    error = await failure(modelling, method=method)
    assert (error["code"], "at least two" in error["detail"]) == ("too_few_customers", True)


async def test_revenue_of_nothing_at_all_is_said(modelling: Modelling) -> None:
    rows = [transaction(f"T-{number}", customer_id=f"C-{number}", amount="0") for number in range(6)]
    await modelling.service.push(*rows)
    for method in ("kmeans", "rfm"):
        assert (await failure(modelling, method=method))["code"] == "too_few_customers"
    # By what is not money the same customers can be told apart, and nobody's share of nothing is a number.
    people = [{"customer_id": f"C-{n}", "attributes": {"age": 20 + 30 * (n % 2) + n}} for n in range(6)]
    await modelling.client.post("/v1/customers", json={"customers": people})
    segmentation_id = await modelling.learn_and_activate("Age", method="kmeans", features=["attributes.age"], k=2)
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    assert [(each["size"], each["revenue_share"]) for each in found["segments"]] == [(3, None), (3, None)]


async def test_a_constant_feature_beside_others_is_left_out_with_a_word(market: Modelling) -> None:
    names = ["total_spend", "attributes.country", "mean_csat"]
    segmentation_id = await market.learn_and_activate("Some", method="kmeans", features=names, k=3)
    warnings = (await market.get(f"/v1/segmentations/{segmentation_id}"))["evaluation"]["warnings"]
    codes = {each["code"] for each in warnings}
    assert {"constant_feature", "all_missing"} <= codes
    assert len(await groups(market, segmentation_id)) == 3


def rule(key: str, when: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"key": key, "name": key.upper(), "when": when, **more}


def bought(at_least: int) -> dict[str, Any]:
    return {"feature": "purchase_count", "op": ">=", "value": at_least}


def member_of(segmentation_id: str, key: str) -> dict[str, Any]:
    return {"segment": {"segmentation_id": segmentation_id, "key": key}}


async def test_rules_place_by_the_first_that_holds_and_by_hand_before_all(market: Modelling) -> None:
    rules = [
        rule("often", bought(9), include=["light-00"], exclude=["heavy-00"]),
        rule("some", bought(4), description="now and then"),
    ]
    segmentation_id = await market.learn_and_activate("Rules", method="rules", rules=rules)
    found = await market.get(f"/v1/segmentations/{segmentation_id}")
    assert [(each["key"], each["name"]) for each in found["segments"]] == [("often", "OFTEN"), ("some", "SOME")]
    assert found["segments"][1]["persona"]["meaning"] == "now and then"
    assert found["segments"][0]["persona"]["meaning"] == "purchase_count >= 9"
    assert await groups(market, segmentation_id) == {
        "often": sorted([*customer_ids("heavy")[1:], "light-00"]),
        "some": sorted(["heavy-00", *customer_ids("middle")]),
    }
    [by_hand] = (await market.get("/v1/customers/light-00/segments"))["memberships"]
    assert by_hand["reason"] == {"rule": "often", "because": "included by hand"}
    assert await market.keys_of("light-01") == []


async def test_who_is_decided_about_has_to_be_known(market: Modelling) -> None:
    asked = {"name": "S", "method": "rules", "rules": [rule("a", bought(1), include=["heavy-00", "nobody"])]}
    answer = await market.client.post("/v1/segmentations", json=asked)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/rules/0/include/1")


async def test_a_rule_of_ten_thousand_nodes_is_refused_at_once(modelling: Modelling) -> None:
    wide = {"any": [bought(n) for n in range(10_000)]}
    deep: dict[str, Any] = bought(1)
    for _ in range(25):
        deep = {"not": deep}
    for when, code in ((wide, "too_many_conditions"), (deep, "too_deep")):
        asked = {"name": "S", "method": "rules", "rules": [rule("a", when)]}
        answer = await modelling.client.post("/v1/segmentations", json=asked)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
        assert answer.json()["errors"][0]["pointer"].startswith("/rules")


async def test_a_segment_of_segments_follows_the_other_segmentation_at_once(market: Modelling) -> None:
    other = await market.learn_and_activate("Often", method="rules", rules=[rule("often", bought(9))])
    asks = [rule("follows", member_of(other, "often")), rule("others", {"not": member_of(other, "often")})]
    segmentation_id = await market.learn_and_activate("Follows", method="rules", rules=asks)
    assert (await groups(market, segmentation_id))["follows"] == customer_ids("heavy")
    rows = [
        transaction(f"more-{n}", customer_id="light-00", occurred_at="2026-10-05T10:00:00Z", amount="1")
        for n in range(9)
    ]
    await market.service.push(*rows)
    await market.drain()
    assert sorted(await market.keys_of("light-00")) == ["follows", "often"]
    # Where the other is retired nobody is a member of it any more.
    market.service.clock.advance(timedelta(hours=1))
    await market.start(other, "archive")
    await market.drain()
    assert await market.keys_of("light-00") == ["others"]
    assert "follows" not in await groups(market, segmentation_id)
    await market.start(other, "activate")
    await market.drain()
    assert (await groups(market, segmentation_id))["follows"] == [*customer_ids("heavy"), "light-00"]


async def test_segments_that_are_defined_by_each_other_cannot_be_active_together(market: Modelling) -> None:
    one = await market.learn_and_activate("One", method="rules", rules=[rule("a", bought(9))])
    two = await market.learn_and_activate("Two", method="rules", rules=[rule("b", member_of(one, "a"))])
    answer = await market.client.post(
        f"/v1/segmentations/{one}/refit", json={"rules": [rule("a", member_of(two, "b"))]}
    )
    assert (await market.result(answer))["version"] == 2
    job = await market.finish(await market.client.post(f"/v1/segmentations/{one}/activate"))
    assert (job["status"], job["error"]["errors"][0]["code"]) == ("failed", "segment_cycle")
    assert (await market.get(f"/v1/segmentations/{one}"))["version"] == 1
    assert sorted(await market.keys_of("heavy-00")) == ["a", "b"]
    unknown = await market.client.post(
        "/v1/segmentations", json={"name": "S", "method": "rules", "rules": [rule("c", member_of(one, "zz"))]}
    )
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (422, "unknown_segment")


async def test_an_attribute_may_be_a_number_here_and_a_word_there(modelling: Modelling) -> None:
    """Two segmentations that read it differently are evaluated apart, and yet before those that ask about them."""

    async def say(size: str) -> None:
        people = [{"customer_id": "C-1", "attributes": {"size": size}}]
        assert (await modelling.client.post("/v1/customers", json={"customers": people})).status_code == 200
        await modelling.drain()

    def compared(op: str, value: Any) -> dict[str, Any]:
        return {"feature": "attributes.size", "op": op, "value": value}

    await say("15")
    ids: list[str] = []
    for name, when in (("number", compared(">", 10)), ("word", compared("=", "15"))):
        ids.append(await modelling.learn_and_activate(name, method="rules", rules=[rule(name, when)]))
    for each in tuple(ids):
        asks = [rule(f"asks_{len(ids)}", member_of(each, ["number", "word"][ids.index(each)]))]
        ids.append(await modelling.learn_and_activate(f"asks {each}", method="rules", rules=asks))
    everything = ["asks_2", "asks_3", "number", "word"]
    assert sorted(await modelling.keys_of("C-1")) == everything
    modelling.service.clock.advance(timedelta(hours=1))
    await say("16")
    assert sorted(await modelling.keys_of("C-1")) == ["asks_2", "number"]
    modelling.service.clock.advance(timedelta(hours=1))
    await say("15")
    assert sorted(await modelling.keys_of("C-1")) == everything
    modelling.service.clock.advance(timedelta(hours=1))
    await say("large")
    assert await modelling.keys_of("C-1") == []
