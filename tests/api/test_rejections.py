"""Refused rows: kept as they came, listed, mended and tried again."""

import asyncio
from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy import make_url

from app.records.rejections import service as rejections
from app.tables.intake import RECORD_KINDS
from tests.conftest import Service
from tests.support.campaigns import expose, exposure, plan, results
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


async def push(service: Service, kind: str, *rows: Any) -> dict[str, Any]:
    answer = await service.client.post(f"/v1/{kind}", json={kind: rows})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(service: Service, **params: Any) -> list[dict[str, Any]]:
    answer = await service.client.get("/v1/rejections", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def only(service: Service, **params: Any) -> dict[str, Any]:
    rows = await listed(service, **params)
    assert len(rows) == 1
    return rows[0]


async def retry(service: Service, rejection_id: int, payload: Any = None) -> dict[str, Any]:
    body = {} if payload is None else {"json": {"payload": payload}}
    answer = await service.client.post(f"/v1/rejections/{rejection_id}/retry", **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int, int]:
    return (
        answer["received"],
        answer["created"],
        answer["updated"],
        answer["duplicates"],
        len(answer["rejected"]),
    )


async def count(service: Service, table: str) -> int:
    url = make_url(service.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(f"select count(*) from {table}")).fetchone()
        assert row is not None
        return int(row[0])


async def test_a_refused_row_is_kept_with_what_was_sent_and_why(service: Service) -> None:
    sent = transaction("T-2", currency="ZZZ")
    await service.push(transaction(), sent, source="crm")
    found = await only(service)
    assert found.pop("received_at").endswith("Z")
    assert found.pop("rejection_id") > 0
    assert found.pop("payload").items() >= sent.items()
    assert found == {
        "kind": "transactions",
        "source": "crm",
        "index": 1,
        "code": "unknown_currency",
        "pointer": "/transactions/1/currency",
        "detail": found["detail"],
        "customer_id": "C-1",
        "status": "open",
        "retried_at": None,
    }


async def test_a_mended_row_is_stored_and_resolved(service: Service) -> None:
    await service.push(transaction("T-2", currency="ZZZ"), source="crm")
    refused = await only(service)
    answer = await retry(service, refused["rejection_id"], {**refused["payload"], "currency": "EUR"})
    assert counts(answer) == (1, 1, 0, 0, 0)
    assert await listed(service) == []
    resolved = await only(service, status="resolved")
    assert (resolved["rejection_id"], resolved["retried_at"]) == (refused["rejection_id"], "2026-11-01T12:00:00Z")
    stored = (await service.client.get("/v1/customers/C-1/transactions")).json()["data"]
    assert [(row["source"], row["transaction_id"]) for row in stored] == [("crm", "T-2")]
    # Mending in the source system as well does no harm.
    assert (await service.push(transaction("T-2"), source="crm"))["duplicates"] == 1


async def test_the_kept_row_is_tried_again_as_it_is(service: Service) -> None:
    too_much = {"customer_id": "C-1", "attributes": {"b": "x" * 40_000}}
    await push(service, "customers", {"customer_id": "C-1", "attributes": {"a": "x" * 40_000}}, too_much)
    refused = await only(service, kind="customers", code="too_large")
    assert refused["payload"]["attributes"] == too_much["attributes"]
    assert counts(await retry(service, refused["rejection_id"]))[-1] == 1
    await push(service, "customers", {"customer_id": "C-1", "attributes": {"a": None}})
    assert counts(await retry(service, refused["rejection_id"])) == (1, 0, 1, 0, 0)
    assert (await service.client.get("/v1/customers/C-1")).json()["attributes"] == too_much["attributes"]


@pytest.mark.parametrize(
    ("mended", "code", "pointer"),
    [
        (transaction("T-2", currency="XXZ"), "unknown_currency", "/transactions/57/currency"),
        (transaction("T-2", amount="-1"), "negative_amount", "/transactions/57/amount"),
        (transaction("T-2", colour="red"), "unknown_field", "/transactions/57/colour"),
        (transaction("T-1", amount="99.00"), "conflict", "/transactions/57/transaction_id"),
    ],
)
async def test_a_row_that_is_still_bad_stays_open_with_the_new_reason(
    service: Service, mended: dict[str, Any], code: str, pointer: str
) -> None:
    rows = [transaction(f"S-{i}") for i in range(58)]
    rows[57] = {"transaction_id": "T-2"}
    await service.push(transaction("T-1"), source="crm")
    await service.push(*rows, source="crm")
    before = await only(service)
    answer = await retry(service, before["rejection_id"], mended)
    assert counts(answer) == (1, 0, 0, 0, 1)
    assert [(row["index"], row["code"], row["pointer"]) for row in answer["rejected"]] == [(57, code, pointer)]
    after = await only(service)
    assert (after["rejection_id"], after["code"], after["pointer"]) == (before["rejection_id"], code, pointer)
    assert (after["payload"], after["customer_id"]) == (mended, "C-1")
    assert after["retried_at"] == "2026-11-01T12:00:00Z"


async def test_a_row_that_is_a_duplicate_by_now_is_resolved(service: Service) -> None:
    await service.push({**transaction(), "colour": "red"})
    await service.push(transaction())
    refused = await only(service)
    assert counts(await retry(service, refused["rejection_id"], transaction())) == (1, 0, 0, 1, 0)
    assert await listed(service) == []


async def test_what_an_earlier_retry_stored_cannot_be_tried_again(service: Service) -> None:
    await service.push(transaction(currency="ZZZ"))
    rejection_id = (await only(service))["rejection_id"]
    await retry(service, rejection_id, transaction())
    answer = await service.client.post(f"/v1/rejections/{rejection_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_retries_at_once_store_the_row_once(service: Service) -> None:
    await service.push(transaction(currency="ZZZ"))
    rejection_id = (await only(service))["rejection_id"]
    answers = await asyncio.gather(
        *(
            service.client.post(f"/v1/rejections/{rejection_id}/retry", json={"payload": transaction()})
            for _ in range(4)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert await count(service, "transactions") == 1


async def test_a_retry_and_an_erasure_at_once_leave_nothing_of_the_customer(service: Service) -> None:
    for i in range(4):
        await service.push(transaction(f"T-{i}", currency="ZZZ"))
        rejection_id = (await listed(service))[0]["rejection_id"]
        tried, erased = await asyncio.gather(
            service.client.post(f"/v1/rejections/{rejection_id}/retry", json={"payload": transaction(f"T-{i}")}),
            service.client.delete("/v1/customers/C-1"),
        )
        assert erased.status_code == 200
        assert tried.status_code in (200, 404)
        if i == 0:
            assert await count(service, "customers") == 0
        assert await count(service, "transactions where customer_id is not null") == 0


async def test_a_mended_row_of_somebody_erased_is_refused_and_not_kept(service: Service) -> None:
    await push(service, "customers", {"customer_id": "gone"})
    await service.client.delete("/v1/customers/gone")
    await service.push(transaction(currency="ZZZ"))
    before = await only(service)
    for mended in (transaction(customer_id="gone"), transaction(customer_id="gone", currency="ZZZ")):
        answer = await retry(service, before["rejection_id"], mended)
        assert [row["code"] for row in answer["rejected"]] == ["customer_erased"]
    after = await only(service)
    assert after == {**before, "retried_at": "2026-11-01T12:00:00Z"}


async def test_a_row_of_somebody_erased_since_is_gone_too(service: Service) -> None:
    await service.push(transaction(currency="ZZZ"))
    rejection_id = (await only(service))["rejection_id"]
    assert (await service.client.delete("/v1/customers/C-1")).status_code == 200
    assert (await service.client.post(f"/v1/rejections/{rejection_id}/retry")).status_code == 404


async def test_a_row_of_which_nothing_was_kept_has_to_be_sent_again(service: Service) -> None:
    await push(service, "customers", {"customer_id": "gone"})
    await service.client.delete("/v1/customers/gone")
    await service.push(transaction(customer_id="gone"))
    refused = await only(service)
    assert (refused["code"], refused["payload"], refused["customer_id"]) == ("customer_erased", None, None)
    answer = await service.client.post(f"/v1/rejections/{refused['rejection_id']}/retry")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/payload"
    assert counts(await retry(service, refused["rejection_id"], transaction())) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (
            b'{"transaction_id": "T", "amount": 1.50, "huge": 1e300}',
            {"transaction_id": "T", "amount": 1.5, "huge": 1e300},
        ),
        (b"[1, [2]]", [1, [2]]),
        (b'"text"', "text"),
        (b"null", None),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", '{"a": ' + "[" * 200 + "]" * 200 + "}"),
        (b'{"n": "a\\u0000b"}', {"n": "a\x00b"}),
        (b'{"n": 1e999}', '{"n": 1e999}'),
    ],
)
async def test_a_row_is_shown_as_json_when_readers_can_hold_it_and_else_as_text(
    service: Service, raw: bytes, shown: Any
) -> None:
    body = b'{"transactions": [%s]}' % raw
    answer = await service.client.post("/v1/transactions", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert (await only(service))["payload"] == shown


async def test_filters_narrow_the_list(service: Service) -> None:
    await service.push(transaction("T-1", currency="ZZZ"), transaction("T-2", amount="-1"))
    await push(service, "customers", {"customer_id": ""})
    assert [row["code"] for row in await listed(service)] == ["invalid_length", "negative_amount", "unknown_currency"]
    assert [row["code"] for row in await listed(service, kind="transactions")] == [
        "negative_amount",
        "unknown_currency",
    ]
    assert [row["code"] for row in await listed(service, code="invalid_length")] == ["invalid_length"]
    assert await listed(service, kind="customers", code="unknown_currency") == []
    assert await listed(service, status="resolved") == []


async def test_pages_go_newest_first_and_are_stable_under_writes(service: Service) -> None:
    await service.push(*[transaction(f"T-{i}", currency="ZZZ") for i in range(5)])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await service.client.get("/v1/rejections", params=params)).json()
        seen += [row["payload"]["transaction_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await service.push(transaction("later", currency="ZZZ"))
    assert seen == ["T-4", "T-3", "T-2", "T-1", "T-0"]


async def test_a_cursor_of_another_filter_is_refused(service: Service) -> None:
    await service.push(*[transaction(f"T-{i}", currency="ZZZ") for i in range(3)])
    cursor = (await service.client.get("/v1/rejections", params={"limit": 1})).json()["next_cursor"]
    answer = await service.client.get("/v1/rejections", params={"cursor": cursor, "kind": "transactions"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


async def test_pages_of_large_rows_end_early_and_lose_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "PAGE_BYTES", 10_000)
    sizes = [100, 20_000, 100, 100, 6_000, 6_000]
    await push(service, "transactions", *[{"transaction_id": str(i), "x": "x" * size} for i, size in enumerate(sizes)])
    pages: list[list[str]] = []
    cursor: str | None = None
    while cursor or not pages:
        page = (await service.client.get("/v1/rejections", params={"cursor": cursor} if cursor else {})).json()
        pages.append([row["payload"]["transaction_id"] for row in page["data"]])
        cursor = page["next_cursor"]
    assert pages == [["5"], ["4", "3", "2"], ["1"], ["0"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 404),
        (b"{}", 404),
        (b'{"payload": null}', 404),
        (b'{"payload": {}}', 404),
        (b'{"payload": 1}', 422),
        (b'{"payload": [{}]}', 422),
        (b'{"payload": {"a": "\\u0000"}}', 422),
        (b'{"payload": {"a": 1, "a": 2}}', 422),
        (b'{"row": {}}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"payload": NaN}', 400),
        (b'{"payload": ', 400),
        (b"\xff", 400),
    ],
)
async def test_bodies_of_a_retry_are_read_strictly(service: Service, body: bytes, status: int) -> None:
    answer = await service.client.post("/v1/rejections/1/retry", content=body, headers=JSON)
    assert answer.status_code == status, answer.text


async def test_a_retry_with_another_kind_of_body_is_refused(service: Service) -> None:
    answer = await service.client.post("/v1/rejections/1/retry", content=b"x", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("rejection_id", "status"),
    [("1", 404), (str(2**63 - 1), 404), (str(2**63), 422), ("0", 422), ("-1", 422), ("x", 422)],
)
async def test_unknown_numbers_are_not_found(service: Service, rejection_id: str, status: int) -> None:
    answer = await service.client.post(f"/v1/rejections/{rejection_id}/retry")
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "rejection_not_found"


@pytest.mark.parametrize(
    "params", [{"kind": "people"}, {"code": "a\x00"}, {"code": "A b"}, {"status": "all"}, {"limit": 0}]
)
async def test_unusable_filters_are_refused(service: Service, params: dict[str, Any]) -> None:
    assert (await service.client.get("/v1/rejections", params=params)).status_code == 422


async def test_every_kind_of_record_can_be_tried_again(service: Service) -> None:
    kinds = service.app.state.record_kinds
    assert set(kinds) == set(RECORD_KINDS)
    assert all(name == kind.name for name, kind in kinds.items())


# One refused and one mended row of each kind, with the path it is pushed to.
KINDS: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("customers", "POST", "/v1/customers", {"customer_id": "C", "consent": 1}, {"customer_id": "C"}),
    ("transactions", "POST", "/v1/transactions", transaction(amount="x"), transaction()),
    (
        "events",
        "POST",
        "/v1/events",
        {"event_id": "E", "customer_id": "C", "type": "Page View", "occurred_at": "2026-10-01T10:00:00Z"},
        {"event_id": "E", "customer_id": "C", "type": "page_view", "occurred_at": "2026-10-01T10:00:00Z"},
    ),
    (
        "costs",
        "POST",
        "/v1/costs",
        {"cost_id": "K", "category": "fun", "amount": "1", "currency": "EUR", "from": "2026-10-01", "to": "2026-10-02"},
        {
            "cost_id": "K",
            "category": "media",
            "amount": "1",
            "currency": "EUR",
            "from": "2026-10-01",
            "to": "2026-10-02",
        },
    ),
    (
        "exchange_rates",
        "PUT",
        "/v1/exchange-rates",
        {"on": "2026-10-01", "from": "USD", "to": "USD", "rate": "1"},
        {"on": "2026-10-01", "from": "USD", "to": "EUR", "rate": "0.9"},
    ),
]


@pytest.mark.parametrize(("kind", "method", "path", "bad", "good"), KINDS, ids=[row[0] for row in KINDS])
async def test_each_kind_of_record_is_mended_by_its_own_rules(
    service: Service, kind: str, method: str, path: str, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    name = "rates" if kind == "exchange_rates" else kind
    pushed = await service.client.request(method, path, content=orjson.dumps({name: [bad]}), headers=JSON)
    assert len(pushed.json()["rejected"]) == 1
    refused = await only(service, kind=kind)
    assert counts(await retry(service, refused["rejection_id"]))[-1] == 1
    assert counts(await retry(service, refused["rejection_id"], good)) == (1, 1, 0, 0, 0)
    assert await count(service, kind) == 1


async def test_a_refused_exposure_is_kept_with_its_campaign_and_stored_once_mended(service: Service) -> None:
    await plan(service)
    rows = [exposure("A"), exposure("B", "gift"), {"customer_id": "C", "arm": "treated"}, exposure("A", "holdout")]
    assert len((await expose(service, rows))["rejected"]) == 3
    kept = {row["index"]: row for row in await listed(service, kind="exposures")}
    assert {place: (row["code"], row["pointer"], row["customer_id"], row["source"]) for place, row in kept.items()} == {
        1: ("unknown_arm", "/exposures/1/arm", "B", "autumn"),
        2: ("missing_field", "/exposures/2/at", "C", "autumn"),
        3: ("conflict", "/exposures/3/arm", "A", "autumn"),
    }
    assert {place: row["payload"] for place, row in kept.items()} == {place: rows[place] for place in kept}
    assert counts(await retry(service, kept[1]["rejection_id"]))[-1] == 1
    assert counts(await retry(service, kept[1]["rejection_id"], exposure("B"))) == (1, 1, 0, 0, 0)
    assert counts(await retry(service, kept[2]["rejection_id"], exposure("C", "holdout"))) == (1, 1, 0, 0, 0)
    assert counts(await retry(service, kept[3]["rejection_id"], exposure("A"))) == (1, 0, 0, 1, 0)
    assert await listed(service) == []
    assert await count(service, "campaign_assignments where external") == 3
    assert {each["arm"]: each["n"] for each in (await results(service))["arms"]} == {"holdout": 1, "treated": 2}


async def test_a_refused_exposure_of_somebody_erased_is_not_kept(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure("gone"), exposure("gone", "gift")])
    assert (await only(service))["customer_id"] == "gone"
    assert (await service.client.delete("/v1/customers/gone")).status_code == 200
    assert await listed(service) == []
    await expose(service, [exposure("gone"), exposure("gone", "gift"), {"customer_id": "gone"}])
    rows = await listed(service)
    assert [(row["code"], row["customer_id"], row["payload"]) for row in rows] == [("customer_erased", None, None)] * 3


async def test_trying_an_exposure_again_needs_the_scope_of_pushing_it(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure("A", "gift")])
    place = f"/v1/rejections/{(await only(service))['rejection_id']}/retry"
    for scopes, status in ((["ingest"], 403), (["ingest", "roi:write"], 200)):
        made = (await service.client.post("/v1/keys", json={"name": "k", "scopes": scopes})).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        answer = await service.client.post(place, json={"payload": exposure("A")}, headers=headers)
        assert answer.status_code == status, answer.text


async def test_exposures_and_their_retries_at_once_never_wait_for_each_other_in_a_ring(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure(f"R-{i}", "gift") for i in range(4)])
    numbers = {row["customer_id"]: row["rejection_id"] for row in await listed(service)}
    retries = [retry(service, number, exposure(name)) for name, number in numbers.items()]
    pushes = [expose(service, [exposure(f"P-{i}"), exposure(f"R-{i}")]) for i in range(4)]
    await asyncio.gather(*retries, *pushes)
    assert await count(service, "campaign_assignments") == 8
