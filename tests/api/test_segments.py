"""Segmentations and memberships over HTTP."""

from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.modelling.segments.definitions import RFM_CELLS, RFM_SEGMENTS, rfm_segment
from app.modelling.segments.schemas import SegmentationOut
from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import CUSTOMERS, shop

pytestmark = pytest.mark.anyio

SCORES = range(1, 6)


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


@pytest.fixture
async def active(modelling: Modelling) -> str:
    """An active segmentation of the shop."""
    await modelling.service.push(*shop())
    return await modelling.learn_and_activate()


async def champions_of(modelling: Modelling, segmentation_id: str) -> str:
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    return next(str(each["segment_id"]) for each in found["segments"] if each["key"] == "champions")


async def sizes(modelling: Modelling, segmentation_id: str) -> dict[str, int]:
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    return {each["key"]: each["size"] for each in found["segments"]}


def test_every_cell_has_one_segment_and_every_segment_has_a_cell() -> None:
    assert sorted(RFM_CELLS) == sorted(product(SCORES, SCORES))
    assert set(RFM_CELLS.values()) == {segment.key for segment in RFM_SEGMENTS}
    assert len({segment.key for segment in RFM_SEGMENTS}) == len(RFM_SEGMENTS) == 11


def test_the_page_shows_the_cells() -> None:
    page = (Path(__file__).parents[2] / "docs" / "segments.md").read_text()
    names = {segment.key: segment.name for segment in RFM_SEGMENTS}
    for recency in SCORES:
        cells = " | ".join(names[RFM_CELLS[recency, value]] for value in SCORES)
        assert f"| **{recency}** | {cells} |" in page
    for segment in RFM_SEGMENTS:
        assert f"| `{segment.key}` | {segment.name} | {segment.meaning} |" in page


def test_frequency_and_monetary_count_as_their_mean_rounded_half_up() -> None:
    for recency, frequency, monetary in product(SCORES, SCORES, SCORES):
        mean = (frequency + monetary) / 2
        half_up = int(mean + 0.5)
        found = rfm_segment(recency=recency, frequency=frequency, monetary=monetary)
        assert found == RFM_CELLS[recency, half_up]
    assert rfm_segment(recency=5, frequency=5, monetary=5) == "champions"
    assert rfm_segment(recency=1, frequency=1, monetary=1) == "lost"


async def test_a_learned_segmentation_is_a_candidate_with_the_sizes_of_its_training(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn("RFM")
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    assert set(found) == set(SegmentationOut.model_fields)
    assert (found["name"], found["method"], found["version"], found["status"]) == ("RFM", "rfm", 1, "candidate")
    assert found["as_of"] == "2026-11-01T12:00:00Z"
    assert found["features"] == ["days_since_last_purchase", "purchase_count", "total_spend"]
    # Counts 1, 1, 2, 2, ... 12, 12, 13: their quintiles by linear interpolation, h = 24 q.
    assert found["params"]["edges"]["purchase_count"] == [3.0, 5.6, 8.0, 10.2]
    assert [each["key"] for each in found["segments"]] == [segment.key for segment in RFM_SEGMENTS]
    assert sum(each["size"] for each in found["segments"]) == CUSTOMERS
    assert sum(each["share"] for each in found["segments"]) == pytest.approx(1)
    assert sum(each["revenue_share"] for each in found["segments"]) == pytest.approx(1)
    champions = found["segments"][0]
    assert champions["persona"]["name"] == "Champions"
    assert champions["persona"]["meaning"] == "bought recently, often and for much"
    assert champions["persona"]["description"].startswith("10 of 25 customers (40.0%)")
    assert set(champions["masda"]) == {"measurable", "accessible", "substantial", "differentiable", "actionable"}
    assert champions["masda"]["substantial"]["value"] == pytest.approx(champions["revenue_share"])
    assert champions["masda"]["actionable"]["reason"] == "no_campaigns"
    assert champions["persona"]["drivers"]
    assert found["evaluation"]["silhouette"] is None
    assert found["evaluation"]["reasons"]["silhouette"] == "not_applicable"
    assert found["evaluation"]["sizes_ok"] is False
    assert await modelling.keys_of("C-24") == []


async def test_segmentations_are_listed_newest_first(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    for name in ("one", "two", "three"):
        await modelling.learn(name)
    first = await modelling.get("/v1/segmentations", limit=2)
    second = await modelling.get("/v1/segmentations", limit=2, cursor=first["next_cursor"])
    assert [each["name"] for each in (*first["data"], *second["data"])] == ["three", "two", "one"]
    assert second["next_cursor"] is None
    assert first["data"][0] == await modelling.get(f"/v1/segmentations/{first['data'][0]['segmentation_id']}")


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"colour": "red"}, "/colour"),
        ({"method": "astrology"}, "/method"),
        ({"name": ""}, "/name"),
        ({"as_of": "2026-10-01T00:00:00"}, "/as_of"),
        ({"as_of": 1_700_000_000}, "/as_of"),
        ({"as_of": "2026-11-01T12:00:01Z"}, "/as_of"),
        ({"k": 5}, "/k"),
        ({"k_range": [2, 8]}, "/k_range"),
        ({"rules": [{}]}, "/rules"),
        ({"params": {"scores": 5}}, "/params"),
        ({"features": ["purchase_count"]}, "/features"),
        ({"features": ["total_spend", "shoe_size"]}, "/features"),
        ({"min_segment_share": 1.5}, "/min_segment_share"),
    ],
)
async def test_what_a_method_cannot_use_is_refused_where_it_stands(
    modelling: Modelling, asked: dict[str, Any], pointer: str
) -> None:
    answer = await modelling.client.post("/v1/segmentations", json={"name": "S", "method": "rfm", **asked})
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_a_name_is_taken_from_the_moment_it_is_asked_for(modelling: Modelling) -> None:
    asked = {"name": "RFM", "method": "rfm"}
    first = await modelling.client.post("/v1/segmentations", json=asked)
    again = await modelling.client.post("/v1/segmentations", json=asked)
    assert (first.status_code, again.status_code, again.json()["errors"][0]["code"]) == (202, 409, "name_taken")


async def test_learning_from_nobody_fails_and_frees_the_name(modelling: Modelling) -> None:
    asked = {"name": "RFM", "method": "rfm"}
    job = await modelling.finish(await modelling.client.post("/v1/segmentations", json=asked))
    assert (job["status"], job["error"]["code"]) == ("failed", "too_few_customers")
    assert (await modelling.get("/v1/segmentations"))["data"] == []
    await modelling.service.push(transaction())
    assert await modelling.learn("RFM")


async def test_learning_without_a_needed_rate_fails_naming_it(modelling: Modelling) -> None:
    await modelling.service.push(*shop(), transaction("T-X", currency="USD"))
    answer = await modelling.client.post("/v1/segmentations", json={"name": "RFM", "method": "rfm"})
    job = await modelling.finish(answer)
    assert (job["status"], job["error"]["code"]) == ("failed", "missing_exchange_rates")
    assert "1 amounts in USD, the first on 2026-10-01" in job["error"]["detail"]


async def test_one_customer_is_enough_and_is_in_one_segment(modelling: Modelling) -> None:
    await modelling.service.push(transaction())
    segmentation_id = await modelling.learn_and_activate()
    assert sum((await sizes(modelling, segmentation_id)).values()) == len(await modelling.keys_of("C-1")) == 1


async def test_revenue_of_nothing_has_no_shares(modelling: Modelling) -> None:
    await modelling.service.push(transaction(amount="0.01"), transaction("T-2", kind="refund", amount="5"))
    await modelling.service.push(transaction("T-3", customer_id="C-2", amount="0"))
    segmentation_id = await modelling.learn_and_activate()
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    # C-2 bought nothing for money and is in no segment.
    assert sum(each["size"] for each in found["segments"]) == 1
    await modelling.start(segmentation_id, "archive")
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    assert {each["share"] for each in found["segments"]} == {None}


async def test_the_same_idempotency_key_learns_once(modelling: Modelling) -> None:
    asked, headers = {"name": "RFM", "method": "rfm"}, {"Idempotency-Key": "once"}
    first = await modelling.client.post("/v1/segmentations", json=asked, headers=headers)
    again = await modelling.client.post("/v1/segmentations", json=asked, headers=headers)
    assert (first.json(), first.headers["location"]) == (again.json(), again.headers["location"])
    other = await modelling.client.post("/v1/segmentations", json={**asked, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_segmentation_that_is_still_learning_cannot_be_found_or_used(modelling: Modelling) -> None:
    answer = await modelling.client.post("/v1/segmentations", json={"name": "RFM", "method": "rfm"})
    path = f"/v1/segmentations/{answer.json()['segmentation_id']}"
    assert (await modelling.client.get(path)).status_code == 404
    for work in ("activate", "archive", "refresh"):
        refused = await modelling.client.post(f"{path}/{work}")
        assert (refused.status_code, refused.json()["code"]) == (404, "segmentation_not_found")


async def test_only_an_active_segmentation_can_be_refreshed(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn()
    answer = await modelling.client.post(f"/v1/segmentations/{segmentation_id}/refresh")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")


async def test_after_activation_size_is_list_is_look_up(modelling: Modelling, active: str) -> None:
    found = await modelling.get(f"/v1/segmentations/{active}")
    assert found["status"] == "active"
    assert sum(each["size"] for each in found["segments"]) == CUSTOMERS
    for segment in found["segments"]:
        members = await modelling.members(segment["segment_id"])
        assert (len(members), members) == (segment["size"], sorted(members))
        assert (await modelling.get(f"/v1/segments/{segment['segment_id']}"))["size"] == len(members)
        for customer in members:
            assert await modelling.keys_of(customer) == [segment["key"]]


async def test_a_membership_says_of_what_since_when_and_why(modelling: Modelling, active: str) -> None:
    found = await modelling.get("/v1/customers/C-24/segments")
    assert (found["customer_id"], found["as_of"]) == ("C-24", "2026-11-01T12:00:00Z")
    [membership] = found["memberships"]
    assert membership.pop("segment_id")
    assert membership == {
        "segmentation_id": active,
        "segmentation": "RFM",
        "version": 1,
        "segment_key": "champions",
        "segment_name": "Champions",
        "since": "2026-11-01T12:00:00Z",
        "evaluated_at": "2026-11-01T12:00:00Z",
        "reason": {"recency_score": 5, "frequency_score": 5, "monetary_score": 5},
    }


async def test_a_first_activation_answers_from_as_of_on_and_not_before(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    await modelling.learn_and_activate(as_of="2026-10-15T00:00:00Z")
    assert await modelling.keys_of("C-24") == ["champions"]
    assert await modelling.keys_of("C-24", as_of="2026-10-15T00:00:00Z") == ["champions"]
    assert await modelling.keys_of("C-24", as_of="2026-10-14T23:59:59Z") == []
    found = await modelling.get("/v1/customers/C-24/segments", as_of="2026-10-20T00:00:00Z")
    assert found["as_of"] == "2026-10-20T00:00:00Z"
    assert found["memberships"][0]["since"] == "2026-10-15T00:00:00Z"


async def test_a_first_activation_evaluates_who_acted_since_as_of_again_soon(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    await modelling.service.push(
        *(
            transaction(f"N-{i}", customer_id="C-00", amount="90", occurred_at=f"2026-10-2{i}T10:00:00Z")
            for i in range(10)
        )
    )
    assert await modelling.drain() == CUSTOMERS
    await modelling.learn_and_activate(as_of="2026-10-15T00:00:00Z")
    assert await modelling.keys_of("C-00") == ["lost"]
    # Those whom time has moved since as_of are due, too.
    assert await modelling.drain() == CUSTOMERS
    assert await modelling.drain() == 0
    assert await modelling.keys_of("C-00") == ["champions"]
    assert await modelling.keys_of("C-00", as_of="2026-10-31T00:00:00Z") == ["lost"]


async def test_a_refresh_moves_whom_time_alone_has_moved(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(days=400))
    assert await modelling.keys_of("C-24") == ["champions"]
    assert (await modelling.start(active, "refresh"))["changed"] > 0
    [membership] = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert membership["segment_key"] == "cannot_lose_them"
    assert membership["since"] == membership["evaluated_at"] == "2027-12-06T12:00:00Z"
    # C-00 was lost before and is so still: nothing was written for it, and yet it was evaluated.
    [unmoved] = (await modelling.get("/v1/customers/C-00/segments"))["memberships"]
    assert (unmoved["since"], unmoved["evaluated_at"]) == ("2026-11-01T12:00:00Z", "2027-12-06T12:00:00Z")
    persona = (await modelling.get(f"/v1/segmentations/{active}"))["segments"][0]["persona"]
    assert persona["as_of"] == "2027-12-06T12:00:00Z"


async def test_the_history_of_a_customer_is_newest_first_without_gap_or_overlap(
    modelling: Modelling, active: str
) -> None:
    for days in (60, 60, 280):
        modelling.service.clock.advance(timedelta(days=days))
        await modelling.start(active, "refresh")
    path = "/v1/customers/C-24/segments/history"
    first = await modelling.get(path, limit=2)
    second = await modelling.get(path, limit=2, cursor=first["next_cursor"])
    found = [*first["data"], *second["data"]]
    assert found[0]["valid_to"] is None
    assert found[-1]["valid_from"] == "2026-11-01T12:00:00Z"
    assert [each["valid_to"] for each in found[1:]] == [each["valid_from"] for each in found[:-1]]
    # After 60 days the recency score falls from 5 to 4, which is another reason for the same segment; then to 3, to 1.
    assert [(each["segment_key"], each["reason"]["recency_score"]) for each in found] == [
        ("cannot_lose_them", 1),
        ("loyal_customers", 3),
        ("champions", 4),
        ("champions", 5),
    ]
    assert [each["since"] == each["valid_from"] for each in found] == [True, True, False, True]
    assert found[2]["since"] == found[3]["since"]


async def test_archiving_ends_memberships_and_keeps_history(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(days=1))
    result = await modelling.start(active, "archive")
    assert result["left"] == CUSTOMERS
    found = await modelling.get(f"/v1/segmentations/{active}")
    assert (found["status"], {each["size"] for each in found["segments"]}) == ("archived", {0})
    assert await modelling.keys_of("C-24") == []
    assert await modelling.keys_of("C-24", as_of="2026-11-02T00:00:00Z") == ["champions"]
    modelling.service.clock.advance(timedelta(hours=1))
    await modelling.start(active, "activate")
    [membership] = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert (membership["segment_key"], membership["since"]) == ("champions", "2026-11-02T13:00:00Z")


async def test_activating_twice_changes_nothing(modelling: Modelling, active: str) -> None:
    modelling.service.clock.advance(timedelta(days=1))
    result = await modelling.start(active, "activate")
    assert (result["entered"], result["left"]) == (0, 0)
    assert len((await modelling.get("/v1/customers/C-24/segments/history"))["data"]) == 1


async def test_what_has_not_changed_is_not_sent_again(modelling: Modelling, active: str) -> None:
    for path in (f"/v1/segmentations/{active}", f"/v1/segments/{await champions_of(modelling, active)}"):
        tag = (await modelling.client.get(path)).headers["etag"]
        assert (await modelling.client.get(path, headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize("path", ["/v1/segmentations/{}", "/v1/segments/{}", "/v1/segments/{}/members"])
async def test_what_does_not_exist_is_not_found(modelling: Modelling, path: str) -> None:
    for params in ({}, {"format": "csv"}):
        assert (await modelling.client.get(path.format(uuid4()), params=params)).status_code == 404


async def test_two_segmentations_are_kept_apart(modelling: Modelling, active: str) -> None:
    other = await modelling.learn_and_activate("Earlier", as_of="2026-06-01T00:00:00Z")
    memberships = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert [each["segmentation"] for each in memberships] == ["RFM"]
    memberships = (await modelling.get("/v1/customers/C-05/segments"))["memberships"]
    assert [each["segmentation"] for each in memberships] == ["Earlier", "RFM"]
    assert sum((await sizes(modelling, other)).values()) < sum((await sizes(modelling, active)).values())
