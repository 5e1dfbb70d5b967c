"""Hostile bodies get a clear answer, never a 500."""

import gzip

import pytest

from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
ROW = '{"transaction_id":"T-1","customer_id":"C-1","occurred_at":"2026-10-01T10:00:00Z","amount":%s,"currency":"EUR"}'


async def test_rows_that_json_allows_and_money_does_not(service: Service) -> None:
    for amount, code in [
        ("1e400", "number_out_of_range"),
        ("10.001", "inexact_amount"),
        ('"10,00"', "invalid_amount"),
        ("-1", "negative_amount"),
        ("92233720368547758.08", "amount_too_large"),
        ("true", "invalid_type"),
        ("null", "invalid_type"),
        ('"NaN"', "invalid_amount"),
        ('"1e2"', "invalid_amount"),
    ]:
        body = '{"transactions":[%s]}' % (ROW % amount)
        answer = await service.client.post("/v1/transactions", content=body, headers=JSON)
        assert answer.status_code == 200, amount
        (rejected,) = answer.json()["rejected"]
        assert (rejected["code"], rejected["pointer"]) == (code, "/transactions/0/amount"), amount


@pytest.mark.parametrize(
    ("occurred_at", "code"),
    [
        ("2026-10-01T10:00:00", "naive_instant"),
        ("0001-01-01T00:00:00Z", "absurd_instant"),
        ("9999-12-31T23:59:59Z", "absurd_instant"),
        ("2026-02-30T10:00:00Z", "invalid_instant"),
        ("yesterday", "invalid_instant"),
        ("", "invalid_instant"),
    ],
)
async def test_instants_that_are_none(service: Service, occurred_at: str, code: str) -> None:
    answer = await service.push(transaction(occurred_at=occurred_at), transaction("good"))
    assert answer["created"] == 1
    assert [(row["code"], row["pointer"]) for row in answer["rejected"]] == [(code, "/transactions/0/occurred_at")]


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [("JPY", "10.50", "inexact_amount"), ("ZZZ", "1", "unknown_currency"), ("eur", "1", "unknown_currency")],
)
async def test_currencies(service: Service, currency: str, amount: str, code: str) -> None:
    answer = await service.push(transaction(currency=currency, amount=amount))
    assert [row["code"] for row in answer["rejected"]] == [code]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "unreadable_body"),
        (b"\xff\xfe", 400, "unreadable_body"),
        (b'{"transactions":[NaN]}', 400, "unreadable_body"),
        (b'{"transactions":' + b"[" * 100_000, 400, "unreadable_body"),
        (b'{"transactions":[],"transactions":[]}', 422, "invalid_input"),
        (b'{"transactions":[],"tr\\u0061nsactions":[]}', 422, "invalid_input"),
        (b'{"transactions":{}}', 422, "invalid_input"),
        (b'{"rows":[]}', 422, "invalid_input"),
        (b'{"transactions":[],"source":""}', 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b"null", 422, "invalid_input"),
    ],
)
async def test_envelopes(service: Service, body: bytes, status: int, code: str) -> None:
    answer = await service.client.post("/v1/transactions", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_row_with_a_nul_character_is_refused_alone(service: Service) -> None:
    answer = await service.push(transaction("a\x00b"), transaction("good"))
    assert answer["created"] == 1
    assert [(row["code"], row["pointer"]) for row in answer["rejected"]] == [
        ("nul_character", "/transactions/0/transaction_id")
    ]


async def test_too_many_rows_and_too_many_bytes_are_413(service: Service) -> None:
    many = {"transactions": [{}] * 10_001}
    assert (await service.client.post("/v1/transactions", json=many)).status_code == 413
    answer = await service.client.post("/v1/transactions", content=b" " * (16 * 1024 * 1024 + 1), headers=JSON)
    assert answer.status_code == 413


async def test_a_ten_megabyte_string_is_refused_as_a_row(service: Service) -> None:
    answer = await service.push(transaction("x" * 10_000_000), transaction("good"))
    assert (answer["created"], answer["rejected"][0]["code"]) == (1, "invalid_length")


async def test_gzip_is_read_up_to_the_cap(service: Service) -> None:
    body = b'{"transactions":[%s]}' % (ROW % 1).encode()
    headers = {**JSON, "content-encoding": "gzip"}
    answer = await service.client.post("/v1/transactions", content=gzip.compress(body), headers=headers)
    assert answer.json()["created"] == 1
    bomb = gzip.compress(b" " * 200_000_000)
    answer = await service.client.post("/v1/transactions", content=bomb, headers=headers)
    assert answer.status_code == 413
    for broken in (b"not gzip", gzip.compress(body)[:-12]):
        answer = await service.client.post("/v1/transactions", content=broken, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_body")
    answer = await service.client.post("/v1/transactions", content=body, headers={**JSON, "content-encoding": "br"})
    assert answer.status_code == 415


async def test_small_bodies_are_as_strict(service: Service) -> None:
    for body, status in [
        (b'{"name":"a","name":"b","scopes":["ingest"]}', 422),
        (b'{"name":NaN}', 400),
        (b'{"name":"a","scopes":["ingest"],"expires_at":1e400}', 400),
        (b'{"name":"\\ud800","scopes":["ingest"]}', 400),
        (b'{"name":"a\\u0000","scopes":["ingest"]}', 422),
        (b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", 422),
        (b'{"name":"a","scopes":["ingest"],"more":1}', 422),
    ]:
        answer = await service.client.post("/v1/keys", content=body, headers=JSON)
        assert answer.status_code == status, body
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await service.client.post("/v1/keys", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
