"""The views for BI tools: what they say, that the page about them is true, and who may read them."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import make_url

from app.money import from_minor
from app.money.iso4217 import BY_CODE
from tests.conftest import Service
from tests.support import campaigns
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import CUSTOMERS, shop

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "reporting.md").read_text()
COLUMNS = """
    select table_name, column_name, data_type from information_schema.columns
     where table_schema = 'reporting' order by table_name, ordinal_position
"""
# A model that serves, without the seconds of training it: its scores are what is looked at.
MODEL = """
    with artifact as (
      insert into models (kind, algorithm, format, content, signature, fingerprint, customers, window_to)
      values (%(kind)s, 'test', 'test', '', '', '', 1, now()) returning model_id)
    insert into predictive_models (kind, status, algorithm, request, artifact_id, as_of)
    select %(kind)s, %(status)s, 'test', %(request)s::jsonb, model_id, now() from artifact
    returning model_id
"""


def ask(url: str, query: str, given: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        return connection.execute(query, given).fetchall()


async def test_the_page_names_every_view_and_column_with_its_type_and_no_other(database_url: str) -> None:
    sections = re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    described = [
        (view, *column)
        for view, text in sections
        for column in re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    ]
    there = [tuple(row.values()) for row in ask(database_url, COLUMNS)]
    assert len(there) > 100
    assert sorted(described) == sorted(there)
    by_view = [[each for each in described if each[0] == view] for view, _ in sections]
    # In the order of the view too, in which a tool shows them.
    assert [each for columns in sorted(by_view) for each in columns] == there


async def test_every_view_says_in_the_database_what_one_row_is(database_url: str) -> None:
    query = """
        select relname from pg_class
         where relnamespace = 'reporting'::regnamespace and relkind = 'v' and obj_description(oid) !~ '^One row per'
    """
    assert ask(database_url, query) == []


async def test_amounts_have_the_digits_of_their_currency(database_url: str) -> None:
    """ISO 4217 as the service knows it: the migration spells the exceptions out."""
    known = [code for code, row in BY_CODE.items() if not row.refused]
    query = "select code, reporting.major_units(-123456, code) as amount from unnest(%(known)s::text[]) as code"
    found = {row["code"]: str(row["amount"]) for row in ask(database_url, query, {"known": known})}
    assert found == {code: from_minor(-123456, code) for code in known}


async def test_sales_add_up_by_day_currency_and_channel(service: Service) -> None:
    await service.push(
        transaction("A", amount="10.00", channel="web", margin="4.00", items=[]),
        transaction("B", amount="0.00", channel="web"),
        # The last second of the day in UTC, though the next day in Berlin.
        transaction("C", amount="2.50", channel="web", occurred_at="2026-10-02T01:59:59+02:00", customer_id=None),
        transaction("D", amount="4.00", channel="web", kind="refund", refunds="A", occurred_at="2026-10-02T00:00:00Z"),
        transaction("E", amount="1234", currency="JPY"),
        transaction("F", amount="1.234", currency="KWD"),
    )
    sales = ask(service.database_url, "select * from reporting.daily_sales order by day, currency")
    nothing = Decimal(0)
    assert [tuple(row.values()) for row in sales] == [
        (date(2026, 10, 1), "EUR", "web", 2, Decimal("12.50"), 0, nothing, Decimal("12.50")),
        (date(2026, 10, 1), "JPY", None, 1, Decimal(1234), 0, nothing, Decimal(1234)),
        (date(2026, 10, 1), "KWD", None, 1, Decimal("1.234"), 0, nothing, Decimal("1.234")),
        (date(2026, 10, 2), "EUR", "web", 0, nothing, 1, Decimal("4.00"), Decimal("-4.00")),
    ]
    query = "select transaction_id, customer_id, amount, signed_amount, margin, refunds from reporting.transactions"
    facts = {row.pop("transaction_id"): tuple(row.values()) for row in ask(service.database_url, query)}
    assert facts["A"] == ("C-1", Decimal("10.00"), Decimal("10.00"), Decimal("4.00"), None)
    assert facts["C"] == (None, Decimal("2.50"), Decimal("2.50"), None, None)
    assert facts["D"] == ("C-1", Decimal("4.00"), Decimal("-4.00"), None, "A")


async def test_lines_carry_what_their_transaction_says(service: Service) -> None:
    lines = [{"product_id": "tea", "quantity": "1.5", "unit_price": "2.00"}]
    await service.push(transaction("A", amount="3.00", items=lines, channel="shop"))
    [line] = ask(service.database_url, "select * from reporting.transaction_items")
    assert (line["line"], line["product_id"], line["line_amount"]) == (0, "tea", Decimal(3))
    assert (line["currency"], line["customer_id"], line["kind"], line["channel"]) == ("EUR", "C-1", "purchase", "shop")


async def test_a_cost_is_spread_evenly_over_its_days(service: Service) -> None:
    cost = {"cost_id": "K", "category": "media", "amount": "100.00", "currency": "EUR", "channel": "web"}
    body = {"costs": [{**cost, "from": "2026-10-30", "to": "2026-11-02"}]}
    assert (await service.client.post("/v1/costs", json=body)).status_code == 200
    days = ask(service.database_url, "select day, amount, currency from reporting.costs_by_day order by day")
    assert [row["day"] for row in days] == [date(2026, 10, 30), date(2026, 10, 31), date(2026, 11, 1)]
    assert [round(row["amount"], 6) for row in days] == [Decimal("33.333333")] * 3
    assert round(sum(row["amount"] for row in days), 6) == 100


async def test_segments_and_memberships_are_those_the_service_answers(service: Service) -> None:
    modelling = Modelling(service)
    await service.push(*shop())
    await modelling.learn_and_activate()
    await modelling.drain()
    [shown] = (await modelling.get("/v1/segmentations"))["data"]
    rows = ask(service.database_url, "select * from reporting.segments where in_version order by position")
    assert [(str(row["segment_id"]), row["segment_key"], row["segment"]) for row in rows] == [
        (each["segment_id"], each["key"], each["name"]) for each in shown["segments"]
    ]
    assert {(row["segmentation"], row["version"], row["version_status"]) for row in rows} == {("RFM", 1, "active")}
    query = "select segment_key, count(*) as size from reporting.memberships where is_current group by 1"
    sizes = {row["segment_key"]: row["size"] for row in ask(service.database_url, query)}
    assert sizes == {each["key"]: each["size"] for each in shown["segments"] if each["size"]}
    assert sum(sizes.values()) == CUSTOMERS


async def test_assignments_follow_merges_and_lose_the_names_of_the_erased(service: Service) -> None:
    await service.push(*(transaction(f"T-{name}", customer_id=name) for name in ("old", "new", "gone")))
    await campaigns.plan(service)
    await campaigns.expose(service, [campaigns.exposure("old"), campaigns.exposure("gone", "holdout")])
    merged = await service.client.post("/v1/customers/merge", json={"from": "old", "into": "new"})
    assert merged.status_code == 200
    assert (await service.client.delete("/v1/customers/gone")).status_code in (200, 204)
    query = "select customer_id, arm, is_holdout from reporting.campaign_assignments order by arm"
    assert [tuple(row.values()) for row in ask(service.database_url, query)] == [
        (None, "holdout", True),
        ("new", "treated", False),
    ]
    query = "select customer_id from reporting.customers union select customer_id from reporting.transactions"
    assert {row["customer_id"] for row in ask(service.database_url, query)} == {"new", None}
    [planned] = ask(service.database_url, "select campaign_id, channel, holdout_share from reporting.campaigns")
    assert tuple(planned.values()) == ("autumn", "email", 0.5)


async def test_scores_are_those_of_the_active_models(database_url: str) -> None:
    for status, worth in (("active", 12345), ("archived", 99999)):
        request = '{"currency": "JPY", "horizon_days": 365}'
        [clv] = ask(database_url, MODEL, {"kind": "clv", "status": status, "request": request})
        scores = "insert into clv_scores values (%(model_id)s, 'C-1', 0.5, 2, null, %(worth)s, now()) returning true"
        ask(database_url, scores, {**clv, "worth": worth})
        [churn] = ask(database_url, MODEL, {"kind": "churn", "status": status, "request": "{}"})
        scores = "insert into churn_scores values (%(model_id)s, 'C-1', 0.25, %(worth)s, null, now()) returning true"
        ask(database_url, scores, {**churn, "worth": worth})
    query = "select customer_id, expected_value, clv, currency, horizon_days from reporting.clv_scores"
    assert [tuple(row.values()) for row in ask(database_url, query)] == [("C-1", None, Decimal(12345), "JPY", 365)]
    query = "select churn_probability, expected_value_minor, value_at_risk_minor from reporting.churn_scores"
    assert [tuple(row.values()) for row in ask(database_url, query)] == [(0.25, 12345, None)]


def examples() -> Iterator[str]:
    yield from re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


async def test_the_questions_of_the_page_are_answered(service: Service) -> None:
    await service.push(transaction("A", channel="web"), transaction("B", currency="JPY", amount="5"))
    answers = [ask(service.database_url, query) for query in examples()]
    assert len(answers) == 6
    assert [row["net"] for row in answers[0]] == [Decimal("10.00"), Decimal(5)]
    assert [(row["channel"], row["net"]) for row in answers[3]] == [("unknown", Decimal(5)), ("web", Decimal("10.00"))]
