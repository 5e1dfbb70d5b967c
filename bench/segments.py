"""Assigning a million customers: against NumPy's nearest centroid and the bare COPY of what comes of it."""

import asyncio
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import orjson
import psycopg

from app.db import copy
from app.db.engine import Database, Session
from app.ml.columns import Kind
from app.ml.fit import fit
from app.ml.request import FitRequest
from app.modelling.features.columns import Values
from app.modelling.segments import assignments, clusters
from app.modelling.segments.assigning import Assigner, Assignment
from app.modelling.segments.evaluation import AT_ONCE
from app.modelling.segments.repository import Version
from bench.ground import Goal, Series, connect, database, report, server

CUSTOMERS = int(os.environ.get("BENCH_ASSIGN_CUSTOMERS", "1_000_000"))
SEGMENTS, LEARNED_FROM = 6, 50_000
AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
KINDS: dict[str, Kind] = {"days_since_last_purchase": "days", "purchase_count": "count", "total_spend": "money"}

STAGED = "assign with reasons, COPY beside (temporary)"
BARE_STAGED = "NumPy nearest centroid, COPY of results (temporary)"
WHOLE = "the same and applied: memberships, history, indexes"
BARE_WHOLE = "NumPy nearest centroid, COPY into such a table"
ALONE = {"assign alone": "assign", "COPY beside alone": "add", "apply alone": "apply"}

TEMPORARY = """
create temporary table bare_assigned (customer_id text collate "C" not null, segment_id uuid not null,
                                      reason jsonb not null, confidence double precision)
"""
RESULTS = "customer_id, segment_id, reason, confidence"
LASTING = f"{RESULTS}, segmentation_id, version, valid_from, since, evaluated_at"


@dataclass(frozen=True)
class Shop:
    """Who is assigned, by what, and what comes of it."""

    customer_ids: list[str]
    values: Values
    model: dict[str, Any]
    assigner: Assigner
    version: Version

    @classmethod
    def of(cls, customers: int) -> "Shop":
        """Recency, frequency and monetary value, skewed as those of a shop are; k-means learned from some."""
        rng = np.random.default_rng(20_261_122)
        count = rng.negative_binomial(0.8, 0.12, customers) + 1.0
        spend = np.round(count * rng.gamma(2.0, 20.0, customers), 2)
        columns = (np.floor(rng.exponential(120.0, customers)), count, spend)
        values = dict(zip(KINDS, columns, strict=True))
        some = {name: column[:LEARNED_FROM] for name, column in values.items()}
        model = fit(some, FitRequest("kmeans", KINDS, k=SEGMENTS, params={"bootstraps": 0})).model
        keys = [f"segment-{place}" for place in range(SEGMENTS)]
        document = {
            "fitted": model,
            "features": [{"name": name, "dtype": "number"} for name in KINDS],
            "segments": [{"key": key} for key in keys],
            "population": clusters.BUYERS,
        }
        names, ids, own = dict(zip(keys, keys, strict=True)), {key: uuid4() for key in keys}, uuid4()
        version = Version(own, 1, "active", "kmeans", AS_OF, None, {}, None, {}, ids, names)
        customer_ids = [f"customer-{number:07}" for number in range(customers)]
        return cls(customer_ids, values, model, clusters.assigner(document, own), version)

    def parts(self) -> Iterator[tuple[Values, list[str]]]:
        """Some at a time, as an activation reads them."""
        for start in range(0, len(self.customer_ids), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            yield {name: column[part] for name, column in self.values.items()}, self.customer_ids[part]

    def nearest(self) -> npt.NDArray[np.int64]:
        """What one writes in NumPy: clip, log, scale, nearest centre."""
        kept, centres = self.model["preparation"], self.model["parts"]["centres"]
        points = np.column_stack([self.values[name] for name in kept["numbers"]])
        np.clip(points, kept["low"], kept["high"], out=points)
        points[:, : kept["logged"]] = np.log1p(points[:, : kept["logged"]])
        points = (points - kept["centre"]) / kept["scale"]
        return np.asarray(((centres**2).sum(axis=1) - 2.0 * points @ centres.T).argmin(axis=1))


def encoded(shop: Shop, *, lasting: bool) -> list[bytes]:
    """The results as bytes of a COPY, made before the clock starts."""
    return [
        copy.encode(_fields(shop, found.codes[part], ids[part], found, lasting=lasting))
        for values, ids in shop.parts()
        for found in [shop.assigner.assign(values)]
        for part in (slice(start, start + copy.SLICE_ROWS) for start in range(0, len(ids), copy.SLICE_ROWS))
    ]


def _fields(
    shop: Shop, codes: npt.NDArray[np.int64], ids: Sequence[str], found: Assignment, *, lasting: bool
) -> list[copy.Field]:
    segments = [shop.version.segment_ids[each.segment_key].bytes for each in found.outcomes]
    reasons = [orjson.dumps(each.reason) for each in found.outcomes]
    fields = [
        copy.text(ids),
        copy.uuid([segments[code] for code in codes]),
        copy.jsonb([reasons[code] for code in codes]),
        copy.double(np.zeros(len(ids)), np.ones(len(ids), np.bool_)),
    ]
    at = copy.timestamptz(np.full(len(ids), int(AS_OF.timestamp()) * 1_000_000))
    own = copy.uuid([shop.version.segmentation_id.bytes] * len(ids))
    return [*fields, own, copy.integer(np.ones(len(ids))), at, at, at] if lasting else fields


def bare(connection: psycopg.Connection, shop: Shop, table: str, columns: str, rows: Sequence[bytes]) -> None:
    """Nearest centroid, and the COPY of rows that are bytes already, in one transaction."""
    assert len(np.bincount(shop.nearest())) == SEGMENTS
    statement = f"copy {table} ({columns}) from stdin (format binary)"
    with connection.transaction(), connection.cursor().copy(statement) as into:
        into.write(copy.HEADER)
        for each in rows:
            into.write(each)
        into.write(copy.TRAILER)


async def ours(session: Session, shop: Shop) -> dict[str, float]:
    """Assign everybody as an activation does, once their features are there; seconds by part."""
    took = {"assign": 0.0, "add": 0.0, "apply": 0.0}
    await assignments.begin(session)
    for values, customer_ids in shop.parts():
        start = time.perf_counter()
        found = shop.assigner.assign(values)
        took["assign"] += (assigned := time.perf_counter()) - start
        await assignments.add(session, shop.version, found, customer_ids)
        took["add"] += time.perf_counter() - assigned
    start = time.perf_counter()
    changes = await assignments.apply(session, shop.version, scope=None, now=AS_OF)
    took["apply"] = time.perf_counter() - start
    assert changes.begun == len(shop.customer_ids), changes
    return took


async def durably(url: str, shop: Shop) -> tuple[dict[str, float], float]:
    """The same and its commit; seconds by part, and of the whole."""
    store = Database(url, pool_size=1, statement_timeout_seconds=600, application="bench")
    start = time.perf_counter()
    async with store.write() as session:
        took = await ours(session, shop)
    whole = time.perf_counter() - start
    await store.close()
    return took, whole


def resident(which: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at the most since it was forgotten."""
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, "the kernel tells how much memory a process has"
    return int(found[1]) / 1024


def memory(url: str, shop: Shop) -> tuple[float, float]:
    """Megabytes at the peak of assigning everybody: of the whole process, and how much more than before."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    asyncio.run(durably(url, shop))
    return resident("VmHWM"), resident("VmHWM") - before


def main(rounds: int = 5) -> None:
    series, shop = Series(), Shop.of(CUSTOMERS)
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "segments"))
        connection = stack.enter_context(connect(running, "segments"))
        connection.execute("create table bare_memberships (like memberships including all)")
        connection.execute(TEMPORARY)
        # Before anything else was in memory and freed: it would be used again, and not be seen.
        peak, grown = memory(url, shop)
        temporary, lasting = encoded(shop, lasting=False), encoded(shop, lasting=True)
        for _ in range(rounds):
            connection.execute("truncate memberships, bare_memberships, bare_assigned")
            connection.execute("checkpoint")
            series.timed(BARE_STAGED, CUSTOMERS, bare, connection, shop, "bare_assigned", RESULTS, temporary)
            connection.execute("checkpoint")
            series.timed(BARE_WHOLE, CUSTOMERS, bare, connection, shop, "bare_memberships", LASTING, lasting)
            connection.execute("checkpoint")
            took, whole = asyncio.run(durably(url, shop))
            series.rates.setdefault(STAGED, []).append(CUSTOMERS / (took["assign"] + took["add"]))
            series.rates.setdefault(WHOLE, []).append(CUSTOMERS / whole)
            for name, part in ALONE.items():
                series.rates.setdefault(name, []).append(CUSTOMERS / took[part])
    goals = [Goal(WHOLE, BARE_WHOLE, 0.5), Goal(STAGED, BARE_STAGED, 0.5)]
    report(f"Assigning {CUSTOMERS:,} customers by k-means", series, goals, unit="customers/s")
    print(f"  memory at the peak: {peak:.0f} MB, features and libraries included; {grown:.0f} MB more than before")


if __name__ == "__main__":
    main()
