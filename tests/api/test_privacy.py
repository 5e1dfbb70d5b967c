"""Exporting and erasing customers: every table that knows them, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import ARRAY, LargeBinary, Table, UniqueConstraint, make_url
from sqlalchemy.dialects.postgresql import JSONB

from app.records.privacy.definitions import KNOWS_NOBODY, PLANS, AtMerge, unplanned
from app.tables import metadata
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

# An identifier that stands nowhere by accident, and whose spelling in JSON, URLs and arrays differs.
PERSON = 'Zoë "Q" 7'
NAMES = {"customer_id", "customer_ids", "alias"}
MODELLING = (
    "past_attributes",
    "segment_exceptions",
    "evaluations_due",
    "membership_changes",
    "webhook_deliveries",
    "churn_scores",
    "clv_scores",
)


@asynccontextmanager
async def database(service: Service) -> AsyncIterator[psycopg.AsyncConnection]:
    url = make_url(service.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def fetch(service: Service, query: str | sql.Composed, *values: Any) -> list[tuple[Any, ...]]:
    async with database(service) as connection:
        return await (await connection.execute(query, values)).fetchall()  # type: ignore[call-overload]


async def execute(service: Service, statement: str, *values: Any) -> None:
    async with database(service) as connection:
        await connection.execute(statement, values)  # type: ignore[call-overload]


async def push(service: Service, kind: str, *rows: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.post(f"/v1/{kind}", json={kind: rows})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def url_of(customer_id: str, suffix: str = "") -> str:
    return f"/v1/customers/{quote(customer_id, safe='')}{suffix}"


async def erase(service: Service, customer_id: str) -> dict[str, Any]:
    answer = await service.client.delete(url_of(customer_id))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def make_known_everywhere(service: Service, person: str) -> None:
    """Let every table that can know a customer know this one, and a bystander."""
    await push(service, "customers", {"customer_id": person, "attributes": {"mail": "z@example.org"}})
    await push(service, "customers", {"customer_id": "old name"}, {"customer_id": "bystander"})
    merged = await service.client.post("/v1/customers/merge", json={"from": "old name", "into": person})
    assert merged.status_code == 200, merged.text
    line = {"product_id": "SKU", "quantity": "1.5", "unit_price": "0.125"}
    await service.push(
        transaction("T-1", customer_id=person, items=[line, line]),
        transaction("T-2", customer_id="old name"),
        transaction("T-3", customer_id="bystander", items=[line]),
        {"transaction_id": "T-4", "customer_id": person},
        {"transaction_id": "T-5", "customer_id": "old name"},
        {"transaction_id": "T-6", "customer_id": "bystander"},
        {"transaction_id": "T-7", "buyer": person},
    )
    await execute(
        service,
        "insert into events (source, event_id, customer_id, type, occurred_at, properties)"
        """ values ('web', 'E-1', %s, 'page_view', now(), '{"path": "/secret/page", "huge": 1e300}'),"""
        "        ('web', 'E-2', 'bystander', 'page_view', now(), '{}')",
        person,
    )
    for each in (person, "bystander"):
        await execute(
            service,
            "insert into memberships"
            " (segmentation_id, customer_id, segment_id, version, valid_from, since, evaluated_at)"
            " values (gen_random_uuid(), %s, gen_random_uuid(), 1, now(), now(), now())",
            each,
        )
        await execute(
            service,
            "insert into idempotency_keys (key_id, path, idempotency_key, body_digest, status, body)"
            " select key_id, '/v1/lists', %s, '', 201, convert_to(%s, 'UTF8') from api_keys limit 1",
            each,
            '{"customers": ["' + each.replace('"', '\\"') + '"]}',
        )
        await make_known_to_modelling(service, each)
        await make_predicted_and_assigned(service, each)
        await make_added_up(service, each)


async def make_added_up(service: Service, person: str) -> None:
    """What sums hold of this customer; the ledger knows all of them by what was pushed."""
    await execute(service, "insert into folded_facts values (%s, 'any')", person)
    await execute(
        service,
        "insert into folded_spells values (%s, gen_random_uuid(), array[gen_random_uuid()], '{-infinity}', '{infinity}')",
        person,
    )


async def make_predicted_and_assigned(service: Service, person: str) -> None:
    """What models say of this customer, and the arm of a campaign."""
    modelled = (
        "with a as (insert into predictive_models (kind, status, algorithm, as_of)"
        " values (%s, 'training', 'any', now()) returning model_id)"
    )
    await execute(
        service,
        modelled + " insert into churn_scores (model_id, customer_id, churn_probability, scored_at)"
        " select model_id, %s, 0.5, now() from a",
        "churn",
        person,
    )
    await execute(
        service,
        modelled + " insert into clv_scores (model_id, customer_id, p_alive, expected_purchases, scored_at)"
        " select model_id, %s, 0.5, 1, now() from a",
        "clv",
        person,
    )
    await execute(
        service,
        "with a as (insert into campaigns (campaign_id, name, objective, starts_at, ends_at, holdout_share)"
        " values (%s, 'Spring', 'revenue', now(), now() + interval '1 day', 0.1) returning campaign_id)"
        " insert into campaign_assignments (campaign_id, customer_id, arm, assigned_at)"
        " select campaign_id, %s, 'holdout', now() from a",
        person.encode().hex()[:6],
        person,
    )


async def make_known_to_modelling(service: Service, person: str) -> None:
    """What was held of this customer before, decided, due, changed and told."""
    await execute(
        service,
        "insert into past_attributes values (%s, '2026-01-01Z', '2026-02-01Z', '{\"plan\": \"plus\"}')",
        person,
    )
    await execute(
        service,
        "with a as (insert into segmentations (name, method) values (%s, 'rules') returning segmentation_id)"
        " insert into segment_exceptions select segmentation_id, 'vip', %s, 'include' from a",
        person.encode().hex()[:6],
        person,
    )
    await execute(service, "insert into evaluations_due values (%s, now())", person)
    await execute(
        service,
        "insert into membership_changes (customer_id, segmentation_id, version, entered_segment_id, changed_at)"
        " values (%s, gen_random_uuid(), 1, gen_random_uuid(), now())",
        person,
    )
    await execute(
        service,
        "with a as (insert into webhook_endpoints (url, events) values ('https://example.org', '{}')"
        " returning endpoint_id)"
        " insert into webhook_deliveries (endpoint_id, event, customer_id, payload, status)"
        " select endpoint_id, 'segment.entered', %s, '{}', 'pending' from a",
        person,
    )


async def test_every_table_is_planned_or_said_to_know_nobody() -> None:
    assert unplanned() == set()
    planned = [plan.name for plan in PLANS]
    assert len(planned) == len(set(planned))
    assert set(planned).isdisjoint(KNOWS_NOBODY)
    assert set(planned) | KNOWS_NOBODY.keys() == set(metadata.tables)


def test_whatever_names_a_customer_is_planned() -> None:
    naming = {table.name for table in metadata.tables.values() if NAMES & set(table.c.keys())}
    assert naming
    assert naming <= {plan.name for plan in PLANS}


def test_free_bytes_and_documents_are_planned_or_excused_by_name() -> None:
    """A payload column added to a table that is said to know nobody makes this fail, so that somebody looks."""
    free = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.c
        if isinstance(column.type, JSONB | LargeBinary) and table.name in KNOWS_NOBODY
    }
    assert free == {
        "api_keys.hash",
        "audit_log.details",
        "campaigns.excluded_segment_ids",
        "campaigns.frequency_cap",
        "campaigns.metrics",
        "campaigns.variants",
        "erasure_receipts.kept_anonymous",
        "erasure_receipts.removed",
        "initiatives.declared",
        "initiatives.target",
        "job_uploads.content",
        "jobs.arguments",
        "jobs.checkpoint",
        "jobs.error",
        "jobs.result",
        "known_batches.digest",
        "models.content",
        "models.libraries",
        "models.signature",
        "predictive_models.evaluation",
        "predictive_models.monitoring",
        "predictive_models.request",
        "segmentation_versions.evaluation",
        "segmentation_versions.features",
        "segmentation_versions.matching",
        "segmentation_versions.model",
        "segmentation_versions.params",
        "segmentation_versions.profile",
        "segmentations.request",
        "tombstones.customer_hash",
    }


def unique_columns(table: Table) -> list[set[str]]:
    constraints = [set(each.columns.keys()) for each in table.constraints if isinstance(each, UniqueConstraint)]
    indexes = [set(each.columns.keys()) for each in table.indexes if each.unique]
    return [set(table.primary_key.columns.keys()), *constraints, *indexes]


def test_what_moves_at_a_merge_cannot_collide_with_what_the_survivor_has() -> None:
    moving = [plan.table for plan in PLANS if plan.at_merge is AtMerge.MOVE]
    assert moving
    for table in moving:
        assert all("customer_id" not in columns for columns in unique_columns(table)), table.name


def test_lists_of_customers_are_the_only_lists_in_their_tables() -> None:
    for plan in PLANS:
        if plan.at_merge is AtMerge.RENAME:
            assert sum(isinstance(column.type, ARRAY) for column in plan.table.c) == 1, plan.name


async def test_an_export_holds_what_every_table_knows_of_the_customer_and_of_nobody_else(service: Service) -> None:
    await make_known_everywhere(service, PERSON)
    answer = await service.client.get(url_of("old name", "/export"))
    assert answer.status_code == 200
    assert "bystander" not in answer.text
    found = answer.json()
    assert (found["customer_id"], found["merged_from"]) == (PERSON, "old name")
    tables = found["tables"]
    assert tables.keys() == {plan.name for plan in PLANS if plan.columns}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "customers": 1,
        "customer_aliases": 1,
        "transactions": 2,
        "transaction_items": 2,
        "events": 1,
        "memberships": 1,
        **dict.fromkeys(MODELLING, 1),
        "campaign_assignments": 1,
        "rejections": 3,
        # The pushes of the customer and of the old name, the merge; small pushes of facts are evaluated as they come.
        "dirty_customers": 3,
        "idempotency_keys": 1,
    }
    assert tables["customers"][0]["attributes"] == {"mail": "z@example.org"}
    assert tables["events"][0]["properties"] == {"path": "/secret/page", "huge": 10**300}
    assert tables["transactions"][0].items() >= {"amount_minor": 1000, "currency": "EUR"}.items()
    assert tables["transaction_items"][0]["quantity"] == "1.500000"
    assert [row["payload"].get("transaction_id") for row in tables["rejections"]] == ["T-4", "T-5", "T-7"]


async def tables_that_hold(service: Service, word: str) -> set[str]:
    """Tables of the database, planned or not, with this word in any spelling in any column."""
    quoted = [word, word.replace('"', '\\"'), quote(word, safe="")]
    spellings = [*quoted, *(each.encode().hex() for each in quoted)]
    patterns = [f"%{each}%".replace("\\", "\\\\") for each in spellings]
    holding = set()
    for (table,) in await fetch(service, "select tablename from pg_tables where schemaname = 'public'"):
        query = sql.SQL("select 1 from {} as t where to_jsonb(t)::text like any(%s) limit 1").format(
            sql.Identifier(table)
        )
        if await fetch(service, query, patterns):
            holding.add(table)
    return holding


async def test_erasure_leaves_no_trace_of_the_customer_in_any_table(service: Service) -> None:
    await make_known_everywhere(service, PERSON)
    by_name = await tables_that_hold(service, PERSON)
    assert by_name == {plan.name for plan in PLANS} - {"transaction_items"}
    assert await tables_that_hold(service, "old name") == {"customer_aliases", "rejections"}
    assert await tables_that_hold(service, "z@example.org") == {"customers"}
    assert await tables_that_hold(service, "/secret/page") == {"events"}
    receipt = await erase(service, PERSON)
    for word in (PERSON, "old name", "z@example.org", "/secret/page"):
        assert await tables_that_hold(service, word) == set()
    assert UUID(receipt["receipt_id"])
    assert receipt["erased_at"] == "2026-11-01T12:00:00Z"
    assert receipt["removed"] == {
        "customer_aliases": 1,
        "customers": 1,
        "memberships": 1,
        **dict.fromkeys(MODELLING, 1),
        "rejections": 3,
        "dirty_customers": 3,
        "idempotency_keys": 1,
    }
    kept = {"transaction_items": 2, "transactions": 2, "events": 1, "campaign_assignments": 1}
    kept |= {"folded_facts": 1, "folded_spells": 1}
    # As many as statements wrote, those of the erasure too.
    assert receipt["kept_anonymous"].pop("rollup_entries") > 1
    assert receipt["kept_anonymous"] == kept


async def test_erasure_leaves_everybody_else_and_the_totals_as_they_were(service: Service) -> None:
    await make_known_everywhere(service, PERSON)
    totals = "select (select sum(amount_minor) from transactions), (select count(*) from events), (select count(*) from transaction_items)"
    before = await fetch(service, totals)
    bystander = (await service.client.get(url_of("bystander", "/export"))).json()["tables"]
    await erase(service, PERSON)
    assert await fetch(service, totals) == before
    assert (await service.client.get(url_of("bystander", "/export"))).json()["tables"] == bystander
    assert await fetch(service, "select customer_id, properties from events where event_id = 'E-1'") == [(None, {})]
    assert await fetch(service, "select customer_ids from dirty_customers where 'bystander' = any(customer_ids)") != []
    assert await fetch(service, "select 1 from dirty_customers where cardinality(customer_ids) = 0") == []


async def test_the_erased_are_refused_under_all_their_names_and_nothing_is_kept(service: Service) -> None:
    await make_known_everywhere(service, PERSON)
    await erase(service, PERSON)
    kept = await fetch(service, "select count(*) from rejections")
    for name in (PERSON, "old name"):
        for kind, row in (
            ("customers", {"customer_id": name, "attributes": {"mail": "z@example.org"}}),
            ("transactions", transaction("T-9", customer_id=name)),
            # What was stored before the erasure does not come back either.
            ("transactions", transaction("T-2", customer_id=name)),
        ):
            answer = await push(service, kind, row, {**row, f"{kind[:-1]}_id": "fine", "customer_id": "bystander"})
            assert [(each["index"], each["code"]) for each in answer["rejected"]] == [(0, "customer_erased")]
    rows = await fetch(service, "select payload, customer_id from rejections where code = 'customer_erased'")
    assert rows == [(b"", None)] * 6
    assert await fetch(service, "select count(*) from rejections") == [(kept[0][0] + 6,)]
    assert await fetch(service, "select 1 from customers where customer_id in (%s, 'old name')", PERSON) == []


async def test_bad_rows_of_the_erased_are_not_kept_either(service: Service) -> None:
    await push(service, "customers", {"customer_id": PERSON}, {"customer_id": "bystander"})
    await erase(service, PERSON)
    for bad in ({"currency": "ZZZ"}, {"mail": "z@example.org"}, {"amount": "-1"}):
        rows = [transaction("T-1", customer_id=each, **bad) for each in ("bystander", PERSON)]
        answer = await push(service, "transactions", *rows)
        assert answer["rejected"][0]["code"] != "customer_erased"
        assert answer["rejected"][1]["code"] == "customer_erased"
    kept = await fetch(service, "select customer_id, length(payload) > 0 from rejections order by rejection_id")
    assert kept == [("bystander", True), (None, False)] * 3


async def test_a_batch_that_was_stored_before_the_erasure_is_looked_at_again(service: Service) -> None:
    rows = [transaction(f"T-{i}", customer_id=f"C-{i}") for i in range(150)]
    assert (await service.push(*rows))["created"] == 150
    assert (await service.push(*rows))["duplicates"] == 150
    await erase(service, "C-7")
    again = await service.push(*rows)
    assert (again["duplicates"], [row["code"] for row in again["rejected"]]) == (149, ["customer_erased"])


async def test_erasing_again_gives_the_same_receipt(service: Service) -> None:
    await make_known_everywhere(service, PERSON)
    receipt = await erase(service, "old name")
    assert await erase(service, PERSON) == receipt
    assert await erase(service, "old name") == receipt
    assert await fetch(service, "select count(*) from erasure_receipts") == [(1,)]


@pytest.mark.parametrize("path", ["nobody", "%00", "C-1%00", "%FF", "..%2F", "%20"])
async def test_somebody_never_known_cannot_be_erased_or_exported(service: Service, path: str) -> None:
    await push(service, "customers", {"customer_id": "C-1"})
    for answer in (
        await service.client.delete(f"/v1/customers/{path}"),
        await service.client.get(f"/v1/customers/{path}/export"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")
    assert await fetch(service, "select count(*) from tombstones") == [(0,)]


async def test_the_erased_are_not_found_anywhere(service: Service) -> None:
    await service.push(transaction(customer_id="C-1"))
    await erase(service, "C-1")
    for suffix in ("", "/export", "/transactions"):
        assert (await service.client.get(url_of("C-1", suffix))).status_code == 404
    assert (await service.client.get("/v1/customers")).json()["data"] == []


async def test_somebody_known_only_from_refused_rows_can_be_exported_and_erased(service: Service) -> None:
    await push(service, "transactions", {"transaction_id": "T-1", "customer_id": "C-1"})
    assert len((await service.client.get(url_of("C-1", "/export"))).json()["tables"]["rejections"]) == 1
    assert (await erase(service, "C-1"))["removed"]["rejections"] == 1
    assert (await push(service, "customers", {"customer_id": "C-1"}))["rejected"][0]["code"] == "customer_erased"


@pytest.mark.parametrize("customer_id", ["gid://shop/Customer/17", "a/export", "merge", "50%", "?#", "'", "\\", "{}"])
async def test_whoever_can_be_stored_can_be_exported_and_erased(service: Service, customer_id: str) -> None:
    await push(service, "customers", {"customer_id": customer_id}, {"customer_id": "bystander"})
    exported = (await service.client.get(url_of(customer_id, "/export"))).json()
    assert exported["tables"]["customers"][0]["customer_id"] == customer_id
    assert (await erase(service, customer_id))["removed"]["customers"] == 1
    assert await fetch(service, "select customer_id from customers") == [("bystander",)]


async def test_a_short_identifier_does_not_take_the_refused_rows_of_others(service: Service) -> None:
    await push(service, "customers", {"customer_id": "1"})
    await push(service, "transactions", {"transaction_id": "1", "customer_id": "2"}, {"transaction_id": "11"})
    assert (await erase(service, "1"))["removed"]["rejections"] == 0


async def test_an_erasure_is_in_the_audit_log_without_the_identifier(service: Service) -> None:
    await push(service, "customers", {"customer_id": "C-1"})
    await erase(service, "C-1")
    entry = (await service.client.get("/v1/audit-log")).json()["data"][0]
    assert entry["action"].startswith("DELETE /v1/customers/")
    assert len(entry["object"]) == 64


async def test_erasing_while_rows_come_in_leaves_none_behind(service: Service) -> None:
    async def push_some(batch: int) -> int:
        rows = [transaction(f"T-{batch}-{i}", customer_id=f"C-{i % 3}") for i in range(30)]
        return int((await service.push(*rows, source=f"s{batch % 2}"))["created"])

    await service.push(transaction("first", customer_id="C-1"))
    answers = await asyncio.gather(
        *(push_some(batch) for batch in range(3)), erase(service, "C-1"), *(push_some(batch) for batch in range(3, 9))
    )
    stored = 1 + sum(answer for answer in answers if isinstance(answer, int))
    receipt = next(answer for answer in answers if not isinstance(answer, int))
    assert await fetch(service, "select count(*) from transactions") == [(stored,)]
    assert await fetch(service, "select count(*) from transactions where customer_id = 'C-1'") == [(0,)]
    nameless = await fetch(service, "select count(*) from transactions where customer_id is null")
    assert nameless == [(receipt["kept_anonymous"]["transactions"],)]
    assert await fetch(service, "select 1 from dirty_customers where 'C-1' = any(customer_ids)") == []
    assert await fetch(service, "select customer_id from customers order by 1") == [("C-0",), ("C-2",)]


async def test_erasing_at_once_gives_one_receipt(service: Service) -> None:
    await push(service, "customers", {"customer_id": "C-1"})
    receipts = await asyncio.gather(*(erase(service, "C-1") for _ in range(4)))
    assert len({receipt["receipt_id"] for receipt in receipts}) == 1


async def test_a_customer_with_a_hundred_thousand_transactions_can_be_exported_and_erased(service: Service) -> None:
    await push(service, "customers", {"customer_id": "C-1"})
    await execute(
        service,
        "insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)"
        " select 'bulk', i::text, 'C-1', now(), 'purchase', 100, 'EUR' from generate_series(1, 100000) as i",
    )
    exported = (await service.client.get(url_of("C-1", "/export"))).json()
    assert len(exported["tables"]["transactions"]) == 100_000
    assert (await erase(service, "C-1"))["kept_anonymous"]["transactions"] == 100_000


@pytest.mark.parametrize(
    ("scope", "may"), [("customers:read", {"GET"}), ("customers:write", {"DELETE"}), ("ingest", set())]
)
async def test_reading_and_erasing_need_scopes_of_their_own(service: Service, scope: str, may: set[str]) -> None:
    await push(service, "customers", {"customer_id": "C-1"})
    made = await service.client.post("/v1/keys", json={"name": "narrow", "scopes": [scope]})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    for method, path in (("GET", "/v1/customers/C-1/export"), ("DELETE", "/v1/customers/C-1")):
        answer = await service.client.request(method, path, headers=headers)
        assert answer.status_code == (200 if method in may else 403)
