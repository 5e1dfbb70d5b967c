"""Sums that are added up ahead equal the facts at any moment: nothing folded, half of it, all; whatever happened."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import make_url, select, text

from app.clock import start_of_day
from app.config import Settings
from app.db.engine import Database
from app.measurement.cohorts import service as cohorts
from app.measurement.kpis import service as kpis
from app.measurement.kpis.question import Reporting, Sent
from app.measurement.rollups import folding
from app.tables.customers import customers
from app.tables.segments import memberships
from tests.conftest import ADMIN_KEY, Service
from tests.support import kpi_oracle
from tests.support.kpi_oracle import SEGMENTATION, Fact, Rate, Stay, World
from tests.support.kpi_tables import connect
from tests.support.memberships import push_in_bulk, query
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.rollups import MICROSECOND, PEOPLE, Shop, a_question, a_sent, assert_sums_are_right, either_way
from tests.support.shop import shop as purchases_of_a_shop

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HUGE = 2**63 - 1


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=3, statement_timeout_seconds=30, application="test")
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a fold leaves something waiting, and everybody is not one entry."""
    monkeypatch.setattr(folding, "ENTRIES_AT_ONCE", 3)
    monkeypatch.setattr(folding, "CUSTOMERS_AT_ONCE", 4)


def libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


# Whatever is written to the tables


class Scribe:
    """Writes what no intake would let pass, too: every way in which rows can come, change and go."""

    def __init__(self, rng: random.Random, world: World, connection: psycopg.Connection) -> None:
        self.rng, self.world, self.connection = rng, world, connection
        self.count = 0
        self.instants = [fact.occurred_at for fact in world.facts]
        self.names = [f"C-{number}" for number in range(10)]
        for name in self.names:
            self.write("insert into customers (customer_id) values (%s)", name)
        # What is removed or corrected by hand is never one of these: no default window goes back behind the first fact
        # that there ever was.
        edges = ("A-first", min(self.instants) - DAY, NOW), ("A-last", max(self.instants) + HOUR, NOW + 900 * DAY)
        for name, at, received in edges:
            self.write(
                "insert into transactions (transaction_id, occurred_at, amount_minor, customer_id, kind, currency, source,"
                " received_at) values (%s, %s, 5, 'C-1', 'purchase', %s, 'crm', %s)",
                *(name, at, self.world.currency, received),
            )

    def write(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement, values)

    def do_something(self) -> None:
        deeds: list[Callable[[], None]] = [self.add_facts] * 4
        deeds += [self.merge, self.anonymise, self.remove, self.correct]
        deeds += [self.begin_stay, self.end_stay, self.move_stay, self.forget_stays]
        if self.world.rates:
            deeds += [self.rate]
        self.rng.choice(deeds)()

    def add_facts(self) -> None:
        facts = []
        for _ in range(self.rng.randrange(1, 6)):
            self.count += 1
            source = self.rng.choice(self.world.facts)
            facts.append(
                replace(source, transaction_id=f"N-{self.count}", customer_id=self.rng.choice([None, *self.names]))
            )
        with self.connection.cursor() as cursor:
            # One statement for some, many for others.
            columns = (
                "transaction_id, occurred_at, amount_minor, customer_id, kind, currency, channel, campaign_id, source"
            )
            row = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            values = [value for fact in facts for value in vars(fact).values()]
            cursor.execute(
                f"insert into transactions ({columns}) values {', '.join([row] * len(facts))}",
                values,
            )

    def merge(self) -> None:
        one, other = self.rng.sample(self.names, 2)
        with self.connection.transaction():
            self.write("update transactions set customer_id = %s where customer_id = %s", other, one)
            self.write("delete from memberships where customer_id = %s", other)
            self.write("update memberships set customer_id = %s where customer_id = %s", other, one)

    def anonymise(self) -> None:
        self.write("update transactions set customer_id = null where customer_id = %s", self.rng.choice(self.names))

    def remove(self) -> None:
        self.write("delete from transactions where transaction_id like %s", f"%{self.rng.randrange(10)}")

    def correct(self) -> None:
        self.write(
            "update transactions set amount_minor = %s, occurred_at = %s, kind = %s where transaction_id like %s",
            self.rng.choice((0, 7, HUGE)),
            self.rng.choice(self.instants),
            self.rng.choice(("purchase", "refund")),
            f"%{self.rng.randrange(10)}",
        )

    def begin_stay(self) -> None:
        self.write(
            "delete from memberships where customer_id = %s and valid_to is null", name := self.rng.choice(self.names)
        )
        [stays] = [kpi_oracle._some_stays(self.rng, name, self.instants, self.world.segments)]
        for stay in stays:
            self._store(stay)

    def _store(self, stay: Stay) -> None:
        self.write(
            "insert into memberships (segmentation_id, customer_id, segment_id, version, valid_from, valid_to, since,"
            " evaluated_at) values (%s, %s, %s, 1, %s, %s, now(), now()) on conflict do nothing",
            SEGMENTATION,
            stay.customer_id,
            kpi_oracle.segment_id(stay.segment),
            stay.valid_from,
            stay.valid_to,
        )

    def end_stay(self) -> None:
        ends = "update memberships set valid_to = %s where customer_id = %s and valid_to is null and valid_from < %s"
        at = self.rng.choice(self.instants)
        self.write(ends, at, self.rng.choice(self.names), at)

    def move_stay(self) -> None:
        segment = kpi_oracle.segment_id(self.rng.choice(self.world.segments))
        self.write(
            "update memberships set segment_id = %s where customer_id = %s", segment, self.rng.choice(self.names)
        )

    def forget_stays(self) -> None:
        self.write("delete from memberships where customer_id = %s", self.rng.choice(self.names))

    def rate(self) -> None:
        on, pair = self.rng.choice(self.instants).date(), self.rng.sample(["EUR", "USD", "JPY", "KWD"], 2)
        if self.rng.random() < 0.3:
            self.write("delete from exchange_rates where on_day between %s and %s", on - 3 * DAY, on)
        else:
            self.write(
                "insert into exchange_rates (on_day, from_currency, to_currency, rate) values (%s, %s, %s, %s)"
                " on conflict (on_day, from_currency, to_currency) do update set rate = excluded.rate",
                *(on, *pair, self.rng.choice(("0.064", "1.25", "999999999999"))),
            )


# Two scenes around a skipped midnight, a skipped day, days that begin at a quarter of an hour; two with rates.
@pytest.mark.parametrize("seed", [7, 11, 13, 6])
async def test_sums_equal_the_facts_whatever_is_written_and_however_much_waits(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    world = kpi_oracle.a_world(rng, facts=40)
    kpi_oracle.store(world, database.url)
    shop = Shop(
        database,
        Reporting(
            currency=world.currency,
            zone=ZoneInfo(world.zone),
            now=max(each.occurred_at for each in world.facts) + 40 * DAY,
        ),
        SEGMENTATION,
    )
    served: list[frozenset[str]] = []
    with connect(database.url) as connection:
        connection.autocommit = True
        scribe = Scribe(rng, world, connection)
        assert await shop.fold() == 1
        for _ in range(10):
            for _ in range(rng.randrange(5)):
                scribe.do_something()
            for _ in range(rng.choice((0, 1, 2, 9))):
                await shop.fold()
            served += [await assert_sums_are_right(shop, a_question(rng, shop, scribe.instants)) for _ in range(2)]
        await assert_answers_are_the_same(rng, shop, scribe.instants)
        await shop.fold_all()
        await assert_answers_are_the_same(rng, shop, scribe.instants)
    # The rest are cut windows, and moments at which a new rate waits.
    assert sum(map(bool, served)) > len(served) / 3
    assert sum(bool(kinds & PEOPLE) for kinds in served) > len(served) / 8


async def assert_answers_are_the_same(rng: random.Random, shop: Shop, instants: list[datetime]) -> None:
    sent = a_sent(rng, shop, instants)
    now, raw = await either_way(shop, partial(kpis.answer, sent=sent, reporting=shop.reporting))
    assert now == raw, sent
    asked = cohorts.Asked(
        metric=rng.choice(("retention", "buyers", "revenue")),
        interval=rng.choice(("week", "month", "quarter", "year")),
        from_=rng.choice((None, min(instants).date().replace(day=1).isoformat())),
    )
    now, raw = await either_way(shop, partial(cohorts.triangle, asked=asked, reporting=shop.reporting))
    assert now == raw, asked


async def test_sums_equal_the_facts_while_several_write_and_others_fold(database: Database) -> None:
    rng = random.Random(11)
    world = kpi_oracle.a_world(rng, facts=30)
    kpi_oracle.store(world, database.url)
    shop = a_shop(database, world)
    over = asyncio.Event()

    async def write(names: list[str]) -> None:
        """In transactions that stay open a while, so that entries are committed in another order than written."""
        async with await psycopg.AsyncConnection.connect(libpq(database.url)) as connection:
            for number in range(25):
                fact = rng.choice(world.facts)
                name = rng.choice([None, *names])
                await connection.execute(
                    "insert into transactions (transaction_id, occurred_at, amount_minor, customer_id, kind, currency,"
                    " source) values (%s, %s, %s, %s, %s, %s, 'w')",
                    (f"{names[0]} {number}", fact.occurred_at, fact.amount_minor, name, fact.kind, world.currency),
                )
                await connection.execute(
                    "update memberships set segment_id = %s where customer_id = %s",
                    (kpi_oracle.segment_id(rng.choice(world.segments)), name),
                )
                await asyncio.sleep(rng.random() / 40)
                await (connection.rollback() if number % 7 == 3 else connection.commit())

    async def fold() -> None:
        while not over.is_set():
            await shop.fold()
            await asyncio.sleep(0.01)

    async def look() -> int:
        looked = 0
        while not over.is_set():
            looked += bool(await assert_sums_are_right(shop, a_question(rng, shop, instants)))
        return looked

    instants = [fact.occurred_at for fact in world.facts]
    await shop.fold()
    folders = [asyncio.create_task(fold()) for _ in range(2)]
    looks = asyncio.create_task(look())
    await asyncio.gather(*(write([f"C-{number}" for number in range(first, first + 3)]) for first in (0, 3, 6)))
    over.set()
    await asyncio.gather(*folders)
    assert await looks > 3
    await shop.fold_all()
    for _ in range(4):
        await assert_sums_are_right(shop, a_question(rng, shop, instants))


# Whatever happens to a service


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    zone = getattr(request, "param", "UTC")
    return Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR", reporting_timezone=zone, pool_size=4)


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


def shop_of(service: Service, segmentation_id: str | None = None) -> Shop:
    state = service.app.state.service
    reporting = Reporting(currency=state.currency, zone=state.timezone, now=state.clock.now())
    return Shop(state.database, reporting, None if segmentation_id is None else UUID(segmentation_id))


RULES = [
    {"key": "fresh", "name": "Fresh", "when": {"did": {"type": "purchase", "within_days": 20}}},
    {"key": "returner", "name": "Returner", "when": {"did": {"type": "refund", "within_days": 60}}},
]


class Life:
    """What may happen to a shop with an active segmentation, through the API and the worker."""

    def __init__(self, rng: random.Random, modelling: Modelling, segmentation_id: str) -> None:
        self.rng, self.modelling, self.segmentation_id = rng, modelling, segmentation_id
        self.count = 0
        zone = modelling.state.timezone
        # Around the days on which the clocks of Santiago change, and now; a few lie ahead.
        days = [date(2026, 9, 4) + offset * DAY for offset in range(6)]
        days += [date(2026, 10, 30) + offset * DAY for offset in range(4)]
        edges = [start_of_day(day, zone) + rng.choice((-MICROSECOND, 0 * DAY, MICROSECOND)) for day in days]
        self.instants = [*edges, *(NOW - rng.randrange(300 * 24) * HOUR for _ in range(25)), NOW + 3 * HOUR]

    async def names(self) -> list[str]:
        return [row.customer_id for row in await query(self.modelling, select(customers.c.customer_id))]

    def rows(self, names: list[str]) -> list[dict[str, Any]]:
        found = []
        for _ in range(self.rng.randrange(1, 8)):
            self.count += 1
            row = transaction(
                f"L-{self.count}",
                customer_id=self.rng.choice([None, f"N-{self.rng.randrange(30)}", *names]),
                occurred_at=self.rng.choice(self.instants).isoformat(),
                amount=self.rng.choice(("0", "0.01", "19.99", "90000000000000000.00")),
                kind=self.rng.choice(("purchase", "purchase", "refund")),
                currency=self.rng.choice(("EUR",) * 8 + ("USD",)),
            )
            found.append({name: value for name, value in row.items() if value is not None})
        return found

    async def push(self) -> None:
        await self.modelling.service.push(*self.rows(await self.names()))

    async def push_much(self) -> None:
        await push_in_bulk(self.modelling, *self.rows(await self.names()))

    async def merge(self) -> None:
        one, other = self.rng.sample(await self.names(), 2)
        answer = await self.modelling.client.post("/v1/customers/merge", json={"from": one, "into": other})
        assert answer.status_code == 200, answer.text

    async def erase(self) -> None:
        name = self.rng.choice(await self.names())
        assert (await self.modelling.client.delete(f"/v1/customers/{name}")).status_code == 200

    async def give_rates(self, of: int = 12) -> None:
        days = {each.date() for each in self.rng.sample(self.instants, of)}
        rates = [
            {"on": str(day), "from": "USD", "to": "EUR", "rate": self.rng.choice(("0.8", "0.9", "1.3"))} for day in days
        ]
        answer = await self.modelling.client.put("/v1/exchange-rates", json={"rates": rates})
        assert answer.status_code == 200, answer.text

    async def let_time_pass(self) -> None:
        self.modelling.service.clock.advance(timedelta(hours=self.rng.randrange(300, 600)))
        lately = (self.modelling.state.clock.now() - MICROSECOND).isoformat()
        self.count += 1
        await self.modelling.service.push(transaction(f"L-{self.count}", customer_id="C-00", occurred_at=lately))
        await self.modelling.drain()

    async def drain(self) -> None:
        await self.modelling.drain()

    async def refresh(self) -> None:
        # It refuses to work while an amount has no rate.
        await self.give_rates(len(self.instants))
        await self.modelling.start(self.segmentation_id, "refresh")

    def deeds(self) -> list[Callable[[], Awaitable[None]]]:
        """Everything at least once, in any order."""
        found: list[Callable[[], Awaitable[None]]] = [
            *[self.push] * 3,
            *[self.push_much] * 2,
            *[self.let_time_pass] * 2,
            self.merge,
            self.erase,
        ]
        found += [self.give_rates, self.drain, self.refresh]
        self.rng.shuffle(found)
        return found


@pytest.mark.parametrize(
    ("settings", "seed"),
    [("America/Santiago", 1), ("Asia/Kolkata", 2)],
    indirect=["settings"],
)
async def test_answers_equal_the_facts_whatever_happens_to_a_shop(modelling: Modelling, seed: int) -> None:
    rng = random.Random(seed)
    await modelling.service.push(*purchases_of_a_shop())
    segmentation_id = await modelling.learn_and_activate("Rules", method="rules", rules=RULES)
    life = Life(rng, modelling, segmentation_id)
    beginning = shop_of(modelling.service, segmentation_id)
    await beginning.fold()
    served = []
    for step, deed in enumerate(life.deeds()):
        await deed()
        for _ in range(rng.choice((0, 0, 1, 3))):
            await beginning.fold()
        now = shop_of(modelling.service, segmentation_id)
        served += [await assert_sums_are_right(now, a_question(rng, now, life.instants)) for _ in range(2)]
        if step % 5 == 4:
            await assert_answers_are_the_same(rng, now, life.instants)
    await beginning.fold_all()
    await assert_answers_are_the_same(rng, shop_of(modelling.service, segmentation_id), life.instants)
    moved = await query(modelling, select(memberships.c.customer_id).where(memberships.c.valid_to.is_not(None)))
    assert moved, "somebody left a segment"
    # Only a few entries are folded at a time, so that a new rate waits for long.
    assert sum(map(bool, served)) > 3


# Cases by name

SUMS = ("kpi_days", "cohort_periods", "folded_facts", "folded_spells")


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


A_WORLD = World(
    facts=[
        Fact("T-1", at(1), 1_000, "C-1"),
        Fact("T-2", at(2), 2_000, "C-1"),
        Fact("T-3", at(2), 500, "C-2", kind="refund"),
        Fact("T-4", at(20), 700, "C-2"),
        Fact("T-5", at(2, 23), 40, None),
    ],
    stays=[Stay("C-1", "loyal", at(2)), Stay("C-2", "asleep", at(1), at(10))],
    segments=("loyal", "asleep"),
)
EVER = Sent(metrics=("revenue_net", "buyers"), to="2026-11-02")
BY_MONTH = replace(EVER, from_="2026-10-01", interval="month", group_by=("segment",), segmentation_id=SEGMENTATION)


def a_shop(database: Database, world: World = A_WORLD) -> Shop:
    """Stored, and known to the sums that it is there, but not yet added up."""
    kpi_oracle.store(world, database.url)
    with connect(database.url) as connection:
        names = [[f"C-{number}"] for number in range(10)]
        connection.cursor().executemany("insert into customers (customer_id) values (%s)", names)
    return Shop(database, Reporting(currency=world.currency, zone=ZoneInfo(world.zone), now=NOW), SEGMENTATION)


def write(shop: Shop, statement: str, *values: Any) -> None:
    with connect(shop.database.url) as connection:
        connection.execute(statement, values)


BUY = (
    "insert into transactions (transaction_id, occurred_at, amount_minor, customer_id, kind, currency, source)"
    " values (%s, %s, %s, %s, 'purchase', %s, 'later')"
)


RATE = (
    "insert into exchange_rates (on_day, from_currency, to_currency, rate) values (%s, 'USD', 'EUR', %s)"
    " on conflict (on_day, from_currency, to_currency) do update set rate = excluded.rate"
)


async def contents(shop: Shop, *tables: str) -> dict[str, list[str]]:
    """The rows of these tables, as text; the facts of a customer stand in no order."""
    async with shop.database.read() as session:
        found = {}
        for table in tables:
            shown = "customer_id, octet_length(facts)" if table == "folded_facts" else "*"
            rows = await session.execute(text(f"select {shown} from {table}"))
            found[table] = sorted(map(str, rows))
        return found


async def figures(shop: Shop, sent: Sent = EVER) -> dict[Any, Any]:
    """Values by metric, segment and period; the same with sums and without."""
    now, raw = await either_way(shop, partial(kpis.answer, sent=sent, reporting=shop.reporting))
    assert now == raw
    return {(row["metric"], row["group"].get("segment_key"), row["period"]): row["value"] for row in now["data"]}


async def is_served(shop: Shop, sent: Sent = EVER) -> bool:
    """Whether the sums are what answers: with a row of them falsified the answer is another."""
    async with shop.database.engine.connect() as session, session.begin() as transaction:
        before = await kpis.answer(session, sent=sent, reporting=shop.reporting)
        await session.execute(text("update kpi_days set purchase_minor = purchase_minor + 7"))
        after = await kpis.answer(session, sent=sent, reporting=shop.reporting)
        await transaction.rollback()
    return bool(before != after)


async def test_before_the_first_fold_the_facts_answer(database: Database) -> None:
    shop = a_shop(database)
    assert await shop.waiting() > 0
    assert await figures(shop) == {("revenue_net", None, None): 32.40, ("buyers", None, None): 2}
    assert (await contents(shop, *SUMS)) == {table: [] for table in SUMS}


async def test_sums_answer_once_they_are_there_and_with_what_waits_on_top(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    assert await is_served(shop)
    assert await is_served(shop, BY_MONTH)
    write(shop, BUY, "N-1", at(3), 100, "C-3", "EUR")
    write(shop, BUY, "N-2", at(3), 200, None, "EUR")
    assert await shop.waiting() == 2
    assert await is_served(shop)
    assert await figures(shop) == {("revenue_net", None, None): 35.40, ("buyers", None, None): 3}
    await figures(shop, BY_MONTH)


async def test_folding_again_whom_nothing_changed_of_changes_nothing(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    before = await contents(shop, *SUMS)
    assert all(before.values())
    again = "insert into rollup_entries (customer_ids, segmentation_id, guest_hours) values (%s, %s, %s)"
    write(shop, again, ["C-1", "C-2", "nobody"], None, [at(2, 23), at(9)])
    write(shop, again, ["C-1", "C-2", "nobody"], SEGMENTATION, [])
    assert await shop.fold_all() > 0
    assert await contents(shop, *SUMS) == before


async def test_an_entry_that_is_committed_after_a_later_one_was_folded_is_not_lost(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    with connect(database.url) as slow:
        slow.execute(BUY, ("N-1", at(3), 100, "C-1", "EUR"))
        write(shop, BUY, "N-2", at(4), 10_000, "C-1", "EUR")
        assert await shop.fold_all() == 1
        assert (await figures(shop))["revenue_net", None, None] == 132.40
        slow.commit()
    assert await shop.waiting() == 1
    assert (await figures(shop))["revenue_net", None, None] == 133.40
    assert await shop.fold_all() == 1
    assert (await figures(shop))["revenue_net", None, None] == 133.40


async def test_only_one_folds_at_a_time(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    write(shop, BUY, "N-1", at(3), 100, "C-1", "EUR")
    async with database.write() as session:
        assert await folding.fold(session, shop.basis) == 1
        write(shop, BUY, "N-2", at(3), 200, "C-1", "EUR")
        assert await shop.fold() == 0
    assert await shop.fold() == 1
    assert (await figures(shop))["revenue_net", None, None] == 35.40


async def test_a_fold_that_fails_midway_leaves_ledger_and_sums_as_they_were(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    write(shop, BUY, "N-1", at(3), 100, "C-1", "EUR")
    write(shop, "delete from memberships where customer_id = 'C-2'")
    before = await contents(shop, *SUMS, "rollup_entries", "rollup_state")
    async with database.engine.connect() as session, session.begin() as transaction:
        assert await folding.fold(session, shop.basis) == 2
        await transaction.rollback()
    assert await contents(shop, *SUMS, "rollup_entries", "rollup_state") == before
    await figures(shop, BY_MONTH)


@pytest.mark.parametrize(("currency", "zone"), [("EUR", "Asia/Kolkata"), ("USD", "UTC")])
async def test_another_currency_or_zone_begins_anew_and_answers_stay_right(
    database: Database, currency: str, zone: str
) -> None:
    old = a_shop(database)
    write(
        old,
        "insert into exchange_rates (on_day, from_currency, to_currency, rate)"
        " select day, 'EUR', 'USD', 2 from generate_series(date '2026-09-25', '2026-11-02', '1 day') as day",
    )
    await old.fold_all()
    new = Shop(database, replace(old.reporting, currency=currency, zone=ZoneInfo(zone)), SEGMENTATION)
    expected = await figures(new)
    assert not await is_served(new)
    async with database.read() as session:
        asked = partial(kpis.answer, session, sent=BY_MONTH, reporting=old.reporting)
        seen = await asked()
        assert await new.fold() == 1
        # Who began to read before the sums were done away with reads them to the end.
        assert await asked() == seen
    while await new.waiting():
        assert await figures(new) == expected
        await figures(old)
        await new.fold()
    assert await is_served(new)
    assert await figures(new) == expected
    await figures(old)


async def test_a_rate_that_comes_later_moves_amounts_from_missing_to_counted(database: Database) -> None:
    facts = [
        *A_WORLD.facts,
        Fact("T-6", at(5), 100, "C-2", currency="USD"),
        Fact("T-7", at(6), 30, None, currency="USD"),
    ]
    shop = a_shop(database, replace(A_WORLD, facts=facts))
    await shop.fold_all()
    purchases = replace(EVER, metrics=("purchases", "buyers"))
    for _ in range(2):
        # Both refuse, with the same days; a figure that needs no amounts has them.
        refusal, raw = await either_way(shop, partial(kpis.answer, sent=EVER, reporting=shop.reporting))
        assert refusal == raw
        assert "no rate to EUR" in refusal[0]
        assert (await figures(shop, purchases))["purchases", None, None] == 6
        # Once more with a rate, of another month, that is folded.
        write(shop, RATE, "2026-08-01", 3)
        await shop.fold_all()
    write(shop, RATE, "2026-10-01", 3)
    assert not await is_served(shop), "nobody knows yet whose amounts are others"
    assert (await figures(shop))["revenue_net", None, None] == 36.30
    await shop.fold_all()
    assert await is_served(shop)
    assert (await figures(shop))["revenue_net", None, None] == 36.30
    write(shop, RATE, "2026-10-01", 5)
    await shop.fold_all()
    assert (await figures(shop))["revenue_net", None, None] == 38.90
    write(shop, "delete from exchange_rates")
    await shop.fold_all()
    refusal, raw = await either_way(shop, partial(kpis.answer, sent=EVER, reporting=shop.reporting))
    assert refusal == raw
    assert "no rate to EUR" in refusal[0]


async def test_amounts_beyond_64_bits_are_added_up_exactly(database: Database) -> None:
    facts = [Fact(f"T-{n}", at(1), HUGE, f"C-{n}", currency="JPY") for n in range(3)]
    rates = [Rate(date(2026, 10, 1), "JPY", "EUR", Fraction(999_999_999_999))]
    shop = a_shop(database, World(facts, rates=rates))
    await shop.fold_all()
    rng, anywhere = random.Random(1), replace(shop, segmentation_id=None)
    for waiting in (0, 1):
        assert await shop.waiting() == waiting
        served = [await assert_sums_are_right(shop, a_question(rng, anywhere, [at(1)])) for _ in range(4)]
        assert any(served)
        total = Fraction(3 * HUGE * 999_999_999_999) + waiting * Fraction(HUGE, 100)
        assert (await figures(shop))["revenue_net", None, None] == float(total)
        write(shop, BUY, f"N-{waiting}", at(1), HUGE, "C-1", "EUR")


async def test_who_enters_a_segmentation_late_or_leaves_it_counts_in_it_at_once(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    join = (
        "insert into memberships (segmentation_id, customer_id, segment_id, version, valid_from, since, evaluated_at)"
        " values (%s, 'C-3', %s, 1, %s, now(), now())"
    )
    month = ("revenue_net", "loyal", "2026-10")
    before = (await figures(shop, BY_MONTH))[month]
    for statement, values, expected in (
        (BUY, ("N-1", at(3), 100, "C-3", "EUR"), 0),
        # The first stay reaches back to the beginning of time.
        (join, (SEGMENTATION, kpi_oracle.segment_id("loyal"), at(25)), 1.00),
        ("update memberships set valid_to = %s where customer_id = 'C-3'", (at(26),), 1.00),
        (BUY, ("N-2", at(27), 100, "C-3", "EUR"), 1.00),
        ("update memberships set segment_id = %s where customer_id = 'C-3'", (kpi_oracle.segment_id("asleep"),), 0),
        ("delete from memberships where customer_id = 'C-3'", (), 0),
    ):
        write(shop, statement, *values)
        assert (await figures(shop, BY_MONTH))[month] == pytest.approx(before + expected)
        await shop.fold_all()
        assert (await figures(shop, BY_MONTH))[month] == pytest.approx(before + expected)
    assert await is_served(shop, BY_MONTH)


async def test_looking_at_a_membership_again_writes_no_entry(database: Database) -> None:
    shop = a_shop(database)
    await shop.fold_all()
    write(shop, "update memberships set evaluated_at = now(), version = 2, reason = '{}'")
    assert await shop.waiting() == 0


# People

PERSON = 'Zoë "Q" 7'
NAMED = ("rollup_entries", "folded_facts", "folded_spells")


async def with_people(service: Service) -> Shop:
    """Zoë, whom there were two of, and a bystander, all in segments."""
    modelling = Modelling(service)
    for name in (PERSON, "old name", "bystander"):
        rows = [
            transaction(f"{name} {day}", customer_id=name, occurred_at=at(day).isoformat(), kind=kind)
            for day, kind in ((1, "purchase"), (20, "purchase"), (25, "refund"))
        ]
        await service.push(*rows)
    segmentation_id = await modelling.learn_and_activate("Rules", method="rules", rules=RULES)
    return shop_of(service, segmentation_id)


async def totals(shop: Shop) -> dict[Any, Any]:
    by_segment = replace(BY_MONTH, segmentation_id=shop.segmentation_id)
    return {**await figures(shop), **await figures(shop, by_segment)}


async def merge_people(service: Service) -> None:
    answer = await service.client.post("/v1/customers/merge", json={"from": "old name", "into": PERSON})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("is_folded", [True, False])
async def test_a_merge_counts_two_as_one_before_and_after_it_is_folded(service: Service, is_folded: bool) -> None:
    shop = await with_people(service)
    await shop.fold()
    if is_folded:
        await shop.fold_all()
    assert (await totals(shop))["buyers", None, None] == 3
    await merge_people(service)
    merged = await totals(shop)
    assert merged["buyers", None, None] == 2
    assert await shop.fold_all() > 0
    assert await totals(shop) == merged
    names = [row.split("'")[1] for row in (await contents(shop, "folded_facts"))["folded_facts"]]
    assert "old name" not in names


@pytest.mark.parametrize("is_folded", [True, False])
async def test_an_erasure_leaves_the_name_nowhere_at_once_and_every_total_right(
    service: Service, is_folded: bool
) -> None:
    shop = await with_people(service)
    await shop.fold()
    if is_folded:
        await shop.fold_all()
    await merge_people(service)
    before = await totals(shop)
    assert any("old name" in row for row in (await contents(shop, "rollup_entries"))["rollup_entries"])
    assert (await service.client.delete(f"/v1/customers/{quote(PERSON, safe='')}")).status_code == 200
    for _ in range(2):
        found = await contents(shop, *NAMED)
        assert not any("Zoë" in row or "old name" in row for rows in found.values() for row in rows)
        after = await totals(shop)
        assert after["revenue_net", None, None] == before["revenue_net", None, None]
        assert after["buyers", None, None] == 1
        await shop.fold_all()
    left = await contents(shop, *NAMED)
    assert left["rollup_entries"] == []
    assert not any("erased" in row for rows in left.values() for row in rows)
    assert all("bystander" in row for rows in left.values() for row in rows)
