"""The Online Retail file of the UCI repository, imported by the command, against its published and counted figures."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from app.jobs.worker import conninfo

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
MAP = {
    "transaction_id": "InvoiceNo",
    "customer_id": "CustomerID",
    "occurred_at": "InvoiceDate",
    "product_id": "StockCode",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
}


def tessera_import(file: Path, database_url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    mapped = [word for field, column in MAP.items() for word in ("--map", f"{field}={column}")]
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "import", "transactions", str(file), *mapped, "--currency", "GBP"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "TESSERA_DATABASE_URL": url, "TESSERA_SECRET": "s" * 40},
        timeout=110,
        check=False,
    )


def figures(connection: psycopg.Connection) -> dict[str, Any]:
    found = connection.execute(
        """
        select count(*),
               sum(case kind when 'purchase' then amount_minor else -amount_minor end),
               sum(amount_minor) filter (where kind = 'purchase' and customer_id is not null),
               sum(amount_minor) filter (where kind = 'refund' and customer_id is not null),
               count(*) filter (where kind = 'purchase' and customer_id is not null and amount_minor > 0),
               count(distinct customer_id) filter (where kind = 'purchase' and amount_minor > 0),
               sum(line_count)
          from transactions
        """
    ).fetchone()
    assert found is not None
    names = ("transactions", "net", "known_gross", "known_refunds", "known_purchases", "buyers", "lines")
    return dict(zip(names, found, strict=True))


def test_every_invoice_is_one_transaction_and_the_money_is_right(
    real_data: Path, database_url: str, tmp_path: Path
) -> None:
    folder = real_data / "online_retail"
    file = tmp_path / "online_retail.csv.gz"
    file.symlink_to(folder / "online_retail_2010_2011.csv.gz")
    reference = json.loads((folder / "reference.json").read_text())
    known = reference["money_known_customers"]
    expected = {
        "transactions": reference["raw"]["invoices"],
        "net": Decimal(str(reference["money_all"]["net"])) * 100,
        "known_gross": Decimal(str(known["gross_positive"])) * 100,
        "known_refunds": -Decimal(str(known["cancellations"])) * 100,
        "known_purchases": known["purchase_invoices"],
        "buyers": known["customers_with_positive_purchase"],
        "lines": reference["raw"]["rows"],
    }
    for created, duplicates in ((25_900, 0), (0, 25_900)):
        done = tessera_import(file, database_url, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        counts = f"{created:,} created, 0 updated, {duplicates:,} duplicates, 0 rejected (541,909 rows"
        assert done.stdout.startswith(f"transactions: {counts}")
        assert "columns not used: Description, Country" in done.stdout
        assert [path.name for path in tmp_path.iterdir()] == [file.name]
        with psycopg.connect(conninfo(database_url)) as connection:
            assert figures(connection) == expected
            # Identifiers stay as the file has them.
            assert connection.execute("select count(*) from customers where customer_id = '17850.0'").fetchone() == (1,)
            exact = connection.execute("select sum(quantity * unit_price) from transaction_items").fetchone()
            # The file's own lines add up to a tenth of a penny more than its rounded invoices.
            assert exact == (Decimal("9747747.934"),)
