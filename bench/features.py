"""Features of a thousand touched customers: against hand-written SQL, and against the size of the table."""

import asyncio
import random
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg

from app.db.engine import Database
from app.modelling.features import repository
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import FEATURES, Feature
from bench.ground import Goal, Series, connect, database, report, server

TOUCHED = 1_000
PER_CUSTOMER = 10
SIZES = (100_000, 1_000_000)
AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
REPORTING = Reporting("EUR", ZoneInfo("UTC"))
RFM = tuple(
    feature for feature in FEATURES if feature.name in ("days_since_last_purchase", "purchase_count", "total_spend")
)

FILL = """
insert into customers (customer_id) select 'customer-' || n from generate_series(1, {customers}) n;
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)
  select 'default', 't-' || n, 'customer-' || 1 + n %% {customers},
         timestamptz '2024-11-01Z' + (hashint8(n) & 2147483647) %% 63072000 * interval '1 second',
         case when n %% 33 = 0 then 'refund' else 'purchase' end, 100 + (hashint8(n + 7) & 16383), 'EUR'
    from generate_series(1::bigint, {transactions}) n;
vacuum analyze transactions;
vacuum analyze customers;
"""

BARE = """
select customer_id,
       floor(extract(epoch from %(as_of)s - max(occurred_at) filter (where kind = 'purchase')) / 86400)::bigint,
       count(*) filter (where kind = 'purchase' and amount_minor > 0),
       sum(amount_minor) filter (where kind = 'purchase') / 100.0
  from transactions
 where customer_id = any(%(customer_ids)s) and occurred_at < %(as_of)s
 group by customer_id order by customer_id
"""


def fill(connection: psycopg.Connection, customers: int) -> None:
    text = FILL.format(customers=customers, transactions=customers * PER_CUSTOMER).replace("%%", "%")
    connection.execute("drop index ix_transactions_customer")
    for statement in filter(str.strip, text.split(";\n")):
        connection.execute(statement)  # type: ignore[arg-type]  # the text is ours
    connection.execute(
        "create index ix_transactions_customer on transactions (customer_id, occurred_at) "
        "include (amount_minor, currency, kind) where customer_id is not null"
    )


async def read(ours: Database, features: tuple[Feature, ...], touched: list[str]) -> int:
    async with ours.read() as session:
        found = await repository.read(session, features, scope=touched, as_of=AS_OF, reporting=REPORTING)
    return len(found.rows)


async def measure(url: str, connection: psycopg.Connection, customers: int, series: Series, rounds: int) -> None:
    ours = Database(url, pool_size=1, statement_timeout_seconds=60, application="bench")
    rng = random.Random(20_261_121)
    suffix = f"{customers // 1_000} k customers"
    for _ in range(rounds):
        touched = [f"customer-{rng.randint(1, customers)}" for _ in range(TOUCHED)]
        start = time.perf_counter()
        rows = connection.execute(BARE, {"as_of": AS_OF, "customer_ids": touched}).fetchall()
        series.rates.setdefault(f"bare SQL, {suffix}", []).append(TOUCHED / (time.perf_counter() - start))
        for name, features in (("recency, frequency, monetary", RFM), ("the whole registry", FEATURES)):
            start = time.perf_counter()
            assert await read(ours, features, touched) == len(rows)
            series.rates.setdefault(f"{name}, {suffix}", []).append(TOUCHED / (time.perf_counter() - start))
    await ours.close()


def main(rounds: int = 15) -> None:
    series = Series()
    for customers in SIZES:
        with ExitStack() as stack:
            running = stack.enter_context(server())
            url = stack.enter_context(database(running, "features"))
            connection = stack.enter_context(connect(running, "features"))
            fill(connection, customers)
            asyncio.run(measure(url, connection, customers, series, rounds))
    ours, bare = (f"{name}, {SIZES[-1] // 1_000} k customers" for name in ("recency, frequency, monetary", "bare SQL"))
    smaller = ours.replace(f"{SIZES[-1] // 1_000} k", f"{SIZES[0] // 1_000} k")
    report(f"Features of {TOUCHED:,} touched customers", series, [Goal(ours, bare, 0.5)], unit="customers/s")
    medians = [statistics.median(series.rates[name]) for name in (smaller, ours)]
    print(f"  ten times the table costs {medians[0] / medians[1]:.2f} times as much for the same customers")


if __name__ == "__main__":
    main()
