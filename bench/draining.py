"""Draining touched customers: against the bare feature select, the bare NumPy work and the bare COPY of what changed."""

import asyncio
import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import psycopg

from app.db.engine import Database
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns
from app.modelling.registry.shelf import Models
from app.modelling.segments import current, evaluation, repository
from app.modelling.segments.rfm import FEATURES as RFM_FEATURES
from app.modelling.segments.working import Assigners, Working
from bench.features import BARE, REPORTING, RFM, fill
from bench.ground import Client, Goal, Series, connect, database, report, server, service
from bench.realtime import SECRET, finish, worker

CUSTOMERS = int(os.environ.get("BENCH_DRAIN_CUSTOMERS", "100_000"))
BATCH = 1_000

DRAINED = "drain: due set, features, assignment, history"
BARE_WORK = "feature select + NumPy + COPY of the changed rows"
SELECT = "the feature select alone, as columns"
BY_HAND = "features by hand-written SQL alone, as columns"

ASKED = (
    {"name": "RFM", "method": "rfm"},
    {"name": "Groups", "method": "kmeans", "k": 6, "features": list(RFM_FEATURES), "params": {"bootstraps": 0}},
)
TOUCH = """
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)
  select 'round', %(round)s || '-' || n, 'customer-' || n, %(at)s, 'purchase', 100 + (hashint8(n + %(round)s) & 16383),
         'EUR' from generate_series(1, %(customers)s::int) n
"""
DIRTY = """
insert into dirty_customers (customer_ids)
  select array_agg('customer-' || n) from generate_series(1, %(customers)s::int) n group by n / %(batch)s::int
"""


def activate(port: int, url: str) -> None:
    client = Client(port)
    with worker(url):
        for asked in ASKED:
            learning = client.request("POST", "/v1/segmentations", orjson.dumps(asked))
            finish(client, learning["id"])
            activating = client.request("POST", f"/v1/segmentations/{learning['segmentation_id']}/activate", b"{}")
            finish(client, activating["id"])


async def drain(store: Database, assigners: Assigners, now: datetime) -> int:
    """Until nobody is left, each part in its own transaction, as the worker does."""
    done = 0
    while True:
        async with store.write() as session:
            some = await current.drain(session, now=now, reporting=REPORTING, assigners=assigners)
        if not some:
            return done
        done += some


async def ready(store: Database, assigners: Assigners) -> list[Working]:
    async with store.read() as session:
        return await assigners.of_all(session, await repository.active_versions(session))


async def selected(store: Database, customer_ids: list[str], now: datetime) -> list[FeatureColumns]:
    """The features of these customers, some at a time."""
    found = []
    async with store.read() as session:
        for some in evaluation.chunks(customer_ids):
            read = await features.read(session, RFM, scope=some, as_of=now, reporting=REPORTING)
            found.append(FeatureColumns.of(RFM, read.rows))
    return found


def by_hand(connection: psycopg.Connection, customer_ids: list[str], now: datetime) -> None:
    for some in evaluation.chunks(customer_ids):
        rows = connection.cursor(binary=True).execute(BARE, {"as_of": now, "customer_ids": list(some)}).fetchall()
        FeatureColumns.of(RFM, rows)


def numbers(columns: FeatureColumns, edges: dict[str, Any], model: dict[str, Any]) -> None:
    """What one writes in NumPy: scores by the edges, and the nearest centre."""
    for name, limits in zip(RFM_FEATURES, edges.values(), strict=True):
        np.searchsorted(limits, columns.values[name])
    kept, centres = model["preparation"], model["parts"]["centres"]
    points = np.column_stack([columns.values[name] for name in kept["numbers"]])
    np.clip(points, kept["low"], kept["high"], out=points)
    points[:, : kept["logged"]] = np.log1p(points[:, : kept["logged"]])
    points = (points - kept["centre"]) / kept["scale"]
    ((centres**2).sum(axis=1) - 2.0 * points @ centres.T).argmin(axis=1)


def changed_rows(connection: psycopg.Connection, now: datetime) -> tuple[bytes, int]:
    """What the drain began, as bytes of a COPY."""
    with connection.cursor().copy(
        "copy (select * from memberships where valid_from >= %s order by customer_id) to stdout (format binary)", [now]
    ) as out:
        content = b"".join(bytes(each) for each in out)
    counted = connection.execute("select count(*) from memberships where valid_from >= %s", [now]).fetchone()
    assert counted is not None
    return content, int(counted[0])


def copied(connection: psycopg.Connection, content: bytes) -> None:
    with connection.cursor().copy("copy bare_memberships from stdin (format binary)") as into:
        for start in range(0, len(content), 1 << 20):
            into.write(content[start : start + (1 << 20)])


def main(rounds: int = 5) -> None:
    series, changed = Series(), []
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "draining"))
        connection = stack.enter_context(connect(running, "draining"))
        fill(connection, CUSTOMERS)
        connection.execute("create table bare_memberships (like memberships including all)")
        activate(stack.enter_context(service(url)), url)
        changed = asyncio.run(measure(url, connection, series, rounds))
    goals = [Goal(DRAINED, BARE_WORK, round(1 / 3, 2))]
    report(f"Draining {CUSTOMERS:,} touched customers, RFM and k-means active", series, goals, unit="customers/s")
    print(f"  rows begun in each round: {', '.join(f'{each:,}' for each in changed)}")


async def measure(url: str, connection: psycopg.Connection, series: Series, rounds: int) -> list[int]:
    store = Database(url, pool_size=2, statement_timeout_seconds=600, application="bench")
    assigners = Assigners(Models(SECRET))
    customer_ids = sorted(f"customer-{number}" for number in range(1, CUSTOMERS + 1))
    working = await ready(store, assigners)
    edges, model = await learned(store, working)
    changed = []
    await drain(store, assigners, datetime.now(UTC))
    for number in range(rounds):
        now = datetime.now(UTC)
        given = {"round": number, "at": now - timedelta(seconds=1), "customers": CUSTOMERS, "batch": BATCH}
        connection.execute(TOUCH, given)
        connection.execute(DIRTY, given)
        connection.execute("truncate bare_memberships")
        connection.execute("vacuum analyze transactions")
        connection.execute("vacuum analyze memberships")
        connection.execute("checkpoint")
        start = time.perf_counter()
        assert await drain(store, assigners, now) >= CUSTOMERS
        series.rates.setdefault(DRAINED, []).append(CUSTOMERS / (time.perf_counter() - start))
        content, rows = changed_rows(connection, now)
        connection.execute("checkpoint")
        start = time.perf_counter()
        found = await selected(store, customer_ids, now)
        read = time.perf_counter()
        for columns in found:
            numbers(columns, edges, model)
        copied(connection, content)
        series.rates.setdefault(BARE_WORK, []).append(CUSTOMERS / (time.perf_counter() - start))
        series.rates.setdefault(SELECT, []).append(CUSTOMERS / (read - start))
        series.timed(BY_HAND, CUSTOMERS, by_hand, connection, customer_ids, now)
        changed.append(rows)
    await store.close()
    return changed


async def learned(store: Database, working: list[Working]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The edges of RFM and the model of k-means."""
    documents: dict[str, Any] = {}
    async with store.read() as session:
        for each in working:
            model_id = each.version.model_id
            assert isinstance(model_id, UUID), "what was learned is in the registry"
            documents[each.version.method] = (await Models(SECRET).open(session, model_id))["fitted"]
    return documents["rfm"]["edges"], documents["kmeans"]


if __name__ == "__main__":
    main()
