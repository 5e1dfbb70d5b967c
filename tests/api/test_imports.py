"""Importing files over HTTP: what is taken, and what the job then says."""

import gzip
import json
from typing import Any

import pytest

from app.records.imports import upload
from tests.conftest import Service
from tests.support.imports import csv_of, run_job
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

FLAT = "transaction_id,customer_id,occurred_at,amount"
WHEN = "2026-10-01 10:00:00"
CSV = {"content-type": "text/csv"}
EUR = {"currency": "EUR"}
ONE = csv_of(FLAT, f"T-1,C-1,{WHEN},10.00")


async def imported(service: Service, content: str | bytes, path: str = "transactions", **query: Any) -> dict[str, Any]:
    """The job of an import, once it is over."""
    headers = query.pop("headers", CSV)
    if path == "transactions":
        query.setdefault("currency", "EUR")
    answer = await service.client.post(f"/v1/imports/{path}", content=content, headers=headers, params=query)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    await run_job(service.database_url, job_id)
    found: dict[str, Any] = (await service.client.get(f"/v1/jobs/{job_id}")).json()
    return found


async def test_an_import_is_accepted_and_its_job_counts_the_rows(service: Service) -> None:
    content = csv_of(FLAT, f"T-1,C-1,{WHEN},10.00", f"T-2,,{WHEN},-5", f"T-3,C-1,{WHEN},ten")
    job = await imported(service, content)
    assert (job["kind"], job["status"], job["progress"]) == (
        "import",
        "succeeded",
        {"done": 3, "total": 3, "unit": "rows"},
    )
    counts = {"lines": 3, "received": 3, "created": 2, "updated": 0, "duplicates": 0, "rejected": 1}
    assert {name: job["result"][name] for name in counts} == counts
    assert [(row["index"], row["pointer"]) for row in job["result"]["first_rejected"]] == [(2, "/rows/2/amount")]
    bought = (await service.client.get("/v1/customers/C-1/transactions")).json()["data"]
    assert [row["amount"] for row in bought] == [{"amount": "10.00", "currency": "EUR"}]


async def test_columns_are_mapped_by_the_query(service: Service) -> None:
    content = csv_of("Invoice,Who,When,Sum", f"T-1,C-1,{WHEN},10.00")
    mapped = ["transaction_id:Invoice", "customer_id:Who", "occurred_at:When", "amount:Sum"]
    job = await imported(service, content, map=mapped, source="shop", timezone="Europe/Berlin")
    assert job["result"]["created"] == 1
    bought = (await service.client.get("/v1/customers/C-1/transactions")).json()["data"]
    assert [(row["source"], row["occurred_at"]) for row in bought] == [("shop", "2026-10-01T08:00:00Z")]


async def test_an_order_that_was_pushed_before_counts_once(service: Service) -> None:
    await service.push(transaction("T-1", occurred_at="2026-10-01T10:00:00Z", amount="10.00"))
    job = await imported(service, ONE)
    assert (job["result"]["created"], job["result"]["duplicates"]) == (0, 1)


async def test_a_packed_file_is_read_as_what_is_in_it(service: Service) -> None:
    job = await imported(service, gzip.compress(ONE.encode()), headers={**CSV, "content-encoding": "gzip"})
    assert job["result"]["created"] == 1


async def test_customers_and_events_are_imported_too(service: Service) -> None:
    ndjson = {"content-type": "application/x-ndjson"}
    customer = {"customer_id": "C-1", "attributes": {"country": "DE"}, "consent": {"marketing": True}}
    event = {"event_id": "E-1", "customer_id": "C-1", "type": "visit", "occurred_at": "2026-10-01T10:00:00Z"}
    for path, row in (("customers", customer), ("events", event)):
        job = await imported(service, json.dumps(row), path, headers=ndjson)
        assert (job["status"], job["result"]["created"]) == ("succeeded", 1)
    found = (await service.client.get("/v1/customers/C-1")).json()
    assert (found["attributes"], found["consent"]["marketing"]) == ({"country": "DE"}, True)


async def test_refused_rows_are_kept_and_can_be_mended(service: Service) -> None:
    await imported(service, csv_of(FLAT, f"T-1,C-1,{WHEN},ten"), timezone="Europe/Berlin", source="shop")
    (kept,) = (await service.client.get("/v1/rejections")).json()["data"]
    assert (kept["kind"], kept["source"], kept["code"], kept["customer_id"]) == (
        "transactions",
        "shop",
        "invalid_amount",
        "C-1",
    )
    mended = {**kept["payload"], "amount": "10.00"}
    answer = await service.client.post(f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": mended})
    assert answer.json()["created"] == 1
    bought = (await service.client.get("/v1/customers/C-1/transactions")).json()["data"]
    assert [(row["source"], row["occurred_at"]) for row in bought] == [("shop", "2026-10-01T08:00:00Z")]


async def test_lines_that_contradict_what_is_stored_come_back_whole(service: Service) -> None:
    lines = "transaction_id,customer_id,occurred_at,product_id,quantity,unit_price"
    await imported(service, csv_of(lines, f"T-1,C-1,{WHEN},A,2,1.50"))
    job = await imported(service, csv_of(lines, f"T-1,C-1,{WHEN},A,3,1.50"))
    assert job["result"]["reasons"] == {"conflict": 1}
    (kept,) = (await service.client.get("/v1/rejections")).json()["data"]
    mended = {**kept["payload"], "transaction_id": "T-1b"}
    answer = await service.client.post(f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": mended})
    assert (answer.json()["created"], mended["amount"], mended["kind"]) == (1, "4.50", "purchase")


async def test_rows_of_the_erased_are_refused_and_not_kept(service: Service) -> None:
    await imported(service, ONE)
    assert (await service.client.delete("/v1/customers/C-1")).status_code == 200
    job = await imported(service, csv_of(FLAT, f"T-2,C-1,{WHEN},1.00", f"T-3,C-2,{WHEN},1.00"))
    assert (job["result"]["created"], job["result"]["reasons"]) == (1, {"customer_erased": 1})
    (kept,) = (await service.client.get("/v1/rejections")).json()["data"]
    assert (kept["customer_id"], kept["payload"]) == (None, None)


async def test_a_dry_run_stores_nothing(service: Service) -> None:
    job = await imported(service, csv_of(FLAT, f"T-1,C-1,{WHEN},10.00", f"T-2,C-1,{WHEN},ten"), dry_run="true")
    assert (job["result"]["dry_run"], job["result"]["created"], job["result"]["rejected"]) == (True, 1, 1)
    assert (await service.client.get("/v1/customers/C-1")).status_code == 404
    assert (await service.client.get("/v1/rejections")).json()["data"] == []


async def test_a_file_that_cannot_be_read_fails_the_job_with_the_reason(service: Service) -> None:
    job = await imported(service, csv_of(FLAT, f"T-1,Jörg,{WHEN},10.00").encode("latin-1"))
    assert (job["status"], job["error"]["code"]) == ("failed", "unreadable_body")
    assert "line 2" in job["error"]["detail"]


async def test_a_column_that_is_not_there_fails_the_job_with_those_that_are(service: Service) -> None:
    job = await imported(service, ONE, map=["customer_id:CustomerID"])
    assert (job["status"], job["error"]["errors"][0]["pointer"]) == ("failed", "map")
    assert "'customer_id', 'occurred_at'" in job["error"]["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"map": "customer_id"}, "map"),
        ({"map": "colour:Colour"}, "map"),
        ({"map": ["customer_id:a", "customer_id:b"]}, "map"),
        ({"map": "customer_id:a\x00b"}, "map"),
        ({"source": ""}, "source"),
        ({"source": "a\x00b"}, "source"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"currency": "ZZZ"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"dry_run": "perhaps"}, "dry_run"),
    ],
)
async def test_options_that_cannot_be_meant_are_refused_at_once(
    service: Service, query: dict[str, Any], pointer: str
) -> None:
    answer = await service.client.post("/v1/imports/transactions", content=ONE, headers=CSV, params={**EUR, **query})
    assert answer.status_code == 422, answer.text
    assert pointer in answer.json()["errors"][0]["pointer"]


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({}, ONE, 415),
        ({"content-type": "application/json"}, ONE, 415),
        ({**CSV, "content-encoding": "br"}, ONE, 415),
        ({**CSV, "content-encoding": "gzip"}, ONE, 400),
        (CSV, "", 422),
        ({**CSV, "content-length": str(2 * 1024**3 + 1)}, ONE, 413),
    ],
)
async def test_bodies_that_are_no_file_are_refused_at_once(
    service: Service, headers: dict[str, str], content: str, status: int
) -> None:
    answer = await service.client.post("/v1/imports/transactions", content=content, headers=headers, params=EUR)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (await service.client.get("/v1/jobs")).json()["data"] == []


async def test_a_body_that_says_nothing_of_its_size_is_cut_off_at_the_limit(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 2 GiB would take a minute to send; the limit is what is under test, not its size.
    monkeypatch.setattr(upload, "LARGEST_UPLOAD", 3_000_000)

    async def endless() -> Any:
        for _ in range(4):
            yield b"x" * 1_000_000

    answer = await service.client.post("/v1/imports/transactions", content=endless(), headers=CSV, params=EUR)
    assert answer.status_code == 413


async def test_only_keys_that_may_ingest_import(service: Service) -> None:
    made = await service.client.post("/v1/keys", json={"name": "reader", "scopes": ["customers:read"]})
    headers = {**CSV, "authorization": f"Bearer {made.json()['key']}"}
    answer = await service.client.post("/v1/imports/transactions", content=ONE, headers=headers, params=EUR)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_an_unknown_kind_of_record_is_refused(service: Service) -> None:
    for kind in ("costs", "%00", "transactions%00"):
        answer = await service.client.post(f"/v1/imports/{kind}", content=ONE, headers=CSV)
        assert answer.status_code == 422


async def test_an_import_is_in_the_audit_log(service: Service) -> None:
    await imported(service, ONE)
    entries = (await service.client.get("/v1/audit-log")).json()["data"]
    assert [(entry["action"], entry["object"]) for entry in entries] == [("POST /v1/imports/{records}", "transactions")]
