"""Pushing transactions: against plain COPY into the same table, and against the idiomatic way."""

import random
import threading
from contextlib import ExitStack
from typing import Any

import orjson
import psycopg

from app.db import copy
from app.records.transactions.columns import columns_of
from app.records.transactions.schemas import TRANSACTIONS
from bench.ground import Client, Goal, Series, connect, database, report, server, service

ROWS = 10_000
BATCHES = 5
CUSTOMERS = 20_000
CLIENTS = 4

BARE = "binary COPY into the same table, one connection"
NEW = "POST /v1/transactions, new rows, one client"
KNOWN = "POST /v1/transactions, the same batches again"
CROWD = "POST /v1/transactions, 4 clients, same rows shuffled"
IDIOMATIC = "Pydantic models + SQLAlchemy insert, one client"

GOALS = (
    Goal(NEW, BARE, 0.6, 0.95),
    Goal(NEW, IDIOMATIC, 4, 6),
    Goal(KNOWN, NEW, 2.5),
    Goal(CROWD, NEW, 0.4),
)


def batch(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "transaction_id": f"t-{rng.getrandbits(48):012x}",
            "customer_id": f"customer-{rng.randrange(CUSTOMERS)}",
            "occurred_at": f"2026-{rng.randrange(1, 10):02}-{rng.randrange(1, 28):02}T{rng.randrange(24):02}:15:00Z",
            "amount": f"{rng.randrange(100, 20_000) / 100:.2f}",
            "currency": "EUR",
        }
        for _ in range(ROWS)
    ]


def body(rows: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"transactions": rows})


def encoded(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    """The rows as the bytes of a COPY, made before the clock starts."""
    columns, _ = columns_of(TRANSACTIONS.read(body(rows)).rows)
    count = len(columns)
    fields = {
        "source": copy.constant("default", count),
        "transaction_id": copy.text(columns.transaction_id),
        "customer_id": copy.text(columns.customer_id),
        "occurred_at": copy.timestamptz(columns.occurred_at),
        "kind": copy.text(columns.kind),
        "amount_minor": copy.bigint(columns.amount_minor),
        "currency": copy.text(columns.currency),
    }
    return ", ".join(fields), copy.HEADER + copy.encode(list(fields.values())) + copy.TRAILER


def copy_bare(connection: psycopg.Connection, batches: list[tuple[str, bytes]]) -> None:
    for names, content in batches:
        statement = f"copy bare ({names}) from stdin (format binary)"
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as writing:
            writing.write(content)


def push(port: int, bodies: list[bytes], counter: str | None) -> None:
    client = Client(port)
    for content in bodies:
        answer = client.request("POST", "/v1/transactions", content)
        assert counter is None or answer[counter] == ROWS, answer


def shuffled(batches: list[list[dict[str, Any]]], seed: int) -> list[list[bytes]]:
    """For every client the bodies it sends: all the rows, in an order of its own."""
    rows = [row for each in batches for row in each]
    bodies = []
    for client in range(CLIENTS):
        random.Random(seed + client).shuffle(rows)
        bodies.append([body(rows[first : first + ROWS]) for first in range(0, len(rows), ROWS)])
    return bodies


def push_as_a_crowd(port: int, bodies: list[list[bytes]]) -> None:
    work = [threading.Thread(target=push, args=(port, mine, None)) for mine in bodies]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()


def main(rounds: int = 5) -> None:
    rng, series = random.Random(20_261_121), Series()
    amount = ROWS * BATCHES
    with ExitStack() as stack:
        running = stack.enter_context(server())
        port = stack.enter_context(service(stack.enter_context(database(running, "ours"))))
        theirs = stack.enter_context(database(running, "theirs"))
        idiomatic_port = stack.enter_context(service(theirs, "bench.applications:idiomatic"))
        connection = stack.enter_context(connect(running, "ours"))
        connection.execute("create table bare (like transactions including all)")
        for round_number in range(rounds):
            batches = [batch(rng) for _ in range(BATCHES)]
            bodies, ready = [body(rows) for rows in batches], [encoded(rows) for rows in batches]
            crowd = shuffled([batch(rng) for _ in range(BATCHES)], round_number)
            connection.execute("checkpoint")
            series.timed(BARE, amount, copy_bare, connection, ready)
            connection.execute("checkpoint")
            series.timed(NEW, amount, push, port, bodies, "created")
            series.timed(KNOWN, amount, push, port, bodies, "duplicates")
            connection.execute("checkpoint")
            series.timed(CROWD, amount, push_as_a_crowd, port, crowd)
            connection.execute("checkpoint")
            series.timed(IDIOMATIC, amount, push, idiomatic_port, bodies, None)
        stored = connection.execute("select count(*) from transactions").fetchone()
        assert stored == (2 * rounds * amount,), "nothing lost, nothing double"
    report("Ingesting transactions", series, GOALS, unit="rows/s")


if __name__ == "__main__":
    main()
