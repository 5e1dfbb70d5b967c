"""Features of everybody, range by range in SQL: against NumPy with every transaction already in memory."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg

from app.db.engine import Database
from app.modelling.features.columns import Values
from app.modelling.features.definitions import FEATURES, Feature, features_named
from app.modelling.segments.evaluation import Reading, next_range, read_columns
from bench.features import AS_OF, PER_CUSTOMER, REPORTING, fill
from bench.ground import Goal, Series, connect, database, report, server

# 1_000_000 for the size of the goal.
CUSTOMERS = int(os.environ.get("BENCH_FEATURES_CUSTOMERS", "200_000"))
PLAIN = ("days_since_last_purchase", "days_since_first_purchase", "total_spend")
NAMES = (*PLAIN, "purchase_days")

IN_SQL = "SQL, ranges of 20,000, as columns"
WITHOUT_DAYS = "the same without distinct days"
IN_MEMORY = "NumPy, all transactions in memory"
REGISTRY = "SQL, the whole registry, as columns"
DAY = 86_400
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Memory:
    """All transactions as columns, in no order."""

    customer: Integers
    seconds: Integers
    is_purchase: npt.NDArray[np.bool_]
    minor: Integers

    @classmethod
    def of(cls, connection: psycopg.Connection) -> "Memory":
        rows = connection.cursor(binary=True).execute(
            "select substr(customer_id, 10)::bigint, extract(epoch from occurred_at)::bigint, "
            "(kind = 'purchase')::int::bigint, amount_minor from transactions order by hashtext(transaction_id)"
        )
        columns = np.array(rows.fetchall(), np.int64).T
        return cls(columns[0].copy(), columns[1].copy(), columns[2].astype(np.bool_), columns[3].copy())

    def features(self) -> Values:
        """Sort one packed key, then reduce each customer's stretch of it."""
        bought = np.flatnonzero(self.is_purchase & (self.seconds < AS_OF.timestamp()))
        packed = (self.customer[bought] << 34) | self.seconds[bought]
        order = np.argsort(packed)
        packed = packed[order]
        customer, seconds = packed >> 34, packed & ((1 << 34) - 1)
        first = np.flatnonzero(np.diff(customer, prepend=-1))
        last = np.append(first[1:], customer.size) - 1
        day = seconds // DAY
        fresh = np.diff(day, prepend=-1) != 0
        fresh[first] = True
        as_of = int(AS_OF.timestamp())
        return {
            "days_since_last_purchase": (as_of - seconds[last]) // DAY,
            "days_since_first_purchase": (as_of - seconds[first]) // DAY,
            "purchase_days": np.add.reduceat(fresh, first, dtype=np.int64),
            "total_spend": np.add.reduceat(self.minor[bought][order], first) / 100,
        }


async def read(url: str, features: tuple[Feature, ...]) -> list[Values]:
    """Everybody's features as a refresh reads them; a part for each range."""
    store = Database(url, pool_size=1, statement_timeout_seconds=600, application="bench")
    reading, found = Reading(features, (), AS_OF, REPORTING), list[Values]()
    async with store.read() as session:
        around = await next_range(session, "")
        while around is not None:
            found.append((await read_columns(session, reading, scope=around)).values)
            around = await next_range(session, around.upto)
    await store.close()
    return found


def agree(ours: list[Values], theirs: Values) -> None:
    """Both say the same of everybody together."""
    for name in NAMES:
        added = sum(float(np.nansum(part[name])) for part in ours)
        assert np.isclose(added, float(theirs[name].sum())), name


def ran(work: Awaitable[list[Values]]) -> list[Values]:
    async def whole() -> list[Values]:
        return await work

    return asyncio.run(whole())


def main(rounds: int = 5) -> None:
    series = Series()
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "full_features"))
        connection = stack.enter_context(connect(running, "full_features"))
        fill(connection, CUSTOMERS)
        memory = Memory.of(connection)
        for number in range(rounds):
            ours = series.timed(IN_SQL, CUSTOMERS, ran, read(url, features_named(NAMES)))
            theirs = series.timed(IN_MEMORY, CUSTOMERS, memory.features)
            agree(ours, theirs)
            series.timed(WITHOUT_DAYS, CUSTOMERS, ran, read(url, features_named(PLAIN)))
            if not number:
                series.timed(REGISTRY, CUSTOMERS, ran, read(url, FEATURES))
    whole = series.rates.pop(REGISTRY)[0]
    size = f"{CUSTOMERS:,} customers, {CUSTOMERS * PER_CUSTOMER:,} transactions"
    goals = [Goal(name, IN_MEMORY, round(1 / 3, 2)) for name in (IN_SQL, WITHOUT_DAYS)]
    report(f"Features of everybody, {size}", series, goals, unit="customers/s")
    print(f"  all {len(FEATURES)} features of the registry, one round: {whole:,.0f} customers/s")


if __name__ == "__main__":
    main()
