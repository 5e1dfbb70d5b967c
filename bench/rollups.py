"""Key figures from their sums against the facts themselves; how long folding takes, how far it lags, what it costs."""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, LiteralString

import orjson
import psycopg
import uvloop
from sqlalchemy import make_url

from app.db.engine import Database
from app.measurement.kpis.repository import plan_for_these_values
from app.measurement.rollups import repository
from app.measurement.rollups.concerned import Asked
from app.measurement.rollups.folding import fold, keep_folded
from bench.ground import Client, Goal, Series, connect, database, report, server, service
from bench.rollup_ground import (
    BASIS,
    CUSTOMERS,
    MONTHS,
    RAW,
    RAW_COHORTS,
    SEGMENTATION,
    Place,
    fill,
    months_before,
    quantile,
    show,
    store_of,
    timed,
    triggers,
)

# The sums that these figures are made of; repeat buyers are read with the buyers.
COUNTERS = (
    "purchases",
    "purchase_minor",
    "purchase_squares",
    "purchases_unrated",
    "buyers_month",
    "repeat_buyers_month",
)
BITES = (1, 100, 1_000, 10_000)
CLIENTS, ROWS_PER_ROUND, BATCHES, INGEST_SECONDS = 4, 120_000, (1_000, 10_000), 75
PACES, PACED_SECONDS, ASKED_EVERY_SECONDS, LOOKED_EVERY_SECONDS = (2_000, 5_000), 20, 0.25, 0.01
DRAINED_WITHIN_SECONDS = 30

TOUCH = """
insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)
  select 'touched', %(round)s || '-' || n, name, %(at)s::timestamptz, 'purchase', 100 + n, 'EUR'
    from unnest(%(names)s::text[]) with ordinality given (name, n)
"""

_numbers = itertools.count()


# a. The question


def question(place: Place, rounds: int = 3) -> None:
    times = {name: list[float]() for name in ("raw", "sums", "http", "triangle", "cohorts")}
    triangle = f"/v1/cohorts?metric=revenue&{place.window}"
    for _ in range(rounds):
        raw = timed(times["raw"], _rows, place, RAW)
        asyncio.run(_sums(place, times["sums"], 50))
        client = Client(place.port)  # the service closes connections that have been idle for some seconds
        for _ in range(20):
            found = timed(times["http"], client.request, "GET", place.asked)
        assert _figures(found) == {(row[0], row[1]): row[2:] for row in raw}, "equal to the last cent and buyer"
        raw = timed(times["cohorts"], _rows, place, RAW_COHORTS)
        client = Client(place.port)
        for _ in range(20):
            found = timed(times["triangle"], client.request, "GET", triangle)
        assert _cells(found) == {row[:2]: row[2:] for row in raw}, "equal to the last cent and buyer"
    print(f"\n## Purchases, buyers, gross revenue by segment and month, {MONTHS} months; equal in every round")
    show("plain SQL over the facts", times["raw"])
    show("the SQL over the sums, one connection", times["sums"])
    show("GET /v1/kpis, the whole answer", times["http"])
    show("cohorts by plain SQL over the facts", times["cohorts"])
    show("GET /v1/cohorts, the whole answer", times["triangle"])
    p50 = {name: statistics.median(seconds) for name, seconds in times.items()}
    verdict = "reached" if p50["raw"] / p50["sums"] >= 1_000 else "MISSED"
    print(
        f"  plain SQL takes {p50['raw'] / p50['sums']:,.0f} times as long as the sums (at least 1,000) {verdict};",
        end=" ",
    )
    print(f"{p50['raw'] / p50['http']:,.0f} times the answer; cohorts {p50['cohorts'] / p50['triangle']:,.0f} times")


def _rows(place: Place, statement: LiteralString) -> list[Any]:
    return place.connection.execute(statement, place.given).fetchall()


async def _sums(place: Place, times: list[float], repeats: int) -> None:
    starts = [months_before(place.end, MONTHS - number) for number in range(MONTHS)]
    asked = Asked(place.start, place.end, starts, "month", SEGMENTATION, None)
    store = store_of(place.url)
    async with store.read() as session:
        await plan_for_these_values(session)
        for number in range(repeats + 1):
            start = time.perf_counter()
            await repository.days(session, asked, COUNTERS, but_guests_on=[])
            if number:  # the first only warms up
                times.append(time.perf_counter() - start)
    await store.close()


def _figures(answer: Any) -> dict[tuple[str | None, str], tuple[int, int, int]]:
    """By segment and month: purchases, buyers, revenue in cents; the mean must be made of the same."""
    rows = {(row["metric"], row["group"]["segment"], row["period"]): row for row in answer["data"]}
    found = {}
    for segment, period in sorted({key[1:] for key in rows}, key=str):
        purchases, buyers, revenue = (
            rows[name, segment, period]["value"] for name in ("purchases", "buyers", "revenue_gross")
        )
        mean = rows["average_order_value", segment, period]
        assert (mean["numerator"], mean["denominator"]) == (revenue, purchases), mean
        if purchases:
            found[segment, period] = (int(purchases), int(buyers), round(revenue * 100))
    return found


def _cells(answer: Any) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (cohort["cohort"], cell["period"]): (cell["buyers"], round(cell["value"] * 100))
        for cohort in answer["data"]
        for cell in cohort["cells"]
        if cell["buyers"]
    }


# b. Folding


def folded_from_nothing(place: Place) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        listed, folded, before, most = pool.submit(_fold_everything, place.url).result()
    place.connection.execute("vacuum analyze kpi_days, cohort_periods, folded_facts, folded_spells")
    print(f"\n## Folding {place.customers:,} customers from nothing, one process")
    print(f"  listing them {listed:.1f} s, folding {folded:.1f} s: {place.customers / folded:,.0f} customers/s")
    print(f"  memory of the process {before} MB before, at most {most} MB")


def _fold_everything(url: str) -> tuple[float, float, int, int]:
    return uvloop.run(_folded(url))


async def _folded(url: str) -> tuple[float, float, int, int]:
    store, before, began = store_of(url), _memory(), time.perf_counter()
    await _fold(store)
    listed = time.perf_counter()
    while await _fold(store):
        pass
    folded = time.perf_counter()
    await store.close()
    return listed - began, folded - listed, before, _memory()


def _memory() -> int:
    """The most that this process ever held, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


async def _fold(store: Database) -> int:
    async with store.write() as session:
        return await fold(session, BASIS)


def folding(place: Place, rounds: int = 5) -> None:
    print("\n## One bite on top: one new purchase of each of so many customers, until the sums hold it")
    for size in (each for each in BITES if each <= place.customers):
        show(f"{size:,} customers", asyncio.run(_bites(place, size, rounds)))


async def _bites(place: Place, size: int, rounds: int) -> list[float]:
    rng, store, times = random.Random(20_261_122), store_of(place.url), list[float]()
    # After all facts there were, as what is new mostly is.
    at = f"{place.end} 00:00 UTC"
    for number in range(rounds + 1):
        names = [f"customer-{each + 1}" for each in rng.sample(range(place.customers), size)]
        place.connection.execute(TOUCH, {"round": f"{size}-{number}-{next(_numbers)}", "at": at, "names": names})
        start = time.perf_counter()
        assert await _fold(store) == 1, "one statement, one entry"
        if number:  # the first only warms up
            times.append(time.perf_counter() - start)
    await store.close()
    return times


# c. What folding costs whoever pushes


@contextmanager
def folder(url: str) -> Iterator[None]:
    """A process that folds, as the worker does and with the same priority, for as long as the block runs."""
    spawning = multiprocessing.get_context("spawn")
    ready = spawning.Event()
    process = spawning.Process(target=_keep, args=(url, ready))
    process.start()
    try:
        assert ready.wait(60), "the folder did not start"
        yield
    finally:
        process.terminate()
        process.join()


def _keep(url: str, ready: Event) -> None:
    uvloop.run(_keep_folded(url, ready))


async def _keep_folded(url: str, ready: Event) -> None:
    store, stop = store_of(url), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ready.set()
    await keep_folded(store, basis=BASIS, stop=stop)
    await store.close()


def _body(rng: random.Random, place: Place, rows: int, *, days: int) -> bytes:
    """New facts of any customers, on the last days of the window; of this moment, where there are none."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return orjson.dumps(
        {
            "transactions": [
                {
                    "transaction_id": f"pushed-{rng.getrandbits(40):010x}-{next(_numbers)}",
                    "customer_id": f"customer-{rng.randint(1, place.customers)}",
                    "occurred_at": _instant(rng, place, days) if days else now,
                    "amount": f"{rng.randrange(100, 20_000) / 100:.2f}",
                    "currency": "EUR",
                }
                for _ in range(rows)
            ]
        }
    )


def _instant(rng: random.Random, place: Place, days: int) -> str:
    return f"{place.end - timedelta(1 + rng.randrange(days))}T{rng.randrange(24):02}:15:00Z"


def ingest(place: Place, rounds: int = 5) -> None:
    rng, series, goals = random.Random(20_261_122), Series(), []
    rows = min(ROWS_PER_ROUND, max(place.customers, CLIENTS * max(BATCHES)))
    for batch in BATCHES:
        beside, alone = (f"batches of {batch:,}, {how}" for how in ("folding beside", "no triggers, no folding"))
        goals.append(Goal(beside, alone, 0.75))
        until = time.perf_counter() + INGEST_SECONDS
        for number in range(rounds + 1):
            # The first only warms up; then each comes first in turn.
            measured = series if number else Series()
            for name in (beside, alone) if number % 2 else (alone, beside):
                bodies = [_body(rng, place, batch, days=place.days) for _ in range(rows // batch)]
                place.connection.execute("checkpoint")
                with folder(place.url) if name == beside else _without_triggers(place.connection):
                    measured.timed(name, rows, _push, place.port, bodies)
            if number >= 2 and time.perf_counter() > until:
                break
    report(f"Pushing transactions, {CLIENTS} clients, folding beside at normal priority", series, goals, unit="rows/s")


@contextmanager
def _without_triggers(connection: psycopg.Connection) -> Iterator[None]:
    triggers(connection, "disable")
    yield
    triggers(connection, "enable")


def _push(port: int, bodies: Sequence[bytes], due: Sequence[float] | None = None) -> None:
    """All bodies, each by the next client that is free, and not before it is due."""
    began, turn = time.perf_counter(), threading.Lock()
    waiting = iter(zip(bodies, due or [0.0] * len(bodies), strict=True))

    def pushing(_: int) -> None:
        client = Client(port)
        while True:
            with turn:
                body, at = next(waiting, (None, 0.0))
            if body is None:
                return
            time.sleep(max(0.0, began + at - time.perf_counter()))
            client.request("POST", "/v1/transactions", body)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(pushing, range(CLIENTS)))


# d. How far folding lags behind


def lag(place: Place) -> None:
    for pace in PACES:
        rng, bodies, due, rows = random.Random(pace), list[bytes](), list[float](), 0
        while rows < pace * PACED_SECONDS:
            due.append(rows / pace)
            size = rng.randint(100, 500)
            bodies.append(_body(rng, place, size, days=0))
            rows += size
        _drained(place)
        times, waited, stop = list[float](), list[float](), threading.Event()
        with folder(place.url), ThreadPoolExecutor(2) as pool:
            beside = [pool.submit(_asking, place, times, stop), pool.submit(_watching, place, waited, stop)]
            began = time.perf_counter()
            _push(place.port, bodies, due)
            seconds = time.perf_counter() - began
            left = _waiting(place)
            stop.set()
            for each in beside:
                each.result()
        p99 = quantile(waited, 0.99)
        print(
            f"\n## {pace:,} rows/s of this moment in batches of 100 to 500; {rows / seconds:,.0f} rows/s came in, folding beside"
        )
        show("from commit until the sums hold it", waited)
        print(f"  p99 {p99:.2f} s (under 2) {'reached' if p99 < 2 else 'MISSED'}; {left} entries waited at the end")
        show("GET /v1/kpis meanwhile, the whole answer", times)


def _drained(place: Place) -> None:
    async def drained() -> None:
        store = store_of(place.url)
        while await _fold(store):
            pass
        await store.close()

    asyncio.run(drained())


def _waiting(place: Place) -> int:
    found = place.connection.execute("select count(*) from rollup_entries").fetchone()
    return int(found[0]) if found else 0


def _asking(place: Place, times: list[float], stop: threading.Event) -> None:
    client = Client(place.port)
    while not stop.wait(ASKED_EVERY_SECONDS):
        timed(times, client.request, "GET", place.asked)


def _watching(place: Place, waited: list[float], stop: threading.Event) -> None:
    """How long each entry was there, as seen every hundredth of a second; after the end, at most so long."""
    seen, deadline = dict[int, float](), float("inf")
    conninfo = make_url(place.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while time.perf_counter() < deadline:
            there = {row[0] for row in connection.execute("select entry_id from rollup_entries")}
            now = time.perf_counter()
            waited += [now - seen.pop(each) for each in [*seen] if each not in there]
            seen |= {each: now for each in there if each not in seen}
            if stop.is_set():
                deadline = min(deadline, now + DRAINED_WITHIN_SECONDS) if seen else now
            time.sleep(LOOKED_EVERY_SECONDS)
    waited += [time.perf_counter() - each for each in seen.values()]


PARTS = {"question": question, "folding": folding, "lag": lag, "ingest": ingest}


def main(parts: Sequence[str] = tuple(PARTS), customers: int = CUSTOMERS) -> None:
    end = datetime.now(UTC).date().replace(day=1)
    start = months_before(end, MONTHS)
    with server() as running, database(running, "rollups") as url, connect(running, "rollups") as connection:
        fill(connection, customers, start, end)
        with service(url) as port:
            place = Place(url, port, connection, customers, start, end)
            folded_from_nothing(place)
            for part in parts:
                PARTS[part](place)


if __name__ == "__main__":
    asking = argparse.ArgumentParser(description=__doc__)
    asking.add_argument("--part", action="append", choices=[*PARTS], help="only this; can be given more than once")
    asking.add_argument("--customers", type=int, default=CUSTOMERS)
    sent = asking.parse_args()
    main(sent.part or tuple(PARTS), sent.customers)
