"""What the measurements of sums stand on: facts of many customers over two years, and the question about them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from app.db.engine import Database
from app.measurement.rollups.concerned import Basis

CUSTOMERS, PER_CUSTOMER, MONTHS = 1_000_000, 10, 24
BASIS = Basis("EUR", ZoneInfo("UTC"))
SEGMENTATION = UUID("00000000-0000-4000-8000-000000000001")
METRICS = ("purchases", "buyers", "revenue_gross", "average_order_value")

# One fact in a hundred is a guest's, one in thirty-three a refund; one customer in fifty is in no segment.
FILL = (
    "select setseed(0.5)",
    "insert into customers (customer_id) select 'customer-' || n from generate_series(1, {n}) n",
    "insert into segmentations (segmentation_id, name, method, request) values ('{segmentation}', 'x', 'rules', '{{}}')",
    "insert into segments (segment_id, segmentation_id, key, name, position)"
    " select ('00000000-0000-4000-8000-00000000001' || n)::uuid, '{segmentation}', 's' || n, 's' || n, n"
    " from generate_series(0, 7) n",
    "insert into memberships (customer_id, segmentation_id, segment_id, version, valid_from, since, evaluated_at, reason)"
    " select 'customer-' || n, '{segmentation}', ('00000000-0000-4000-8000-00000000001' || n % 8)::uuid, 1, t, t, t, '{{}}'"
    " from generate_series(1, {n}) n, (select timestamptz '{end}' t) at where n % 50 > 0",
    "insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)"
    " select 'filled', to_char(n, 'FM000000000000'),"
    " case when n % 100 > 0 then 'customer-' || 1 + floor(random() * {n})::int end,"
    " timestamptz '{start}' + random() * (timestamptz '{end}' - timestamptz '{start}'),"
    " case when n % 33 = 0 then 'refund' else 'purchase' end, 1 + (random() * 19999)::int, 'EUR'"
    " from generate_series(1, {n} * {each}) n",
)
SECONDARY = """
select indexname, indexdef from pg_indexes
 where tablename = 'transactions' and indexname not in (select conname from pg_constraint)
"""
RAW = """
select m.segment_id::text, to_char(t.occurred_at at time zone 'UTC', 'YYYY-MM'),
       count(*), count(distinct t.customer_id), sum(t.amount_minor)::bigint
  from transactions t
  left join memberships m
    on m.customer_id = t.customer_id and m.segmentation_id = %(segmentation)s and m.valid_to is null
 where t.kind = 'purchase' and t.amount_minor > 0 and t.occurred_at >= %(start)s::timestamptz
   and t.occurred_at < %(end)s::timestamptz
 group by 1, 2
"""
RAW_COHORTS = """
with bought as (
  select customer_id, date_trunc('month', occurred_at at time zone 'UTC') as month, sum(amount_minor) as spent
    from transactions
   where kind = 'purchase' and amount_minor > 0 and customer_id is not null and occurred_at < %(end)s::timestamptz
   group by 1, 2
)
select to_char(cohort, 'YYYY-MM'), to_char(month, 'YYYY-MM'), count(*), sum(spent)::bigint
  from bought join (select customer_id, min(month) as cohort from bought group by 1) firsts using (customer_id)
 where cohort >= %(start)s::date group by 1, 2
"""


@dataclass(frozen=True)
class Place:
    """What every part is measured on."""

    url: str
    port: int
    connection: psycopg.Connection
    customers: int
    start: date
    end: date

    @property
    def given(self) -> dict[str, object]:
        """As plain SQL takes it."""
        return {"segmentation": SEGMENTATION, "start": f"{self.start} UTC", "end": f"{self.end} UTC"}

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def window(self) -> str:
        return f"from={self.start}&to={self.end}&interval=month"

    @property
    def asked(self) -> str:
        """The question."""
        metrics = "&".join(f"metric={name}" for name in METRICS)
        return f"/v1/kpis?{metrics}&group_by=segment&segmentation_id={SEGMENTATION}&{self.window}"


def months_before(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def store_of(url: str) -> Database:
    return Database(url, pool_size=2, statement_timeout_seconds=3_600, application="bench")


def fill(connection: psycopg.Connection, customers: int, start: date, end: date) -> None:
    """Set-based and without the triggers: everything is folded from nothing afterwards."""
    began = time.perf_counter()
    indexes = connection.execute(SECONDARY).fetchall()
    triggers(connection, "disable")
    for name, _ in indexes:
        connection.execute(f"drop index {name}")
    given = {"n": customers, "each": PER_CUSTOMER, "segmentation": SEGMENTATION, "start": start, "end": end}
    for statement in FILL:
        connection.execute(statement.format(**given))
    for _, definition in indexes:
        connection.execute(definition)
    triggers(connection, "enable")
    connection.execute("vacuum analyze")
    seconds = time.perf_counter() - began
    print(f"\n{customers:,} customers, {customers * PER_CUSTOMER:,} transactions, filled in {seconds:.0f} s")


def triggers(connection: psycopg.Connection, what: str) -> None:
    for table in ("transactions", "memberships"):
        connection.execute(f"alter table {table} {what} trigger user")


def quantile(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(name: str, seconds: Sequence[float]) -> None:
    p50, p95 = statistics.median(seconds) * 1e3, quantile(seconds, 0.95) * 1e3
    print(f"  {name:58s} p50 {p50:10,.2f} ms   p95 {p95:10,.2f} ms   ({len(seconds)} times)")


def timed(times: list[float], work: Callable[..., Any], *arguments: Any) -> Any:
    start = time.perf_counter()
    found = work(*arguments)
    times.append(time.perf_counter() - start)
    return found
