"""Merging customers: one person from then on, whatever comes in under either name."""

import asyncio
from typing import Any

import pytest

from tests.api.test_privacy import erase, execute, fetch, push
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio


async def merge(service: Service, source: str, target: str) -> dict[str, Any]:
    answer = await service.client.post("/v1/customers/merge", json={"from": source, "into": target})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def get(service: Service, customer_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.client.get(f"/v1/customers/{customer_id}")).json()
    return found


async def test_a_merge_moves_facts_and_says_what_it_moved(service: Service) -> None:
    await service.push(
        transaction("T-1", customer_id="a"), transaction("T-2", customer_id="a"), transaction("T-3", customer_id="b")
    )
    for each in ("a", "b"):
        await execute(
            service,
            "insert into events (source, event_id, customer_id, type, occurred_at)"
            " values ('web', %s, %s, 'visit', now())",
            f"E-{each}",
            each,
        )
        await execute(
            service,
            "insert into memberships"
            " (segmentation_id, customer_id, segment_id, version, valid_from, since, evaluated_at)"
            " values ('00000000-0000-0000-0000-000000000001', %s, gen_random_uuid(), 1, now(), now(), now())",
            each,
        )
    assert await merge(service, "a", "b") == {
        "customer_id": "b",
        "merged_from": "a",
        "merged_at": "2026-11-01T12:00:00Z",
        "moved": {"transactions": 2, "events": 1, "segment_exceptions": 0},
        "removed": {"memberships": 1, "evaluations_due": 0, "churn_scores": 0, "clv_scores": 0},
    }
    for table in ("transactions", "events", "memberships", "customers"):
        assert await fetch(service, f"select distinct customer_id from {table}") == [("b",)]
    history = await service.client.get("/v1/customers/a/transactions")
    assert {row["transaction_id"] for row in history.json()["data"]} == {"T-1", "T-2", "T-3"}
    last = await fetch(service, "select customer_ids from dirty_customers order by batch_id desc limit 1")
    assert last == [(["b"],)]
    assert await fetch(service, "select 1 from dirty_customers where 'a' = any(customer_ids)") == []


async def test_the_merged_name_answers_the_survivor(service: Service) -> None:
    await push(service, "customers", {"customer_id": "a"}, {"customer_id": "b"})
    await merge(service, "a", "b")
    found = await get(service, "a")
    assert (found["customer_id"], found["merged_from"]) == ("b", "a")
    assert (await get(service, "b"))["merged_from"] is None
    assert [row["customer_id"] for row in (await service.client.get("/v1/customers")).json()["data"]] == ["b"]


async def test_attributes_of_the_survivor_win_and_dates_span_both(service: Service) -> None:
    await push(
        service,
        "customers",
        {
            "customer_id": "a",
            "attributes": {"city": "Rome", "plan": "plus"},
            "created_at": "2024-01-01T00:00:00Z",
            "updated_at": "2026-02-01T00:00:00Z",
        },
        {"customer_id": "b", "attributes": {"city": "Oslo"}, "created_at": "2025-01-01T00:00:00Z"},
    )
    await merge(service, "a", "b")
    found = await get(service, "b")
    assert found["attributes"] == {"city": "Oslo", "plan": "plus"}
    assert (found["created_at"], found["updated_at"]) == ("2024-01-01T00:00:00Z", "2026-02-01T00:00:00Z")


async def past(service: Service) -> list[tuple[Any, ...]]:
    return await fetch(
        service, "select customer_id, valid_from::text, valid_to::text, attributes from past_attributes order by 1, 2"
    )


async def since(service: Service) -> list[tuple[Any, ...]]:
    return await fetch(service, "select customer_id, attributes_since::text from customers order by 1")


async def test_the_survivor_s_past_attributes_stay_and_a_new_stretch_begins_with_the_merge(service: Service) -> None:
    for city, month in (("Rome", 1), ("Oslo", 3)):
        told = {"attributes": {"city": city}, "updated_at": f"2026-0{month}-01T00:00:00Z"}
        await push(service, "customers", {"customer_id": "b", **told})
        await push(service, "customers", {"customer_id": "a", **told, "attributes": {"city": "Bonn", "n": month}})
    await merge(service, "a", "b")
    assert await past(service) == [
        ("b", "2026-01-01 00:00:00+00", "2026-03-01 00:00:00+00", {"city": "Rome"}),
        # Until the merge nobody knew that n was theirs.
        ("b", "2026-03-01 00:00:00+00", "2026-11-01 12:00:00+00", {"city": "Oslo"}),
    ]
    assert await since(service) == [("b", "2026-11-01 12:00:00+00")]


async def test_a_survivor_without_attributes_takes_over_those_of_the_other_with_their_past(service: Service) -> None:
    await push(service, "customers", {"customer_id": "b"})
    for city, month in (("Rome", 1), ("Oslo", 3)):
        told = {"attributes": {"city": city}, "updated_at": f"2026-0{month}-01T00:00:00Z"}
        await push(service, "customers", {"customer_id": "a", **told})
    await merge(service, "a", "b")
    assert await past(service) == [("b", "2026-01-01 00:00:00+00", "2026-03-01 00:00:00+00", {"city": "Rome"})]
    assert await since(service) == [("b", "2026-03-01 00:00:00+00")]


async def test_a_merge_that_adds_no_attribute_begins_no_stretch(service: Service) -> None:
    told = {"attributes": {"city": "Rome"}, "updated_at": "2026-01-01T00:00:00Z"}
    await push(service, "customers", {"customer_id": "a", **told}, {"customer_id": "b", **told})
    await merge(service, "a", "b")
    assert (await past(service), await since(service)) == ([], [("b", "2026-01-01 00:00:00+00")])


async def test_decisions_by_hand_move_and_those_about_the_survivor_stand(service: Service) -> None:
    await push(service, "customers", {"customer_id": "a"}, {"customer_id": "b"})
    await execute(
        service,
        "with made as (insert into segmentations (name, method) values ('n', 'rules') returning segmentation_id)"
        " insert into segment_exceptions select segmentation_id, key, who, effect from made, (values"
        " ('x', 'a', 'include'), ('y', 'a', 'include'), ('y', 'b', 'exclude')) as given(key, who, effect)",
    )
    assert (await merge(service, "a", "b"))["moved"]["segment_exceptions"] == 1
    rows = await fetch(service, "select key, customer_id, effect from segment_exceptions order by 1")
    assert rows == [("x", "b", "include"), ("y", "b", "exclude")]


# The stricter of two consents, spelled out: false before unknown before true.
STRICTER = [
    (True, True, True),
    (True, None, None),
    (True, False, False),
    (None, None, None),
    (None, False, False),
    (False, False, False),
]


@pytest.mark.parametrize(("one", "other", "holds"), [*STRICTER, *((b, a, c) for a, b, c in STRICTER)])
async def test_the_stricter_consent_holds(service: Service, one: Any, other: Any, holds: Any) -> None:
    await push(
        service,
        "customers",
        {"customer_id": "a", "consent": {"marketing": one, "profiling": other}},
        {"customer_id": "b", "consent": {"marketing": other, "profiling": one}},
    )
    await merge(service, "a", "b")
    assert (await get(service, "b"))["consent"] == {"marketing": holds, "profiling": holds}


async def test_pushes_to_the_merged_name_go_to_the_survivor(service: Service) -> None:
    await push(service, "customers", {"customer_id": "a"}, {"customer_id": "b"})
    await service.push(transaction("T-1", customer_id="a"))
    await merge(service, "a", "b")
    answer = await push(
        service,
        "customers",
        {"customer_id": "a", "attributes": {"n": 1}},
        {"customer_id": "b", "attributes": {"n": 2}},
        {"customer_id": "a", "attributes": {"n": 3}},
        {"customer_id": "a", "attributes": {"n": 3}},
    )
    assert (answer["created"], answer["updated"], answer["duplicates"]) == (0, 3, 1)
    again = await service.push(transaction("T-1", customer_id="a"), transaction("T-2", customer_id="a"))
    assert (again["created"], again["duplicates"]) == (1, 1)
    assert (await get(service, "b"))["attributes"] == {"n": 3}
    assert await fetch(service, "select distinct customer_id from transactions") == [("b",)]
    assert await fetch(service, "select customer_id from customers") == [("b",)]


async def test_chains_are_followed_to_the_last_survivor(service: Service) -> None:
    await service.push(*[transaction(f"T-{each}", customer_id=each) for each in "abc"])
    await merge(service, "a", "b")
    assert (await merge(service, "b", "c"))["moved"]["transactions"] == 2
    assert (await get(service, "a"))["customer_id"] == "c"
    assert await fetch(service, "select alias, customer_id from customer_aliases order by 1") == [
        ("a", "c"),
        ("b", "c"),
    ]
    # What was asked first is still done, though the survivor goes by another name by now.
    assert (await merge(service, "a", "b"))["customer_id"] == "c"


async def test_the_same_merge_again_changes_nothing(service: Service) -> None:
    await service.push(transaction("T-1", customer_id="a"), transaction("T-2", customer_id="b"))
    first = await merge(service, "a", "b")
    queue = await fetch(service, "select count(*) from dirty_customers")
    again = await merge(service, "a", "b")
    nothing = {part: dict.fromkeys(first[part], 0) for part in ("moved", "removed")}
    assert again == {**first, **nothing}
    assert await fetch(service, "select count(*) from dirty_customers") == queue


@pytest.mark.parametrize(
    ("source", "target", "status", "code", "pointer"),
    [
        ("x", "x", 422, "invalid_input", "/into"),
        ("nobody", "x", 404, "customer_not_found", "/from"),
        ("x", "nobody", 404, "customer_not_found", "/into"),
        ("nobody", "none either", 404, "customer_not_found", "/from"),
        ("x", "merged", 409, "conflict", "/into"),
        ("survivor", "merged", 409, "conflict", "/into"),
        ("merged", "x", 409, "conflict", "/from"),
        ("erased", "x", 404, "customer_not_found", "/from"),
        ("x", "erased", 404, "customer_not_found", "/into"),
    ],
)
async def test_what_cannot_be_merged_is_refused_and_says_why(
    service: Service, source: str, target: str, status: int, code: str, pointer: str
) -> None:
    await push(service, "customers", *({"customer_id": each} for each in ("x", "merged", "survivor", "erased")))
    await merge(service, "merged", "survivor")
    await erase(service, "erased")
    before = await fetch(service, "select customer_id from customers order by 1")
    answer = await service.client.post("/v1/customers/merge", json={"from": source, "into": target})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert [each["pointer"] for each in problem["errors"]] == [pointer]
    assert await fetch(service, "select customer_id from customers order by 1") == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"from": "a"},
        {"from": "", "into": "b"},
        {"from": "a\x00", "into": "b"},
        {"from": 1, "into": "b"},
        {"from": "a", "into": "b" * 256},
        {"from": "a", "into": "b", "force": True},
        [],
        {"source": "a", "target": "b"},
    ],
)
async def test_unusable_bodies_are_refused(service: Service, body: Any) -> None:
    assert (await service.client.post("/v1/customers/merge", json=body)).status_code == 422


async def test_merging_while_rows_come_in_leaves_nothing_under_the_old_name(service: Service) -> None:
    async def push_some(batch: int) -> int:
        rows = [transaction(f"T-{batch}-{i}", customer_id="ab"[i % 2]) for i in range(30)]
        return int((await service.push(*rows))["created"])

    async def describe(batch: int) -> int:
        await push(service, "customers", {"customer_id": "a", "attributes": {f"n{batch}": 1}})
        return 0

    await service.push(transaction("Ta", customer_id="a"), transaction("Tb", customer_id="b"))
    await asyncio.gather(
        *(push_some(batch) for batch in range(3)),
        describe(1),
        merge(service, "a", "b"),
        describe(2),
        *(push_some(batch) for batch in range(3, 6)),
    )
    assert await fetch(service, "select customer_id, count(*) from transactions group by 1") == [("b", 182)]
    assert await fetch(service, "select customer_id, attributes from customers") == [("b", {"n1": 1, "n2": 1})]


async def test_merging_both_ways_at_once_ends_with_one_survivor(service: Service) -> None:
    await push(service, "customers", {"customer_id": "a"}, {"customer_id": "b"})
    answers = await asyncio.gather(
        *(
            service.client.post("/v1/customers/merge", json={"from": source, "into": target})
            for source, target in ("ab", "ba", "ab", "ba")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert len(await fetch(service, "select customer_id from customers")) == 1
