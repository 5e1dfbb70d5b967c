"""Results of a campaign against the bare aggregate, and its audience against a bare COPY OUT."""

import resource
import statistics
import sys
import threading
import time
from pathlib import Path

import psycopg

from bench.ground import Client, Goal, Series, connect, database, report, server, service

CUSTOMERS, ROUNDS = 1_000_000, 5
# A campaign that is over, for its results, and one that lasts longer than any machine, for its audience.
RESULTS, AUDIENCE = "over", "lasting"
SEGMENT = "00000000-0000-4000-8000-000000000002"
SHARES = """'[{"arm": "treated", "share": 0.9}]', '["revenue_per_customer"]'"""

# One customer in five buys in the two weeks before, one in five in the two weeks after.
FILL = (
    "insert into customers (customer_id, consent_marketing) select 'customer-' || n, true from generate_series(1, {n}) n",
    "insert into segmentations (segmentation_id, name, method, request)"
    " values ('00000000-0000-4000-8000-000000000001', 'all', 'rules', '{}')",
    "insert into segments (segment_id, segmentation_id, key, name, position)"
    " values ('" + SEGMENT + "', '00000000-0000-4000-8000-000000000001', 'all', 'all', 0)",
    "insert into memberships (customer_id, segmentation_id, segment_id, version, valid_from, since, evaluated_at, reason)"
    " select customer_id, '00000000-0000-4000-8000-000000000001', '" + SEGMENT + "', 1, t, t, t, '{}'"
    " from customers, (select timestamptz '2026-01-01' t) at",
    "insert into campaigns (campaign_id, name, objective, starts_at, ends_at, holdout_share, variants, metrics,"
    " outcome_window_days) values ('" + RESULTS + "', 'x', 'x', '2026-01-01', '2026-03-01', 0.1, " + SHARES + ", 14)",
    "insert into campaigns (campaign_id, name, objective, segment_id, starts_at, ends_at, holdout_share, variants, metrics)"
    " values ('" + AUDIENCE + "', 'x', 'x', '" + SEGMENT + "', '2026-01-01', '2199-01-01', 0.1, " + SHARES + ")",
    "insert into campaign_assignments (campaign_id, customer_id, arm, assigned_at, exposed_at)"
    " select '" + RESULTS + "', customer_id, case when random() < .1 then 'holdout' else 'treated' end,"
    " timestamptz '2026-01-10' + n % 5 * interval '1 day', '2026-01-10'"
    " from (select customer_id, row_number() over () n from customers) c",
    "insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)"
    " select 'b', 't' || n, 'customer-' || 1 + floor(random() * {n})::int,"
    " timestamptz '2025-12-27' + random() * interval '28 days',"
    " case when random() < .05 then 'refund' else 'purchase' end, 1 + (random() * 9999)::int, 'EUR'"
    " from generate_series(1, {n} * 2 / 5) n",
)
# The same sums by hand: each arm's customers, revenue after and before, squares, product, buyers.
BARE = """
select arm, count(*), sum(y), sum(y * y), sum(x), sum(x * x), sum(x * y), count(*) filter (where b)
  from (select a.arm,
               coalesce(sum(t.signed) filter (where t.occurred_at >= a.assigned_at), 0)::bigint y,
               coalesce(sum(t.signed) filter (where t.occurred_at < a.assigned_at), 0)::bigint x,
               bool_or(t.signed > 0 and t.occurred_at >= a.assigned_at) b
          from campaign_assignments a
          left join (select customer_id, occurred_at,
                            case kind when 'purchase' then amount_minor else -amount_minor end signed
                       from transactions) t
            on t.customer_id = a.customer_id
           and t.occurred_at >= a.assigned_at - interval '14 days'
           and t.occurred_at < a.assigned_at + interval '14 days'
         where a.campaign_id = 'over'
         group by a.assignment_id, a.arm) each
 group by arm
"""
COPY = f"copy (select customer_id, arm, assigned_at from campaign_assignments where campaign_id = '{AUDIENCE}' and arm <> 'holdout') to stdout"


def _copied(connection: psycopg.Connection) -> int:
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        return sum(len(data) for data in copy)


def _streamed(client: Client, place: str) -> int:
    """Read as it comes, so that the memory seen is the service's."""
    client._connection.request("GET", place, headers=client._headers)
    response = client._connection.getresponse()
    assert response.status == 200, response.read(500)
    total = 0
    while part := response.read(1 << 20):
        total += part.count(b"\n")
    return total


class _Peak:
    """The largest memory of the service at a port while it streams, in MB."""

    def __init__(self, port: int) -> None:
        self._port, self.before = str(port).encode(), 0
        self.most, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "_Peak":
        self.before = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.most = max(self.most, self._now())

    def _now(self) -> int:
        pages = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if {b"bench.applications:tessera", self._port} <= {*(process / "cmdline").read_bytes().split(b"\0")}:
                    pages += int((process / "statm").read_text().split()[1])
            except OSError:
                continue
        return pages * resource.getpagesize() // 2**20


def _filled(connection: psycopg.Connection, customers: int) -> None:
    for statement in FILL:
        connection.execute(statement.replace("{n}", str(customers)))
    connection.execute("vacuum analyze")


def main(customers: int = CUSTOMERS) -> None:
    results, audience = Series(), Series()
    with server() as running, database(running, "campaigns") as url, connect(running, "campaigns") as connection:
        _filled(connection, customers)
        connection.execute("set work_mem = '128MB'")
        with service(url) as port:
            # A connection each: one left alone for longer than a bare aggregate may take is closed.
            for _ in range(ROUNDS):
                client, shown = Client(port), f"/v1/campaigns/{RESULTS}/results"
                results.timed("results of a campaign over HTTP", customers, client.fetch, "GET", shown)
                results.timed("the bare aggregate", customers, lambda: connection.execute(BARE).fetchall())
            start = time.perf_counter()
            place = f"/v1/campaigns/{AUDIENCE}/audience?format=ndjson"
            with _Peak(port) as peak:
                first = _streamed(Client(port), place)
                print(f"\n{customers:,} customers assigned and {first:,} of them streamed", end=" ")
                print(f"in {time.perf_counter() - start:.1f} s")
                connection.execute("vacuum analyze campaign_assignments")
                for _ in range(ROUNDS):
                    rows = audience.timed("audience streamed over HTTP", customers, _streamed, Client(port), place)
                    audience.timed("bare COPY OUT", customers, _copied, connection)
            assert rows == first, "whoever was handed out is handed out again"
    report(
        "campaign results",
        results,
        [Goal("results of a campaign over HTTP", "the bare aggregate", 0.5)],
        unit="exposures/s",
    )
    seconds = statistics.median(customers / rate for rate in results.rates["results of a campaign over HTTP"])
    print(f"  {seconds:.2f} s for {customers:,} exposures")
    report("audience", audience, [Goal("audience streamed over HTTP", "bare COPY OUT", 0.5)], unit="customers/s")
    print(f"  {rows:,} lines; the service's memory {peak.before} MB before, at most {peak.most} MB while streaming")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS)
