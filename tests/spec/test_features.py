"""Features against literal tables and against plain Python on generated histories."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from app.db.engine import Database
from app.modelling.features import repository
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Range, Reporting, Scope
from app.modelling.features.definitions import FEATURES, features_named
from app.tables.customers import customers
from app.tables.events import events
from app.tables.money import exchange_rates
from app.tables.transactions import transaction_items, transactions
from tests.support.feature_oracle import Event, Line, Rate, Transaction, oracle

pytestmark = pytest.mark.anyio

# A zone whose days begin at 23:00 or 22:00 UTC, so that a day is not a UTC day.
ZONE = ZoneInfo("Europe/Berlin")
REPORTING = Reporting("EUR", ZONE)
NAMES = [feature.name for feature in FEATURES]
START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBER = count()

Histories = Sequence[tuple[list[Transaction], list[Event]]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, pool_size=2, statement_timeout_seconds=30, application="test")
    yield found
    await found.close()


async def store(database: Database, histories: Histories) -> list[str]:
    """Store each history as a customer of its own; their identifiers, which sort in this order."""
    batch = next(NUMBER)
    ids = [f"{batch:06}-{place:03}" for place in range(len(histories))]
    bought = [
        {
            "source": "test",
            "transaction_id": f"{customer_id}-{place}",
            "customer_id": customer_id,
            "occurred_at": each.at,
            "kind": each.kind,
            "amount_minor": each.cents,
            "currency": each.currency,
            "channel": each.channel,
            "margin_minor": each.margin,
            "line_count": len(each.lines),
        }
        for customer_id, (history, _) in zip(ids, histories, strict=True)
        for place, each in enumerate(history)
    ]
    lines = [
        {
            "source": "test",
            "transaction_id": f"{customer_id}-{place}",
            "line": number,
            "product_id": line.product,
            "quantity": line.quantity,
            "unit_price": line.price,
        }
        for customer_id, (history, _) in zip(ids, histories, strict=True)
        for place, each in enumerate(history)
        for number, line in enumerate(each.lines)
    ]
    done = [
        {
            "source": "test",
            "event_id": f"{customer_id}-{place}",
            "customer_id": customer_id,
            "type": each.type,
            "occurred_at": each.at,
            "properties": dict(each.answers),
        }
        for customer_id, (_, history) in zip(ids, histories, strict=True)
        for place, each in enumerate(history)
    ]
    async with database.write() as session:
        for table, rows in (
            (customers, [{"customer_id": each} for each in ids]),
            (transactions, bought),
            (transaction_items, lines),
            (events, done),
        ):
            if rows:
                await session.execute(insert(table), rows)
    return ids


async def read(database: Database, scope: Scope, as_of: datetime) -> dict[str, dict[str, Any]]:
    async with database.read() as session:
        found = await repository.read(session, FEATURES, scope=scope, as_of=as_of, reporting=REPORTING)
    assert not found.unrated
    return {row[0]: dict(zip(NAMES, row[1:], strict=True)) for row in found.rows}


def differences(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Customer, feature, found, expected, wherever these are not the very same."""
    assert found.keys() == expected.keys()
    return [
        (customer, name, found[customer].get(name), expected[customer].get(name))
        for customer in found
        for name in found[customer].keys() | expected[customer].keys()
        if found[customer].get(name, "absent") != expected[customer].get(name, "absent")
    ]


def after(days: float) -> datetime:
    return START + timedelta(days=days)


# One line: transactions as (days after START, kind, cents), as_of in days, and what is expected of it.
TABLE: list[tuple[str, list[tuple[float, str, int]], float, dict[str, Any]]] = [
    (
        "nothing happened",
        [],
        100,
        {
            "purchase_count": 0,
            "total_spend": 0,
            "net_spend": 0,
            "days_since_last_purchase": None,
            "days_since_first_purchase": None,
            "average_order_value": None,
        },
    ),
    (
        "whole days are rounded down",
        [(0, "purchase", 1_000), (8.5, "purchase", 2_005)],
        10,
        {
            "days_since_last_purchase": 1,
            "days_since_first_purchase": 10,
            "purchase_count": 2,
            "total_spend": 30.05,
            "average_order_value": 15.025,
        },
    ),
    (
        "a purchase of amount 0 is activity and no purchase",
        [(3, "purchase", 0)],
        10,
        {
            "days_since_last_purchase": 7,
            "purchase_days": 1,
            "purchase_count": 0,
            "total_spend": 0,
            "average_order_value": None,
        },
    ),
    (
        "refunds are no purchases and are taken off the net alone",
        [(1, "purchase", 1_000), (2, "refund", 1_500)],
        10,
        {
            "days_since_last_purchase": 9,
            "purchase_count": 1,
            "total_spend": 10,
            "refund_total": 15,
            "net_spend": -5,
            "average_order_value": 10,
        },
    ),
    (
        "a refund alone leaves recency undefined",
        [(1, "refund", 700)],
        10,
        {"days_since_last_purchase": None, "refund_total": 7, "net_spend": -7, "total_spend": 0},
    ),
    (
        "a fact at as_of itself is not known yet",
        [(1, "purchase", 500), (10, "purchase", 900)],
        10,
        {"purchase_count": 1, "total_spend": 5, "days_since_last_purchase": 9},
    ),
    (
        "two purchases either side of 23:00 UTC are on two days in Berlin",
        [(5 + 22.9 / 24, "purchase", 100), (5 + 23.1 / 24, "purchase", 100), (5.99, "purchase", 100)],
        10,
        {"purchase_days": 2, "purchase_count": 3},
    ),
    (
        "the window of 90 days begins exactly 90 days before as_of",
        [(9.999, "purchase", 100), (10, "purchase", 200), (50, "purchase", 300)],
        100,
        {"purchase_count_90d": 2, "total_spend_90d": 5, "purchase_count": 3, "total_spend": 6},
    ),
]


@pytest.mark.parametrize(
    ("history", "as_of", "expected"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE]
)
async def test_features_are_as_the_table_says(
    database: Database, history: list[tuple[float, str, int]], as_of: float, expected: dict[str, Any]
) -> None:
    bought = [Transaction(after(days), kind, cents) for days, kind, cents in history]
    [customer] = await store(database, [(bought, [])])
    found = (await read(database, [customer], after(as_of)))[customer]
    assert {name: found[name] for name in expected} == expected


async def test_events_are_counted_by_type_and_window(database: Database) -> None:
    done = [Event(after(day), kind) for day, kind in [(0, "visit"), (50, "visit"), (60, "email_click"), (70, "click")]]
    [customer] = await store(database, [([], done)])
    found = (await read(database, [customer], after(100)))[customer]
    expected = {
        "days_since_last_event": 30,
        "days_since_last_visit": 50,
        "days_since_last_email_open": None,
        "event_count": 4,
        "visit_count_90d": 1,
        "email_open_count_90d": 0,
        "click_count_90d": 2,
        "email_open_rate_90d": None,
    }
    assert {name: found[name] for name in expected} == expected


ANY_TIME = st.builds(lambda hours: START + timedelta(hours=hours), st.integers(-200 * 24, 30 * 24))
# Instants on the hour, so that facts, as_of, edges of windows and of days often coincide.
CENTS = st.one_of(st.just(0), st.integers(1, 10_000), st.integers(1, 10**13))
LINES = st.lists(
    st.builds(
        Line,
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(-1)]),
        st.sampled_from([Decimal(0), Decimal("1.25"), Decimal("3.333333"), Decimal(-1)]),
    ),
    max_size=3,
).map(tuple)
TRANSACTIONS = st.builds(
    Transaction,
    ANY_TIME,
    st.sampled_from(["purchase", "purchase", "refund"]),
    CENTS,
    channel=st.sampled_from([None, "web", "Web", "app"]),
    margin=st.one_of(st.none(), st.integers(-500, 5_000)),
    lines=LINES,
)
TYPES = ["visit", "page_view", "email_sent", "email_open", "click", "email_click", "x"]
SURVEYS = st.fixed_dictionaries({}, optional={"csat": st.integers(1, 5), "nps": st.integers(0, 10)})
DEEDS = st.one_of(
    st.builds(Event, ANY_TIME, st.sampled_from(TYPES)),
    st.builds(Event, ANY_TIME, st.just("survey"), SURVEYS),
)
HISTORIES = st.lists(st.tuples(st.lists(TRANSACTIONS, max_size=8), st.lists(DEEDS, max_size=8)), min_size=1, max_size=5)
GENERATED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@GENERATED
@given(histories=HISTORIES, as_of=ANY_TIME)
async def test_sql_equals_plain_python_for_all_for_some_and_for_one(
    database: Database, histories: Histories, as_of: datetime
) -> None:
    ids = await store(database, histories)
    expected = {
        customer: oracle(*history, as_of=as_of, zone=ZONE) for customer, history in zip(ids, histories, strict=True)
    }
    # The range covers just these customers: the batch number is their prefix.
    around = Range(ids[0][:7], ids[-1])
    assert differences(await read(database, around, as_of), expected) == []
    for some in (ids[::2], ids[-1:]):
        assert differences(await read(database, some, as_of), {each: expected[each] for each in some}) == []


def rate_of(currency: str, day: date) -> Decimal | None:
    """Rates as store_rates gives them: every day for dollars; yen have no minor unit."""
    if currency == "EUR":
        return Decimal(1)
    return Decimal("0.87") if currency == "USD" else Decimal("0.6")


async def store_rates(database: Database) -> None:
    days = [date(2025, 6, 1) + timedelta(days=each) for each in range(300)]
    rows = [
        {"on_day": day, "from_currency": currency, "to_currency": "EUR", "rate": rate}
        for day in days
        for currency, rate in (("USD", Decimal("0.87")), ("JPY", Decimal("0.006")))
    ]
    async with database.write() as session:
        await session.execute(insert(exchange_rates), rows)


CURRENCIES = st.lists(
    st.tuples(
        st.lists(
            st.builds(
                Transaction,
                ANY_TIME,
                st.sampled_from(["purchase", "refund"]),
                st.integers(0, 10_000),
                st.sampled_from(["EUR", "USD", "JPY"]),
                margin=st.one_of(st.none(), st.integers(-500, 5_000)),
            ),
            max_size=6,
        ),
        st.just([]),
    ),
    min_size=1,
    max_size=4,
)


@settings(GENERATED, max_examples=20)
@given(histories=CURRENCIES, as_of=ANY_TIME)
async def test_several_currencies_are_added_in_the_reporting_one(
    database: Database, histories: Histories, as_of: datetime
) -> None:
    async with database.read() as session:
        known = (await session.execute(exchange_rates.select().limit(1))).first()
    if known is None:
        await store_rates(database)
    ids = await store(database, histories)
    rate: Rate = rate_of
    expected = {
        customer: oracle(*history, as_of=as_of, zone=ZONE, rate=rate)
        for customer, history in zip(ids, histories, strict=True)
    }
    assert differences(await read(database, Range(ids[0][:7], ids[-1]), as_of), expected) == []


async def test_customers_whose_rate_is_missing_are_named_and_the_others_read(database: Database) -> None:
    dollars = [Transaction(after(1), "purchase", 100, "USD")]
    euros = [Transaction(after(1), "purchase", 100)]
    with_dollars, with_euros = await store(database, [(dollars, []), (euros, [])])
    async with database.read() as session:
        found = await repository.read(
            session, FEATURES, scope=[with_dollars, with_euros], as_of=after(5), reporting=REPORTING
        )
    assert found.unrated == {with_dollars}
    assert dict(zip(NAMES, found.rows[1][1:], strict=True))["total_spend"] == 1
    # Before the dollars were spent there was nothing to convert.
    assert (await read(database, [with_dollars], after(1)))[with_dollars]["total_spend"] == 0


async def test_a_shop_of_one_currency_joins_no_rates(database: Database) -> None:
    [customer] = await store(database, [([Transaction(after(1), "purchase", 100)], [])])
    async with database.write() as session:
        await session.exec_driver_sql("alter table exchange_rates rename to exchange_rates_away")
        found = await repository.read(session, FEATURES, scope=[customer], as_of=after(5), reporting=REPORTING)
        await session.exec_driver_sql("alter table exchange_rates_away rename to exchange_rates")
    assert len(found.rows) == 1


async def test_undefined_features_are_nan_in_columns(database: Database) -> None:
    [customer] = await store(database, [([], [])])
    wanted = features_named(["days_since_last_purchase", "purchase_count"])
    async with database.read() as session:
        found = await repository.read(session, wanted, scope=[customer], as_of=START, reporting=REPORTING)
    columns = FeatureColumns.of([feature.name for feature in wanted], found.rows)
    assert columns.customer_ids == [customer]
    assert json.dumps([float(columns.values[feature.name][0]) for feature in wanted]) == "[NaN, 0.0]"
