"""Pushing customers over HTTP, and reading them back."""

import asyncio
import math
from datetime import datetime
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from sqlalchemy import make_url

from app.db.engine import Session
from app.records.customers.content import MAX_ATTRIBUTES_BYTES
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

EARLY, LATE = "2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"


def customer(customer_id: str = "C-1", **values: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, **values}


async def push(service: Service, *rows: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.post("/v1/customers", json={"customers": rows})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def get(service: Service, customer_id: str = "C-1") -> dict[str, Any]:
    answer = await service.client.get(f"/v1/customers/{customer_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    return answer["created"], answer["updated"], answer["duplicates"], len(answer["rejected"])


def refused(answer: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(row["index"], row["code"], row["pointer"]) for row in answer["rejected"]]


async def dirty(service: Service) -> list[list[str]]:
    async with await connect(service) as connection:
        cursor = await connection.execute("select customer_ids from dirty_customers order by batch_id")
        return [row[0] for row in await cursor.fetchall()]


async def test_a_customer_is_read_back_as_pushed(service: Service) -> None:
    pushed = customer(
        attributes={"country": "DE", "tags": ["a", {"b": 1.5}], "vip": True},
        consent={"profiling": True, "marketing": False},
        created_at="2025-03-08T09:30:00+01:00",
        updated_at=EARLY,
    )
    assert counts(await push(service, pushed)) == (1, 0, 0, 0)
    found = await get(service)
    assert datetime.fromisoformat(found["first_seen_at"]).tzinfo is not None
    expected = {**pushed, "created_at": "2025-03-08T08:30:00Z", "merged_from": None}
    assert {name: found[name] for name in expected} == expected


async def test_attributes_merge_name_by_name_and_null_removes(service: Service) -> None:
    await push(service, customer(attributes={"a": 1, "b": {"x": 1, "y": 2}, "c": 3}))
    answer = await push(service, customer(attributes={"b": {"x": 9}, "c": None, "d": 4, "e": None}))
    assert counts(answer) == (0, 1, 0, 0)
    assert (await get(service))["attributes"] == {"a": 1, "b": {"x": 9}, "d": 4}


async def test_consent_flags_change_one_by_one_and_null_says_nothing(service: Service) -> None:
    await push(service, customer(consent={"profiling": True}))
    assert (await get(service))["consent"] == {"profiling": True, "marketing": None}
    await push(service, customer(consent={"marketing": True, "profiling": None}))
    assert (await get(service))["consent"] == {"profiling": True, "marketing": True}
    await push(service, customer(consent={"marketing": False}), customer(consent=None))
    assert (await get(service))["consent"] == {"profiling": True, "marketing": False}


async def test_an_older_push_only_fills_what_is_missing(service: Service) -> None:
    await push(service, customer(attributes={"city": "Rome"}, consent={"marketing": False}, updated_at=LATE))
    older = customer(
        attributes={"city": "Paris", "plan": "plus"},
        consent={"marketing": True, "profiling": True},
        created_at=EARLY,
        updated_at=EARLY,
    )
    assert counts(await push(service, older)) == (0, 1, 0, 0)
    found = await get(service)
    assert found["attributes"] == {"city": "Rome", "plan": "plus"}
    assert found["consent"] == {"profiling": True, "marketing": False}
    assert (found["created_at"], found["updated_at"]) == (EARLY, LATE)
    assert counts(await push(service, older)) == (0, 0, 1, 0)


async def test_an_older_null_removes_nothing(service: Service) -> None:
    await push(service, customer(attributes={"city": "Rome"}, updated_at=LATE))
    assert counts(await push(service, customer(attributes={"city": None}, updated_at=EARLY))) == (0, 0, 1, 0)


async def test_a_row_without_updated_at_applies_and_leaves_it(service: Service) -> None:
    await push(service, customer(attributes={"city": "Rome"}, updated_at=LATE))
    assert counts(await push(service, customer(attributes={"city": "Oslo"}))) == (0, 1, 0, 0)
    found = await get(service)
    assert (found["attributes"], found["updated_at"]) == ({"city": "Oslo"}, LATE)


async def test_rows_of_one_customer_in_one_body_apply_in_their_order(service: Service) -> None:
    answer = await push(
        service,
        customer(attributes={"n": 1}),
        customer("C-2"),
        customer(attributes={"n": 2}),
        customer(attributes={"n": 2}),
        customer("C-2"),
        customer(attributes={"n": 3, "m": 1}),
    )
    assert counts(answer) == (2, 2, 2, 0)
    assert (await get(service))["attributes"] == {"n": 3, "m": 1}


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [(1, 1.0, False), (1, True, True), (0, False, True), ("1", 1, True), ([1, 2], [2, 1], True), (1e17, 1e17, False)],
)
async def test_values_are_compared_as_json_means_them(service: Service, before: Any, after: Any, changes: bool) -> None:
    await push(service, customer(attributes={"v": {"deep": before}}))
    answer = await push(service, customer(attributes={"v": {"deep": after}}))
    assert (answer["updated"], answer["duplicates"]) == ((1, 0) if changes else (0, 1))


async def test_a_large_body_sent_again_after_another_one_counts_again(service: Service) -> None:
    def body(city: str) -> list[dict[str, Any]]:
        return [customer(f"C-{i:04}", attributes={"city": city}) for i in range(2_500)]

    assert counts(await push(service, *body("Rome"))) == (2_500, 0, 0, 0)
    assert counts(await push(service, *body("Rome"))) == (0, 0, 2_500, 0)
    assert counts(await push(service, *body("Oslo"))) == (0, 2_500, 0, 0)
    assert counts(await push(service, *body("Rome"))) == (0, 2_500, 0, 0)
    assert (await get(service, "C-2499"))["attributes"] == {"city": "Rome"}


async def test_only_changed_customers_enter_the_dirty_set(service: Service) -> None:
    await push(service, customer("B"), customer("A"))
    await push(service, customer("B"), customer("A", attributes={"n": 1}))
    await push(service, customer("B"))
    assert await dirty(service) == [["A", "B"], ["A"]]


async def test_a_customer_known_from_transactions_is_updated_not_created(service: Service) -> None:
    await service.push(transaction(customer_id="C-1"))
    assert counts(await push(service, customer(attributes={"n": 1}))) == (0, 1, 0, 0)
    assert counts(await push(service, customer())) == (0, 0, 1, 0)


async def test_a_customer_created_by_somebody_meanwhile_is_counted_as_updated(service: Service) -> None:
    async with await connect(service) as other:
        await other.execute("insert into customers (customer_id) values ('C-1')")
        pushing = asyncio.create_task(push(service, customer(attributes={"n": 1}), customer("C-2")))
        await somebody_waits_for_a_lock(service)
        await other.commit()
        assert counts(await pushing) == (1, 1, 0, 0)
    assert (await get(service))["attributes"] == {"n": 1}


async def connect(service: Service, **options: Any) -> psycopg.AsyncConnection:
    url = make_url(service.database_url).set(drivername="postgresql")
    return await psycopg.AsyncConnection.connect(url.render_as_string(hide_password=False), **options)


async def somebody_waits_for_a_lock(service: Service) -> None:
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with await connect(service, autocommit=True) as connection:
        for _ in range(200):
            if await (await connection.execute(waiting)).fetchone():
                return
            await asyncio.sleep(0.02)
    pytest.fail("nobody waited")


async def test_pushes_at_once_lose_nothing_and_never_deadlock(service: Service) -> None:
    ids = [f"C-{i:03}" for i in range(200)]

    async def some(name: str, order: list[str]) -> dict[str, Any]:
        return await push(service, *[customer(each, attributes={name: 1}) for each in order])

    answers = await asyncio.gather(
        some("a", ids),
        some("b", ids[::-1]),
        some("c", ids[100:] + ids[:100]),
        service.push(*[transaction(f"T-{each}", customer_id=each) for each in ids[::-1]]),
    )
    # Whoever came second updated; transactions may have created some of them before.
    assert sum(answer["created"] + answer["updated"] for answer in answers[:3]) == 600
    assert sum(answer["created"] for answer in answers[:3]) <= 200
    listed = (await service.client.get("/v1/customers", params={"limit": 1_000})).json()["data"]
    assert [row["customer_id"] for row in listed] == ids
    assert all(row["attributes"] == {"a": 1, "b": 1, "c": 1} for row in listed)


async def test_bad_rows_are_told_apart_and_the_good_ones_stored(service: Service) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    answer = await push(
        service,
        customer("good"),
        customer("", attributes={}),
        customer("x" * 256),
        customer("C-3", attributes={"": 1}),
        customer("C-4", attributes={"n" * 101: 1}),
        customer("C-5", attributes={"a/b": [1, {"c": 2**64}]}),
        customer("C-6", attributes={"d": deep}),
        customer("C-7", attributes={"big": "x" * MAX_ATTRIBUTES_BYTES}),
        customer("C-8", attributes=[1]),
        customer("C-9", consent={"newsletter": True}),
        customer("C-10", consent={"marketing": "yes"}),
        customer("C-11", updated_at="2026-10-01T00:00:00"),
        customer("C-12", created_at="0001-01-01T00:00:00+14:00"),
        customer("C-13", nickname="x"),
        customer("C-14", attributes={"n\x00": 1}),
        customer("C-15", attributes={"n": {"m": "\x00"}}),
        {"attributes": {}},
        customer("last", attributes={"π": "名"}),
    )
    assert counts(answer)[:3] == (2, 0, 0)
    assert refused(answer) == [
        (1, "invalid_length", "/customers/1/customer_id"),
        (2, "invalid_length", "/customers/2/customer_id"),
        (3, "invalid_length", "/customers/3/attributes"),
        (4, "invalid_length", "/customers/4/attributes"),
        (5, "number_out_of_range", "/customers/5/attributes/a~1b/1/c"),
        (6, "too_deep", "/customers/6/attributes/d" + "/0" * 31),
        (7, "too_large", "/customers/7/attributes"),
        (8, "invalid_type", "/customers/8/attributes"),
        (9, "unknown_field", "/customers/9/consent/newsletter"),
        (10, "invalid_type", "/customers/10/consent/marketing"),
        (11, "naive_instant", "/customers/11/updated_at"),
        (12, "absurd_instant", "/customers/12/created_at"),
        (13, "unknown_field", "/customers/13/nickname"),
        (14, "nul_character", "/customers/14/attributes"),
        (15, "nul_character", "/customers/15/attributes/n/m"),
        (16, "missing_field", "/customers/16/customer_id"),
    ]
    assert (await get(service, "last"))["attributes"] == {"π": "名"}


async def test_attributes_cannot_grow_past_their_bound_but_may_shrink(service: Service) -> None:
    half = "x" * (MAX_ATTRIBUTES_BYTES // 2)
    await push(service, customer(attributes={"a": half}))
    answer = await push(service, customer(attributes={"b": half}), customer(attributes={"c": 1}))
    assert (refused(answer), answer["updated"]) == ([(0, "too_large", "/customers/0/attributes")], 1)
    assert (await get(service))["attributes"].keys() == {"a", "c"}
    assert counts(await push(service, customer(attributes={"a": None}), customer(attributes={"b": half}))) == (
        0,
        2,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "unreadable_body"),
        (b'{"customers": [', 400, "unreadable_body"),
        (b'{"customers": [{"customer_id": "C", "attributes": {"n": NaN}}]}', 400, "unreadable_body"),
        (b'{"customers": [], "source": "crm"}', 422, "invalid_input"),
        (b'{"rows": []}', 422, "invalid_input"),
        (b'{"customers": {}}', 422, "invalid_input"),
        (b'{"customers": [], "customers": []}', 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (orjson.dumps({"customers": [{"customer_id": "C"}] * 10_001}), 413, "too_large"),
    ],
)
async def test_a_wrong_envelope_is_refused_whole(service: Service, body: bytes, status: int, code: str) -> None:
    answer = await service.client.post("/v1/customers", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("value", [rb'"\ud800 alone"', b'"\xff"', b"1e400", b"[" * 5_000 + b"]" * 5_000, b"9" * 5_000])
async def test_values_that_no_one_can_hold_are_refused_in_their_row_or_whole(service: Service, value: bytes) -> None:
    body = b'{"customers": [{"customer_id": "C-1", "attributes": {"n": %s}}, {"customer_id": "C-2"}]}' % value
    answer = await service.client.post("/v1/customers", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400)
    assert (await service.client.get("/v1/customers/C-1")).status_code == 404
    if answer.status_code == 200:
        assert counts(answer.json()) == (1, 0, 0, 1)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1e18, 1e-300, -0.0, 0.1])
async def test_numbers_come_back_as_they_went_in(service: Service, number: float) -> None:
    await push(service, customer(attributes={"n": number}))
    back = (await get(service))["attributes"]["n"]
    assert back == number
    assert math.isfinite(back)


@pytest.mark.parametrize("offset", ["+23:59", "-23:59", "+15:59", "-00:00"])
async def test_every_offset_of_the_clock_is_read(service: Service, offset: str) -> None:
    sent = f"2026-03-10T10:31:29.25{offset}"
    await push(service, customer(created_at=sent))
    stored = (await get(service))["created_at"]
    assert stored.endswith("Z")
    assert datetime.fromisoformat(stored) == datetime.fromisoformat(sent)


async def test_hostile_identifiers_are_text_like_any_other(service: Service) -> None:
    for hostile in (
        "'; drop table customers; --",
        "../../etc/passwd",
        "%00",
        "a b?c#d",
        "\u202ealice",
        "{customer_id}",
    ):
        assert counts(await push(service, customer(hostile)))[0] == 1
    listed = (await service.client.get("/v1/customers")).json()["data"]
    assert len(listed) == 6
    answer = await service.client.get("/v1/customers/a%20b%3Fc%23d")
    assert answer.json()["customer_id"] == "a b?c#d"


@pytest.mark.parametrize("path", ["nobody", "%00", "C-1%00", "%FF", "%ED%A0%80", "C-1%0A"])
async def test_unknown_customers_are_not_found(service: Service, path: str) -> None:
    await push(service, customer())
    answer = await service.client.get(f"/v1/customers/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")


async def test_an_unchanged_customer_answers_304(service: Service) -> None:
    await push(service, customer())
    first = await service.client.get("/v1/customers/C-1")
    known = {"If-None-Match": first.headers["etag"]}
    assert (await service.client.get("/v1/customers/C-1", headers=known)).status_code == 304
    await push(service, customer(attributes={"n": 1}))
    assert (await service.client.get("/v1/customers/C-1", headers=known)).status_code == 200


async def test_other_wings_contribute_sections(service: Service) -> None:
    async def churn(session: Session, customer_id: str, *, now: datetime) -> Any:
        return {"of": customer_id, "as_of": now}

    service.app.state.profile_sections = {"churn": churn}
    await push(service, customer())
    assert (await get(service))["churn"] == {"of": "C-1", "as_of": "2026-11-01T12:00:00Z"}


async def test_the_list_goes_by_identifier_in_byte_order_page_by_page(service: Service) -> None:
    ids = ["B", "a", "Z", "ä", "1", "10", "2"]
    await push(service, *[customer(each) for each in ids])
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = (
            await service.client.get("/v1/customers", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2})
        ).json()
        seen += [row["customer_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if len(seen) == 2:
            await push(service, customer("0 came before the cursor"))
    assert seen == sorted(ids, key=str.encode)
    assert cursor is None


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1_001}, {"cursor": "made-up"}, {"cursor": "é"}])
async def test_unusable_list_parameters_are_refused(service: Service, params: dict[str, Any]) -> None:
    assert (await service.client.get("/v1/customers", params=params)).status_code == 422


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/customers"), ("GET", "/v1/customers"), ("GET", "/v1/customers/C")]
)
async def test_no_key_no_answer(service: Service, method: str, path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://t") as stranger:
        assert (await stranger.request(method, path, json={"customers": []})).status_code == 401
