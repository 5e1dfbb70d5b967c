"""Memberships handed out: one customer, many, a whole segment as pages, lines and a table."""

import csv
import io
import json
from datetime import timedelta
from urllib.parse import quote

import anyio
import pytest
from sqlalchemy import text

from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import CUSTOMERS, shop

pytestmark = pytest.mark.anyio


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


@pytest.fixture
async def active(modelling: Modelling) -> str:
    """An active segmentation of the shop."""
    await modelling.service.push(*shop())
    return await modelling.learn_and_activate()


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
