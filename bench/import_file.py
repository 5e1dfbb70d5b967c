"""Importing the Online Retail file beside the least that can be done with it: reading it and copying it raw."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv

from app.db.engine import Database
from app.jobs.runtime import Step
from app.records.imports.options import Options
from app.records.imports.service import File, Surroundings, Tally, run
from app.records.intake.bulk import Intake
from app.records.intake.customers import CustomerMemory
from bench.ground import ROOT, Goal, Series, connect, database, report, server

DATA = Path(os.environ.get("TESSERA_TEST_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "online_retail" / "online_retail_2010_2011.csv.gz"
ROWS, TRANSACTIONS = 541_909, 25_900
COLUMNS = {
    "transaction_id": "InvoiceNo",
    "customer_id": "CustomerID",
    "occurred_at": "InvoiceDate",
    "product_id": "StockCode",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
}
ROUNDS = 5

RAW = "pyarrow reads it, one connection copies its text, no index"
IMPORT = "import: 25,900 transactions with their lines"
AGAIN = "the same import again: all duplicates"

# At most 3 times the raw way, aiming at 2.
GOALS = (Goal(IMPORT, RAW, 1 / 3, 1 / 2),)


def read_and_copy(connection: psycopg.Connection, names: list[str], content: bytes) -> None:
    """The file is read as columns of text; what is copied was unpacked before the clock started."""
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    assert len(pyarrow.csv.read_csv(FILE, convert_options=options)) == ROWS
    statement = "copy raw from stdin (format csv, header)"
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as writing:
        writing.write(content)


def import_file(url: str, expected: str) -> None:
    result = asyncio.run(_imported(url))
    assert (result[expected], result["rejected"]) == (TRANSACTIONS, 0), result


async def _imported(url: str) -> dict[str, object]:
    database = Database(url, pool_size=2, statement_timeout_seconds=600, application="bench")

    @asynccontextmanager
    async def step() -> AsyncIterator[Step]:
        async with database.write() as session:
            yield Step(session, {})

    surroundings = Surroundings(step, Intake(CustomerMemory(), b"b" * 32), lambda _: None, lambda _: None)
    options = Options("transactions", COLUMNS, currency="GBP")
    try:
        return await run(File(FILE, "csv"), options, surroundings, after=Tally())
    finally:
        await database.close()


def main() -> None:
    if not FILE.exists():
        print(f"\n## Importing a file: left out, there is no {FILE.name}; set TESSERA_TEST_DATA")
        return
    series = Series()
    content = gzip.decompress(FILE.read_bytes())
    names = content.partition(b"\n")[0].decode().strip().split(",")
    with server() as running, database(running, "imports") as url, connect(running, "imports") as connection:
        connection.execute(f"create table raw ({', '.join(f'{name} text' for name in names)})")
        for _ in range(ROUNDS):
            connection.execute("truncate raw, transactions, transaction_items, customers, dirty_customers cascade")
            connection.execute("checkpoint")
            series.timed(RAW, ROWS, read_and_copy, connection, names, content)
            connection.execute("checkpoint")
            series.timed(IMPORT, ROWS, import_file, url, "created")
            series.timed(AGAIN, ROWS, import_file, url, "duplicates")
    report("Importing a file of 541,909 lines", series, GOALS, unit="rows/s")


if __name__ == "__main__":
    main()
