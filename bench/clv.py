"""Lifetime value of one customer through HTTP, worked out when asked, against a constant endpoint."""

import asyncio
import random
import statistics
import sys
from contextlib import ExitStack
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from app.clock import SystemClock
from app.db.engine import Database
from app.jobs.compute import Compute
from app.jobs.repository import find
from app.jobs.runtime import Runner
from app.modelling.clv import jobs
from app.modelling.features.compiler import Reporting
from app.modelling.registry.shelf import Models
from bench.ground import Client, Goal, Series, connect, database, report, server, service
from bench.load import Load, drive

CUSTOMERS = 100_000
ASKED = "GET /v1/customers/{id}/clv, 16 connections"
CONSTANT = "constant FastAPI endpoint, 16 connections"
SECRET = b"b" * 32

# Some purchases each, every so often, until customers leave.
FILL = """
insert into customers (customer_id) select 'customer-' || n from generate_series(0, %(customers)s - 1) n;
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)
  select 'bench', 't-' || n || '-' || k, 'customer-' || n,
         now() - interval '400 days' + (begun + k * gap + random() * gap) * interval '1 day', 'purchase',
         500 + (random() * 5000)::int, 'EUR'
    from (select n, random() * 300 as begun, 5 + random() * 40 as gap, random() * 300 as stays
            from generate_series(0, %(customers)s - 1) n) c,
         lateral generate_series(0, least(24, (stays / gap)::int)) k
   where begun + (k + 1) * gap < 399;
vacuum analyze;
"""


def fill(connection: psycopg.Connection, customers: int) -> None:
    for statement in (FILL % {"customers": customers}).split(";\n"):
        if statement.strip():
            connection.execute(statement)


class Worker:
    """Runs the jobs of this process one by one, as a worker would."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=2, statement_timeout_seconds=3_600, application="bench")
        self.compute = Compute(1)
        handlers = jobs.handlers(Reporting("EUR", ZoneInfo("UTC")), Models(SECRET, kind="clv"))
        self.runner = Runner(self.database, clock=SystemClock(), compute=self.compute, handlers=handlers)

    async def finish(self, job_id: str) -> None:
        await self.runner.run(UUID(job_id))
        async with self.database.read() as session:
            job = await find(session, UUID(job_id))
        assert job is not None, "it was queued a moment ago"
        assert job["status"] == "succeeded", job["error"]

    async def close(self) -> None:
        self.compute.close()
        await self.database.close()


async def learn_and_activate(url: str, port: int) -> None:
    worker = Worker(url)
    body = b'{"model": "bg_nbd", "time_unit": "day", "horizon_days": 365, "discount_rate_annual": 0.1}'
    asked = Client(port).request("POST", "/v1/clv/models", body)
    await worker.finish(asked["id"])
    # A connection of its own: one that waits for so long is closed.
    activation = Client(port).request("POST", f"/v1/clv/models/{asked['model_id']}/activate")
    await worker.finish(activation["id"])
    await worker.close()


def main(customers: int = CUSTOMERS, rounds: int = 5) -> None:
    series, latencies, rng = Series(), dict[str, list[Load]](), random.Random(20_261_122)
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "clv"))
        fill(stack.enter_context(connect(running, "clv")), customers)
        ports = {
            ASKED: stack.enter_context(service(url)),
            CONSTANT: stack.enter_context(service(url, "bench.applications:constant")),
        }
        asyncio.run(learn_and_activate(url, ports[ASKED]))
        of_one = Client(ports[ASKED]).request("GET", "/v1/customers/customer-1/clv")
        print(f"\n## Lifetime value, {customers:,} customers; for example {of_one}")
        for _ in range(rounds):
            chosen = [rng.randrange(customers) for _ in range(20_000)]
            for name, path in ((ASKED, "clv"), (CONSTANT, "segments")):
                load = drive(ports[name], [f"/v1/customers/customer-{n}/{path}" for n in chosen])
                series.rates.setdefault(name, []).append(load.per_second)
                latencies.setdefault(name, []).append(load)
    # No goal was stated: it is reported against none.
    report("One lifetime value", series, [Goal(ASKED, CONSTANT, 0.0)], unit="req/s")
    for name, loads in latencies.items():
        p50, p99 = (statistics.median(getattr(load, which) for load in loads) for which in ("p50_ms", "p99_ms"))
        print(f"  {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
