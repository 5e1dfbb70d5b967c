"""Segmentations and memberships over HTTP."""

import csv
import io
import json
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import anyio
import pytest
from sqlalchemy import text

from app.modelling.segments.definitions import RFM_CELLS, RFM_SEGMENTS, rfm_segment
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
    fields = "segmentation_id name method version status trained_at as_of features params evaluation segments"
    assert list(found) == fields.split()
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
    assert champions["persona"]["description"].startswith(
        "Champions: bought recently, often and for much. 10 customers"
    )
    assert champions["masda"]["reason"] == "not_computed"
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


@pytest.mark.parametrize("method", ["kmeans", "gaussian_mixture", "hierarchical", "dbscan", "rules"])
async def test_a_method_of_the_contract_that_is_not_there_yet_says_what_is(modelling: Modelling, method: str) -> None:
    answer = await modelling.client.post("/v1/segmentations", json={"name": "S", "method": method})
    assert (answer.status_code, answer.json()["code"]) == (422, "method_not_available")
    assert "available: rfm" in answer.json()["detail"]


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
        ({"features": ["total_spend", "shoe_size"]}, "/features/1"),
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
    assert await modelling.drain() == 1
    assert await modelling.keys_of("C-00") == ["champions"]
    assert await modelling.keys_of("C-00", as_of="2026-10-31T00:00:00Z") == ["lost"]


async def test_a_known_customer_in_no_segment_has_none_and_a_stranger_is_not_found(
    modelling: Modelling, active: str
) -> None:
    await modelling.client.post("/v1/customers", json={"customers": [{"customer_id": "C-X"}]})
    assert (await modelling.get("/v1/customers/C-X/segments"))["memberships"] == []
    for stranger in ("nobody", "nobody?as_of=2026-10-01T00:00:00Z", "with%00nul"):
        answer = await modelling.client.get(
            f"/v1/customers/{stranger.replace('?', '/segments?')}" + ("" if "?" in stranger else "/segments")
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")
    long = await modelling.client.get(f"/v1/customers/{'x' * 256}/segments")
    assert long.status_code == 422


async def test_a_merged_identifier_answers_the_survivor(modelling: Modelling, active: str) -> None:
    await modelling.client.post("/v1/customers/merge", json={"from": "C-24", "into": "C-00"})
    await modelling.drain()
    found = await modelling.get("/v1/customers/C-24/segments")
    assert (found["customer_id"], found["memberships"][0]["segment_key"]) == ("C-00", "champions")
    # Where many are asked for, each answer carries the identifier it was asked by.
    looked_up = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": ["C-24", "C-00"]})
    assert [each["customer_id"] for each in looked_up.json()["data"]] == ["C-24", "C-00"]
    assert {each["memberships"][0]["segment_key"] for each in looked_up.json()["data"]} == {"champions"}


async def test_a_look_up_answers_in_the_order_asked_each_once(modelling: Modelling, active: str) -> None:
    asked = ["C-03", "nobody", "C-24", "C-03", "C-00", "", "with\ttab"]
    answer = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": asked})
    assert answer.status_code == 200
    found = answer.json()
    assert [each["customer_id"] for each in found["data"]] == ["C-03", "C-24", "C-00"]
    assert found["unknown"] == ["nobody", "", "with\ttab"]
    for each in found["data"]:
        single = await modelling.get(f"/v1/customers/{each['customer_id']}/segments")
        assert each["memberships"] == single["memberships"]


async def test_identifiers_may_be_made_of_any_letters(modelling: Modelling) -> None:
    names = ['say "x"', r"back\slash", "{a,b}", "a,b", "line\nbreak", "null", "NULL", " ", "ünï/cødé", "日本"]
    await modelling.service.push(*(transaction(f"T-{i}", customer_id=name) for i, name in enumerate(names)))
    await modelling.learn_and_activate()
    answer = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": names})
    assert [each["customer_id"] for each in answer.json()["data"]] == names
    for name in names:
        found = await modelling.get(f"/v1/customers/{quote(name, safe='')}/segments")
        assert (found["customer_id"], len(found["memberships"])) == (name, 1)


async def test_a_look_up_takes_ten_thousand_and_no_more(modelling: Modelling) -> None:
    many = [f"C-{i}" for i in range(10_001)]
    at_most = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": many[:-1]})
    assert (at_most.status_code, len(at_most.json()["unknown"])) == (200, 10_000)
    refused = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": many})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/customer_ids")


async def test_look_ups_at_the_same_time_get_each_their_own_answer(modelling: Modelling, active: str) -> None:
    found: dict[str, list[str]] = {}

    async def look_up(customer: str) -> None:
        found[customer] = await modelling.keys_of(customer)

    customers = [f"C-{i:02}" for i in range(CUSTOMERS)]
    async with anyio.create_task_group() as group:
        for customer in customers:
            group.start_soon(look_up, customer)
    assert found == {customer: await modelling.keys_of(customer) for customer in customers}


async def test_a_look_up_outlives_the_loss_of_its_connection(modelling: Modelling, active: str) -> None:
    for _ in range(2):  # the first look-up reads the names of segments last
        assert await modelling.keys_of("C-24") == ["champions"]
    async with modelling.state.database.write() as session:
        ended = await session.execute(
            text(
                """select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid() and query like '%asked.customer_id%'"""
            )
        )
        assert list(ended.scalars()) == [True]
    assert await modelling.keys_of("C-24") == ["champions"]


async def champions_of(modelling: Modelling, segmentation_id: str) -> str:
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    return next(str(each["segment_id"]) for each in found["segments"] if each["key"] == "champions")


async def test_members_are_the_same_as_pages_as_lines_and_as_a_table(modelling: Modelling, active: str) -> None:
    champions = await champions_of(modelling, active)
    path = f"/v1/segments/{champions}/members"
    first = await modelling.get(path, limit=4)
    rest = await modelling.get(path, cursor=first["next_cursor"])
    pages = [*first["data"], *rest["data"]]
    lines = await modelling.client.get(path, params={"format": "ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == pages
    table = await modelling.client.get(path, params={"format": "csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["customer_id"] for row in rows] == [each["customer_id"] for each in pages]
    assert [json.loads(row["reason"]) for row in rows] == [each["reason"] for each in pages]
    assert len(pages) == 10


async def test_a_cell_never_begins_like_a_formula(modelling: Modelling) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", 'quote"comma,', "'=already"]
    await modelling.service.push(*(transaction(f"T-{i}", customer_id=name) for i, name in enumerate(names)))
    segmentation_id = await modelling.learn_and_activate()
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    [segment] = [each for each in found["segments"] if each["size"]]
    table = await modelling.client.get(f"/v1/segments/{segment['segment_id']}/members", params={"format": "csv"})
    cells = [row["customer_id"] for row in csv.DictReader(io.StringIO(table.text, newline=""))]
    assert sorted(cells) == sorted(
        ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "plain", 'quote"comma,', "'=already"]
    )


async def test_members_of_a_past_instant_are_those_of_then(modelling: Modelling, active: str) -> None:
    champions = await champions_of(modelling, active)
    before = await modelling.members(champions)
    modelling.service.clock.advance(timedelta(days=400))
    await modelling.start(active, "refresh")
    assert await modelling.members(champions) == []
    assert await modelling.members(champions, as_of="2026-11-02T00:00:00Z") == before
    lines = await modelling.client.get(
        f"/v1/segments/{champions}/members", params={"as_of": "2026-11-02T00:00:00Z", "format": "ndjson"}
    )
    assert [json.loads(line)["customer_id"] for line in lines.text.splitlines()] == before
    cursor = (await modelling.get(f"/v1/segments/{champions}/members", as_of="2026-11-02T00:00:00Z", limit=1))[
        "next_cursor"
    ]
    other = await modelling.client.get(f"/v1/segments/{champions}/members", params={"cursor": cursor})
    assert (other.status_code, other.json()["code"]) == (422, "bad_cursor")


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
