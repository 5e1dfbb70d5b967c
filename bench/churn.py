"""Churn: one score through HTTP against a constant endpoint, and everybody scored in one night with the time per step."""

import asyncio
import random
import resource
import statistics
import sys
import time
from contextlib import ExitStack
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from app.clock import SystemClock
from app.db.engine import Database
from app.jobs.compute import Compute
from app.jobs.queue import enqueue
from app.jobs.repository import find
from app.jobs.runtime import Runner
from app.modelling.churn import jobs
from app.modelling.churn.scoring import ChurnModels
from app.modelling.features.compiler import Reporting
from app.modelling.registry.shelf import Models
from bench.ground import Client, Goal, Series, connect, database, report, server, service
from bench.load import Load, drive

CUSTOMERS = 100_000
ALGORITHMS = ("logistic", "gradient_boosting")
CONSTANT = "constant FastAPI endpoint, 16 connections"
SECRET = b"b" * 32

# A dozen purchases or so each, until customers leave: silent for a tenth of the time that somebody was there.
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
        handlers = jobs.handlers(Reporting("EUR", ZoneInfo("UTC")), ChurnModels(Models(SECRET, kind="churn")))
        self.runner = Runner(self.database, clock=SystemClock(), compute=self.compute, handlers=handlers)

    async def finish(self, job_id: str) -> dict[str, object]:
        await self.runner.run(UUID(job_id))
        async with self.database.read() as session:
            job = await find(session, UUID(job_id))
        assert job is not None, "it was queued a moment ago"
        assert job["status"] == "succeeded", job["error"]
        result: dict[str, object] = job["result"]
        return result

    async def night(self) -> dict[str, object]:
        async with self.database.write() as session:
            job_id = await enqueue(session, "score_churn", arguments={})
        return await self.finish(str(job_id))

    async def close(self) -> None:
        self.compute.close()
        await self.database.close()


async def learn_and_activate(worker: Worker, port: int, algorithm: str) -> None:
    body = b'{"definition": {"kind": "inactivity", "horizon_days": 60}, "algorithm": "%s"}' % algorithm.encode()
    began = time.perf_counter()
    asked = Client(port).request("POST", "/v1/churn/models", body)
    await worker.finish(asked["id"])
    print(f"  {algorithm}: learned in {time.perf_counter() - began:.1f} s")
    # A connection of its own: one that waits for so long is closed.
    activation = Client(port).request("POST", f"/v1/churn/models/{asked['model_id']}/activate")
    print(f"  {algorithm}: activated: {await worker.finish(activation['id'])}")


def main(customers: int = CUSTOMERS, rounds: int = 5) -> None:
    asyncio.run(measure(customers, rounds))


async def measure(customers: int, rounds: int) -> None:
    series, latencies = Series(), dict[str, list[Load]]()
    rng = random.Random(20_261_122)
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "churn"))
        fill(stack.enter_context(connect(running, "churn")), customers)
        product = stack.enter_context(service(url))
        constant = stack.enter_context(service(url, "bench.applications:constant"))
        worker = Worker(url)
        goals = []
        print(f"\n## Churn of {customers:,} customers")
        for algorithm in ALGORITHMS:
            await learn_and_activate(worker, product, algorithm)
            name = f"GET /v1/customers/{{id}}/churn, {algorithm}"
            against = f"{CONSTANT}, beside {algorithm}"
            goals.append(Goal(name, against, 0.35))
            for _ in range(rounds):
                # Nobody twice in a round: what is measured is answering, not remembering.
                chosen = rng.sample(range(customers), min(20_000, customers))
                paths = {
                    name: (product, [f"/v1/customers/customer-{n}/churn" for n in chosen]),
                    against: (constant, [f"/v1/customers/customer-{n}/segments" for n in chosen]),
                }
                for each, (port, asked) in paths.items():
                    load = await asyncio.to_thread(drive, port, asked)
                    series.rates.setdefault(each, []).append(load.per_second)
                    latencies.setdefault(each, []).append(load)
        began = time.perf_counter()
        night = await worker.night()
        seconds = time.perf_counter() - began
        await worker.close()
    report("One churn score", series, goals, unit="req/s")
    for name, loads in latencies.items():
        p50, p99 = (statistics.median(getattr(load, which) for load in loads) for which in ("p50_ms", "p99_ms"))
        print(f"  {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    print(f"\n## A night of {customers:,} customers: {seconds:.1f} s, peak {peak:,.0f} MB\n  {night}")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
