"""Key figures of a real shop equal the published ones: Online Retail, UCI Machine Learning Repository, 2010 to 2011."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv
import pytest
from sqlalchemy import make_url, text

from app.db.embedded import EmbeddedPostgres
from app.db.engine import Database
from app.measurement.cohorts.service import Asked, triangle
from app.measurement.kpis import service
from app.measurement.kpis.question import Reporting, Sent
from app.measurement.rollups.concerned import Basis
from app.measurement.rollups.folding import fold
from tests.conftest import url_of

pytestmark = [pytest.mark.anyio, pytest.mark.real_data]

# Unit prices have up to 6 decimals by contract, so a line is a whole number of millionths and a penny 10,000 of them.
MILLIONTHS, PENNY = 1_000_000, 10_000


@dataclass
class Shop:
    database_url: str
    reference: dict[str, Any]


@pytest.fixture(scope="module", params=["facts", "sums"])
def shop(postgres: EmbeddedPostgres, real_data: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """All invoices in one database, for reading only: as they came in, and folded into the sums by day."""
    folder = real_data / "online_retail"
    if not folder.is_dir():
        pytest.skip("no online_retail among the real data")
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("create database online_retail template migrated strategy file_copy")
        url = url_of(postgres, "online_retail")
        if request.param == "sums":
            # Before the invoices, so that it is the ledger that knows of them.
            asyncio.run(fold_all(url))
        load(invoices(folder / "online_retail_2010_2011.csv.gz"), url)
        if request.param == "sums":
            asyncio.run(fold_all(url))
        yield Shop(url, json.loads((folder / "reference.json").read_text()))
        connection.execute("drop database online_retail with (force)")


async def fold_all(url: str) -> None:
    database = Database(url, pool_size=1, statement_timeout_seconds=30, application="test")
    folded = 1
    while folded:
        async with database.write() as session:
            folded = await fold(session, Basis("GBP", ZoneInfo("UTC")))
    await database.close()


def invoices(path: Path) -> pa.Table:
    """One row per invoice: number, customer, time, and the sum of its lines in pence, rounded half away from zero."""
    types = {"InvoiceNo": pa.string(), "CustomerID": pa.string(), "Quantity": pa.int64(), "UnitPrice": pa.float64()}
    options = pyarrow.csv.ConvertOptions(
        column_types={**types, "InvoiceDate": pa.timestamp("s")},
        strings_can_be_null=True,
        include_columns=[*types, "InvoiceDate"],
    )
    with gzip.open(path) as file:
        lines = pyarrow.csv.read_csv(file, convert_options=options)
    prices = np.rint(lines["UnitPrice"].to_numpy() * MILLIONTHS).astype(np.int64)
    lines = lines.append_column("millionths", pa.array(lines["Quantity"].to_numpy() * prices))
    return lines.group_by("InvoiceNo").aggregate([("CustomerID", "min"), ("InvoiceDate", "min"), ("millionths", "sum")])


def load(table: pa.Table, url: str) -> None:
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    copy = (
        "copy transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency) from stdin"
    )
    with psycopg.connect(conninfo) as connection, connection.cursor().copy(copy) as rows:
        for row in table.to_pylist():
            millionths = row["millionths_sum"]
            pence = (abs(millionths) + PENNY // 2) // PENNY
            customer = row["CustomerID_min"] and row["CustomerID_min"].removesuffix(".0")
            kind = "refund" if millionths < 0 else "purchase"
            rows.write_row(
                ("retail", row["InvoiceNo"], customer, row["InvoiceDate_min"].replace(tzinfo=UTC), kind, pence, "GBP")
            )


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    database = Database(shop.database_url, pool_size=1, statement_timeout_seconds=30, application="test")
    yield database
    await database.close()


async def figures(database: Database, *metrics: str, **asked: Any) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Rows by metric and period."""
    sent = Sent(metrics=metrics, **asked)
    reporting = Reporting(currency="GBP", zone=ZoneInfo("UTC"), now=datetime(2012, 1, 1, tzinfo=UTC))
    async with database.read() as session:
        answer = await service.answer(session, sent=sent, reporting=reporting)
    return {(row["metric"], row["period"]): row for row in answer["data"]}


async def test_the_sums_hold_every_day_with_an_invoice(database: Database, request: pytest.FixtureRequest) -> None:
    folded = request.node.callspec.params["shop"] == "sums"
    async with database.read() as session:
        days, waiting = (
            await session.execute(
                text("select count(distinct day), (select count(*) from rollup_entries) from kpi_days")
            )
        ).one()
    # 305 trading days, as the published file has them.
    assert (days, waiting > 0) == ((305, False) if folded else (0, True))


async def test_net_revenue_of_everybody_is_the_published_one(database: Database, shop: Shop) -> None:
    rows = await figures(database, "revenue_net")
    assert rows["revenue_net", None]["value"] == shop.reference["money_all"]["net"] == 9_747_747.93


async def test_figures_of_known_customers_are_the_published_ones(database: Database, shop: Shop) -> None:
    metrics = ("revenue_gross", "refunds", "revenue_net", "purchases", "buyers", "new_customers")
    rows = await figures(database, *metrics, "average_order_value", customers="known")
    known = shop.reference["money_known_customers"]
    assert {metric: rows[metric, None]["value"] for metric in metrics} == {
        "revenue_gross": known["gross_positive"],
        "refunds": -known["cancellations"],
        "revenue_net": known["net"],
        "purchases": known["purchase_invoices"],
        "buyers": known["customers_with_positive_purchase"],
        "new_customers": known["customers_with_positive_purchase"],
    }
    average = rows["average_order_value", None]
    assert round(average["value"], 3) == known["aov"] == 480.866
    assert average["low"] < average["value"] < average["high"]
    assert (average["n"], average["denominator"]) == (18_532, 18_532)


async def test_every_month_of_known_customers_is_the_published_one(database: Database, shop: Shop) -> None:
    names = {
        "gross": "revenue_gross",
        "refunds": "refunds",
        "net": "revenue_net",
        "invoices": "purchases",
        "customers": "buyers",
        "new_customers": "new_customers",
        "aov": "average_order_value",
    }
    rows = await figures(database, *names.values(), customers="known", interval="month", to="2012-01-01")
    months = shop.reference["monthly_known"]
    assert {period for _, period in rows} == set(months)
    assert len(months) == 13
    for month, published in months.items():
        found = {name: rows[metric, month]["value"] for name, metric in names.items()}
        # Published with 4 decimals; December 2010 is 572,713.89 / 1,400 = 409.08135, a tie that was rounded down.
        aov = pytest.approx(published["aov"], abs=0.000_05 + 1e-9)
        assert found == {**published, "refunds": -published["refunds"], "aov": aov}, month


@pytest.mark.parametrize(
    ("metric", "published"),
    [("buyers", "cohort_counts"), ("retention", "cohort_retention_pct"), ("revenue", "cohort_revenue")],
)
async def test_the_triangle_of_cohorts_is_the_published_one(
    database: Database, shop: Shop, metric: Any, published: str
) -> None:
    reporting = Reporting(currency="GBP", zone=ZoneInfo("UTC"), now=datetime(2011, 12, 9, 13, tzinfo=UTC))
    async with database.read() as session:
        answer = await triangle(session, asked=Asked(metric=metric, to="2012-01-01"), reporting=reporting)
    found = {row["cohort"]: [cell["value"] for cell in row["cells"]] for row in answer["data"]}
    assert list(found) == list(shop.reference[published])
    for cohort, expected in shop.reference[published].items():
        if metric == "retention":  # published in percent with 4 decimals
            near = [share and pytest.approx(share / 100, abs=0.000_000_5 + 1e-9) for share in expected]
            assert found[cohort] == near, cohort
        else:
            assert found[cohort] == expected, cohort
    # The shop was asked on its last day, in December: what is of December may still grow.
    assert {cell["period"] for row in answer["data"] for cell in row["cells"] if not cell["complete"]} == {
        "2011-12",
        None,
    }
