"""Importing the Online Retail file beside the least that could be done with it: reading it and copying it raw.

Run: python -m bench.import_file [rounds]. Needs the real data (TESSERA_TEST_DATA, default ../shared/data).
"""

import asyncio
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv
from sqlalchemy import text

from app.db import migrate
from app.db.embedded import database_for
from app.db.engine import Database
from app.jobs.runtime import Step
from app.jobs.worker import conninfo
from app.records.imports.options import Options
from app.records.imports.service import File, Surroundings, Tally, run
from app.records.intake.bulk import Intake
from app.records.intake.customers import CustomerMemory

DATA = Path(os.environ.get("TESSERA_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = DATA / "online_retail" / "online_retail_2010_2011.csv.gz"
COLUMNS = {
    "transaction_id": "InvoiceNo",
    "customer_id": "CustomerID",
    "occurred_at": "InvoiceDate",
    "product_id": "StockCode",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
}
LIMIT = 3.0


def raw(connection: psycopg.Connection) -> None:
    """The limit: read with pyarrow, every column as text, and COPY it as text on one connection, without an index."""
    names = pyarrow.csv.open_csv(FILE).schema.names
    connection.execute("drop table if exists raw_file")
    connection.execute(f"create table raw_file ({', '.join(f'{name} text' for name in names)})")
    started = time.perf_counter()
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    table = pyarrow.csv.read_csv(FILE, convert_options=options)
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    with connection.cursor() as cursor, cursor.copy("copy raw_file from stdin (format csv, header)") as copy:
        copy.write(sink.getbuffer())
    raw.seconds.append(time.perf_counter() - started)


raw.seconds = []


async def imported(url: str) -> float:
    database = Database(url, pool_size=2, statement_timeout_seconds=600, application="bench")

    @asynccontextmanager
    async def step() -> AsyncIterator[Step]:
        async with database.write() as session:
            yield Step(session, {})

    async with database.write() as session:
        await session.execute(text("truncate transactions, transaction_items, customers cascade"))
    surroundings = Surroundings(step, Intake(CustomerMemory(), b"bench" * 8), lambda _: None, lambda _: None)
    options = Options("transactions", COLUMNS, currency="GBP")
    started = time.perf_counter()
    result = await run(File(FILE, "csv"), options, surroundings, after=Tally())
    seconds = time.perf_counter() - started
    assert (result["created"], result["rejected"]) == (25_900, 0), result
    await database.close()
    return seconds


def main() -> None:
    pass


if __name__ == "__main__":
    main()
