"""One transaction until its customer's segment is current and durable: against storing it only, and over HTTP."""

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from uuid import UUID

import orjson
import psycopg
import uvloop
from sqlalchemy import make_url

from app.config import Settings
from app.main import create_app
from app.records.transactions.schemas import TRANSACTIONS
from app.records.transactions.service import TRANSACTION_KIND
from app.worker import run_worker
from bench.features import fill
from bench.ground import ADMIN_KEY, Client, Goal, Series, connect, database, report, server, service
from bench.load import drive, drive_requests, post_requests

CUSTOMERS = 20_000
PUSHES = 400
BODIES = 20_000
TRAINED_WITHIN_SECONDS = 120
SECRET = b"b" * 32

BARE = "insert of one transaction, durable, one connection"
CURRENT = "the same, features, segment and history with it"
PUSH = "POST /v1/transactions, one row, 16 connections"
CONSTANT = "constant FastAPI endpoint, 16 connections"

INSERT = """
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)
  values ('bare', %s, %s, %s, 'purchase', %s, 'EUR') on conflict do nothing
"""

_numbers = itertools.count()


def bodies(rng: random.Random, count: int) -> list[bytes]:
    """Pushes of one transaction each."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = (
        {
            "transaction_id": f"realtime-{rng.getrandbits(40):010x}-{next(_numbers)}",
            "customer_id": f"customer-{rng.randint(1, CUSTOMERS)}",
            "occurred_at": now,
            "amount": f"{rng.randrange(100, 20_000) / 100:.2f}",
            "currency": "EUR",
        }
        for _ in range(count)
    )
    return [orjson.dumps({"transactions": [row]}) for row in rows]


@contextmanager
def worker(url: str) -> Iterator[None]:
    """A worker of ours in a thread, for as long as the block runs."""
    settings = Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR")
    stop, loop = asyncio.Event(), uvloop.new_event_loop()
    work = run_worker(settings, database_url=url, secret=SECRET, stop=stop)
    thread = threading.Thread(target=loop.run_until_complete, args=(work,))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def finish(client: Client, job_id: UUID) -> None:
    deadline = time.monotonic() + TRAINED_WITHIN_SECONDS
    while (job := client.request("GET", f"/v1/jobs/{job_id}"))["status"] != "succeeded":
        assert job["status"] in ("queued", "running"), job
        assert time.monotonic() < deadline, "the job takes too long"
        time.sleep(0.1)


def activate(port: int, url: str) -> None:
    """A segmentation by recency, frequency and monetary value, active."""
    client = Client(port)
    with worker(url):
        asked = orjson.dumps({"name": "RFM", "method": "rfm"})
        learning = client.request("POST", "/v1/segmentations", asked)
        finish(client, learning["id"])
        activating = client.request("POST", f"/v1/segmentations/{learning['segmentation_id']}/activate", b"{}")
        finish(client, activating["id"])


async def through_the_database(url: str, series: Series, rng: random.Random, rounds: int) -> None:
    """One after the other over one connection: stored only, and with everything that follows from it."""
    settings = Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR", pool_size=1)
    app = create_app(settings, database_url=url, secret=SECRET)
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=1)
    entry = {"key_id": None, "action": "POST /v1/transactions", "object": None, "request_id": "bench"}

    async def bare(body: bytes) -> None:
        row = orjson.loads(body)["transactions"][0]
        at = datetime.fromisoformat(row["occurred_at"])
        minor = round(float(row["amount"]) * 100)
        await connection.execute(INSERT, [row["transaction_id"], row["customer_id"], at, minor])

    async def current(body: bytes) -> None:
        outcome = await app.state.together.push(TRANSACTION_KIND, TRANSACTIONS.read(body), entry=entry)
        assert outcome.created == 1, outcome

    async with app.router.lifespan_context(app):
        for round_number in range(rounds + 1):
            for name, work in ((BARE, bare), (CURRENT, current)):
                rate = await _rate(work, bodies(rng, PUSHES))
                if round_number:  # the first only warms up
                    series.rates.setdefault(name, []).append(rate)
    await connection.close()


async def _rate(work: Callable[[bytes], Awaitable[None]], given: list[bytes]) -> float:
    start = time.perf_counter()
    for body in given:
        await work(body)
    return len(given) / (time.perf_counter() - start)


def main(rounds: int = 5) -> None:
    database_series, http_series = Series(), Series()
    rng = random.Random(20_261_122)
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "realtime"))
        connection = stack.enter_context(connect(running, "realtime"))
        fill(connection, CUSTOMERS)
        port = stack.enter_context(service(url))
        constant = stack.enter_context(service(url, "bench.applications:constant"))
        activate(port, url)
        connection.execute("checkpoint")
        uvloop.run(through_the_database(url, database_series, rng, rounds))
        for _ in range(rounds):
            connection.execute("checkpoint")
            load = drive_requests(port, post_requests("/v1/transactions", bodies(rng, BODIES)))
            http_series.rates.setdefault(PUSH, []).append(load.per_second)
            print(f"  {PUSH}: p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms")
            load = drive(constant, [f"/v1/customers/customer-{n}/segments" for n in range(1_000)])
            http_series.rates.setdefault(CONSTANT, []).append(load.per_second)
        left = connection.execute("select count(*) from dirty_customers").fetchone()
        assert left == (0,), "every push was answered when its customer was current"
    report("One transaction, segment current", database_series, [Goal(CURRENT, BARE, 1 / 2.5, 1 / 1.5)], unit="per s")
    report("The same over HTTP", http_series, [Goal(PUSH, CONSTANT, 0.3, 0.45)], unit="req/s")


if __name__ == "__main__":
    main()
