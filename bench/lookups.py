"""Asking which segments customers are in: one against a constant endpoint, many against what one writes at first."""

import random
import statistics
from contextlib import ExitStack

import orjson
import psycopg

from bench.ground import Client, Goal, Series, connect, database, report, server, service
from bench.load import Load, drive

CUSTOMERS = 200_000
LOOK_UP = "GET /v1/customers/{id}/segments, 16 connections"
CONSTANT = "constant FastAPI endpoint, 16 connections"
MANY, CALLS = 1_000, 20
LOOK_UP_MANY = "POST /v1/segments/lookup, 1,000 ids, one client"
IDIOMATIC = "SQLAlchemy + Pydantic doing the same"

FILL = """
insert into customers (customer_id) select 'customer-' || n from generate_series(0, %(customers)s - 1) n;
insert into segmentations (name, method) values ('first', 'rfm'), ('second', 'rfm');
insert into segmentation_versions (segmentation_id, version, status, trained_at, as_of, activated_at, refreshed_at)
  select segmentation_id, 1, 'active', now(), now(), now(), now() from segmentations;
insert into segments (segmentation_id, key, name, position)
  select segmentation_id, 'segment-' || n, 'Segment ' || n, n from segmentations, generate_series(0, 7) n;
insert into memberships (segmentation_id, customer_id, segment_id, version, since, valid_from, evaluated_at, reason)
  select s.segmentation_id, c.customer_id, s.segment_id, 1, now() - interval '1 day', now() - interval '1 day', now(), '{"recency_score": 5}'
    from customers c join segments s on s.position = hashtext(c.customer_id) & 7;
analyze;
"""


def fill(connection: psycopg.Connection) -> None:
    for statement in (FILL % {"customers": CUSTOMERS}).split(";\n"):
        if statement.strip():
            connection.execute(statement)  # type: ignore[arg-type]  # the text is ours


def look_up_many(client: Client, bodies: list[bytes]) -> int:
    """How many memberships there were."""
    return sum(client.fetch("POST", "/v1/segments/lookup", body).count(b'"segment_key"') for body in bodies)


def main(rounds: int = 5) -> None:
    series, of_many, latencies = Series(), Series(), dict[str, list[Load]]()
    rng = random.Random(20_261_121)
    with ExitStack() as stack:
        running = stack.enter_context(server())
        url = stack.enter_context(database(running, "lookups"))
        fill(stack.enter_context(connect(running, "lookups")))
        ports = {
            LOOK_UP: stack.enter_context(service(url)),
            CONSTANT: stack.enter_context(service(url, "bench.applications:constant")),
        }
        # Behind clients of their own in each round: a connection that waits too long is closed.
        of_many_by = {
            LOOK_UP_MANY: ports[LOOK_UP],
            IDIOMATIC: stack.enter_context(service(url, "bench.applications:idiomatic")),
        }
        for _ in range(rounds):
            paths = [f"/v1/customers/customer-{rng.randrange(CUSTOMERS)}/segments" for _ in range(20_000)]
            for name, port in ports.items():
                load = drive(port, paths)
                series.rates.setdefault(name, []).append(load.per_second)
                latencies.setdefault(name, []).append(load)
            bodies = [
                orjson.dumps({"customer_ids": [f"customer-{n}" for n in rng.sample(range(CUSTOMERS), MANY)]})
                for _ in range(CALLS)
            ]
            found = {
                of_many.timed(name, CALLS * MANY, look_up_many, Client(port), bodies)
                for name, port in of_many_by.items()
            }
            assert found == {CALLS * MANY * 2}, "everybody is in one segment of each of the two segmentations"
    report("Looking up segments", series, [Goal(LOOK_UP, CONSTANT, 0.5, 0.8)], unit="req/s")
    for name, loads in latencies.items():
        p50, p99 = (statistics.median(getattr(load, which) for load in loads) for which in ("p50_ms", "p99_ms"))
        bound = 3 * p50 + 2
        verdict = "" if name == CONSTANT else f" (at most {bound:.1f} ms) {'reached' if p99 <= bound else 'MISSED'}"
        print(f"  {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms{verdict}")
    report("Looking up segments of many at once", of_many, [Goal(LOOK_UP_MANY, IDIOMATIC, 2.5)], unit="ids/s")


if __name__ == "__main__":
    main()
