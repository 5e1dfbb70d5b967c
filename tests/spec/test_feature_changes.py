"""When time alone changes a feature: never before the instant that is told, and not needlessly early."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import DateTime, Integer, bindparam, cast, func, literal, select

from app.db.engine import Database
from app.modelling.features import repository
from app.modelling.features.compiler import AS_OF
from app.modelling.features.definitions import BY_NAME, FEATURES, Feature
from app.modelling.features.derived import Derived
from app.tables.customers import customers
from app.tables.transactions import transactions
from tests.spec.test_features import (
    ANY_TIME,
    DEEDS,
    GENERATED,
    REPORTING,
    START,
    TRANSACTIONS,
    ZONE,
    after,
    database,
    store,
)
from tests.support.feature_oracle import Event, Transaction, oracle

__all__ = ["database"]
pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
WINDOWS = (30, 90, 180, 365)
# Of these every fact that counts makes a difference when it comes, grows a day older or leaves.
SENSITIVE = [
    BY_NAME[name]
    for name in (
        "days_since_last_purchase",
        "days_since_first_purchase",
        "purchase_count_30d",
        "purchase_count_90d",
        "purchase_count_365d",
        "days_since_last_event",
        "days_since_last_visit",
        "visit_count_90d",
        "click_count_90d",
    )
]


async def next_change(
    database: Database,
    customer: str,
    features: tuple[Feature, ...],
    as_of: datetime,
    derived: tuple[Derived, ...] = (),
) -> datetime | None:
    async with database.read() as session:
        found = await repository.read_with_next_change(
            session, features, scope=[customer], as_of=as_of, reporting=REPORTING, derived=derived
        )
    assert [len(row) for row in found.rows] == [1 + len(features) + len(derived)]
    return found.next_changes[0]


def candidates(history: tuple[Sequence[Transaction], Sequence[Event]], as_of: datetime) -> list[datetime]:
    """Every instant after as_of, for some days, at which a fact may come, grow a day older or leave a window."""
    ats = [each.at for each in (*history[0], *history[1])]
    ages = [at + DAY * ((as_of - at) // DAY + more) for at in ats for more in (1, 2)]
    leaving = [at + DAY * days + TICK for at in ats for days in WINDOWS]
    return sorted({each for each in (*ages, *leaving, *(at + TICK for at in ats)) if each > as_of})


@settings(GENERATED, max_examples=60)
@given(
    history=st.tuples(st.lists(TRANSACTIONS, max_size=6), st.lists(DEEDS, max_size=5)),
    features=st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True).map(tuple),
    as_of=ANY_TIME,
)
async def test_until_the_next_change_features_stay_as_they_are(
    database: Database,
    history: tuple[list[Transaction], list[Event]],
    features: tuple[Feature, ...],
    as_of: datetime,
) -> None:
    def values(instant: datetime) -> list[object]:
        found = oracle(*history, as_of=instant, zone=ZONE)
        return [found[feature.name] for feature in features]

    [customer] = await store(database, [history])
    following = await next_change(database, customer, features, as_of)
    assert following is None or following > as_of
    instants = candidates(history, as_of)
    probes = [each for each in instants if following is None or each < following]
    if following is not None:
        probes.append(following - TICK)
    assert [probe for probe in probes if values(probe) != values(as_of)] == []


@settings(GENERATED, max_examples=40)
@given(
    history=st.tuples(st.lists(TRANSACTIONS, max_size=6), st.lists(DEEDS, max_size=5)),
    feature=st.sampled_from(SENSITIVE),
    as_of=ANY_TIME,
)
async def test_at_the_next_change_a_feature_is_another(
    database: Database, history: tuple[list[Transaction], list[Event]], feature: Feature, as_of: datetime
) -> None:
    known = tuple([each for each in facts if each.at < as_of] for facts in history)

    def value(instant: datetime) -> object:
        return oracle(*known, as_of=instant, zone=ZONE)[feature.name]

    [customer] = await store(database, [known])
    following = await next_change(database, customer, (feature,), as_of)
    if following is not None:
        assert value(following - TICK) == value(as_of)
        assert value(following) != value(as_of)
    else:
        assert all(value(each) == value(as_of) for each in candidates(known, as_of))


# What one purchase does to a feature: the feature, days from the purchase to as_of, days to the change and ticks.
PURCHASE: list[tuple[str, float, float | None, int]] = [
    ("days_since_last_purchase", 0.5, 1, 0),
    ("days_since_last_purchase", 1, 2, 0),
    ("purchase_count", 5, None, 0),
    ("total_spend_90d", 5, 90, 1),
    ("total_spend_90d", 90, 90, 1),
    ("total_spend_90d", 91, None, 0),
    ("spend_trend_90d", 5, 90, 1),
    ("spend_trend_90d", 91, 180, 1),
    ("spend_trend_90d", 181, None, 0),
    # A fact of the future comes to pass an instant after it happens.
    ("purchase_count", -3, 0, 1),
    ("purchase_count", 0, 0, 1),
    ("dominant_channel", -3, 0, 1),
    ("event_count", -3, None, 0),
]


@pytest.mark.parametrize(("name", "age", "change", "ticks"), PURCHASE)
async def test_changes_are_as_the_table_says(
    database: Database, name: str, age: float, change: float | None, ticks: int
) -> None:
    [customer] = await store(database, [([Transaction(START, "purchase", 100)], [])])
    found = await next_change(database, customer, (BY_NAME[name],), after(age))
    assert found == (None if change is None else after(change) + ticks * TICK)


async def test_derived_columns_stand_behind_the_features_and_have_their_say(database: Database) -> None:
    t = transactions.c
    bought = select(func.count()).where(t.customer_id == customers.c.customer_id, t.occurred_at < AS_OF)
    hour = timedelta(hours=1)
    counted = Derived("purchases", "number", cast(bought.scalar_subquery(), Integer))
    clock = Derived("clock", "number", literal(7), next_change=AS_OF + hour)
    [customer] = await store(database, [([Transaction(START, "purchase", 100)], [])])
    features = (BY_NAME["days_since_last_purchase"],)
    async with database.read() as session:
        found = await repository.read(
            session, features, scope=[customer], as_of=after(3.5), reporting=REPORTING, derived=(counted, clock)
        )
    assert found.rows == [(customer, 3, 1, 7)]
    assert await next_change(database, customer, features, after(3.5), (counted,)) == after(4)
    assert await next_change(database, customer, features, after(3.5), (counted, clock)) == after(3.5) + hour
    # Whatever they read, facts of the future concern them.
    assert await next_change(database, customer, (), after(-1), (counted,)) == START + TICK
    assert await next_change(database, customer, (), after(1), (counted,)) is None


async def test_two_derived_columns_of_one_name_are_the_same() -> None:
    one, other = (Derived("d", "number", bindparam(None, each, DateTime)) for each in (START, after(1)))
    assert (one, hash(one)) == (other, hash(other))
