"""Counts, sequences, segments and decisions by hand, asked of a real PostgreSQL and of plain Python."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import insert, select

from app.db.engine import Database
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Range, Reporting, feature_select, parameters
from app.modelling.features.definitions import features_named
from app.modelling.features.derived import Derived
from app.modelling.rules.evaluation import evaluate
from app.modelling.rules.history import by_hand
from app.modelling.rules.requirements import derived
from app.tables.customers import customers
from app.tables.events import events
from app.tables.segments import memberships, segment_exceptions, segmentations, segments
from app.tables.transactions import transaction_items, transactions
from tests.support.history_oracle import TICK, Fact, Stay, count, is_member, next_change, next_move
from tests.support.rules import ruleset

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
REPORTING = Reporting("EUR", ZoneInfo("UTC"))
SEGMENTATION = UUID("11111111-2222-4333-8444-555555555555")
OTHER = UUID("99999999-2222-4333-8444-555555555555")
# What would end a statement, open another, or be taken for a placeholder, were it ever a part of one.
HOSTILE = ("' or '1'='1", "'; drop table customers; --", "%(as_of)s", "$1", ":as_of", 'a"b\\', "%s%%")

Found = dict[str, tuple[Any, ...]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, pool_size=2, statement_timeout_seconds=30, application="test")
    yield found
    await found.close()


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


async def store(database: Database, histories: Mapping[str, Sequence[Fact]]) -> None:
    """Store histories by customer."""
    bought: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    for customer_id, facts in histories.items():
        for place, fact in enumerate(facts):
            same = {
                "source": "test",
                "customer_id": customer_id,
                "occurred_at": fact.at,
                "channel": fact.channel,
                "campaign_id": fact.campaign_id,
            }
            name = f"{customer_id}-{place}"
            if fact.type in ("purchase", "refund"):
                bought.append(
                    {**same, "transaction_id": name, "kind": fact.type, "amount_minor": fact.cents, "currency": "EUR"}
                )
                # Another product in the same transaction, and the same twice, must not count twice.
                lines += [
                    {"source": "test", "transaction_id": name, "line": line, "product_id": product, "quantity": 1,
                     "unit_price": 1}
                    for line, product in enumerate([fact.product_id, fact.product_id, "else"])
                    if product is not None
                ]  # fmt: skip
            else:
                properties = {} if fact.product_id is None else {"product_id": fact.product_id}
                done.append({**same, "event_id": name, "type": fact.type, "properties": properties})
    async with database.write() as session:
        await session.execute(insert(customers), [{"customer_id": each} for each in histories])
        for table, rows in ((transactions, bought), (transaction_items, lines), (events, done)):
            if rows:
                await session.execute(insert(table), rows)


async def ask(database: Database, columns: Sequence[Derived], as_of: datetime) -> Found:
    """By customer, each column and its next change in turn."""
    asked = [each for column in columns for each in (column.expression, column.next_change) if each is not None]
    named = [each.label(f"c{place}") for place, each in enumerate(asked)]
    async with database.read() as session:
        rows = await session.execute(select(customers.c.customer_id, *named), {"as_of": as_of})
        return {row[0]: tuple(row[1:]) for row in rows}


CART = {"type": "cart"}
BOUGHT = {"type": "purchase"}
CONDITIONS: list[dict[str, Any]] = [
    {"did": CART},
    {"did": {**CART, "within_days": 2}},
    {"did": {**BOUGHT, "within_days": 3}},
    {"did": {"type": "refund", "within_days": 1}},
    {"did": {**BOUGHT, "channel": "web"}},
    {"did": {**CART, "campaign_id": "spring", "within_days": 4}},
    {"did": {**BOUGHT, "product_id": "P"}},
    {"did": {**CART, "product_id": "P", "within_days": 2}},
    {"did": CART, "then": BOUGHT, "within_days": 1},
    {"did": {**CART, "within_days": 2}, "then": BOUGHT, "within_days": 1},
    {"did": {**CART, "within_days": 1}, "then": BOUGHT, "within_days": 3},
    {"did": {**CART, "within_days": 2}, "then": BOUGHT, "within_days": 2},
    {"did": CART, "then_not": BOUGHT, "within_days": 1},
    {"did": {**CART, "within_days": 3}, "then_not": BOUGHT, "within_days": 1},
    {"did": {**BOUGHT, "within_days": 3}, "then_not": BOUGHT, "within_days": 2},
    {"did": BOUGHT, "then": BOUGHT, "within_days": 1},
    {"did": {**BOUGHT, "product_id": "P"}, "then_not": {"type": "refund", "product_id": "P"}, "within_days": 1},
    {"did": {**CART, "channel": "web"}, "then": {**BOUGHT, "channel": "web"}, "within_days": 2},
]


def drawn(draw: random.Random) -> list[Fact]:
    """Facts every twelve hours, some at the same instant, so that windows end exactly where others begin."""
    return [
        Fact(
            hours(12 * draw.randrange(20)),
            draw.choice(["cart", "cart", "purchase", "purchase", "refund"]),
            draw.choice([0, 100]),
            channel=draw.choice([None, "web", "shop"]),
            campaign_id=draw.choice([None, "spring"]),
            product_id=draw.choice([None, "P", "Q"]),
        )
        for _ in range(draw.randrange(9))
    ]


async def test_generated_histories_are_counted_as_plain_python_counts_them(database: Database) -> None:
    draw = random.Random(20_260_101)
    histories = {f"C-{number:03}": drawn(draw) for number in range(70)}
    await store(database, histories)
    columns = derived(ruleset_of(CONDITIONS))
    assert len(columns) == len(CONDITIONS)
    changes = 0
    for as_of in (hours(at) + tick for at in (36, 96, 132, 240) for tick in (-TICK, 0 * TICK, TICK)):
        found = await ask(database, columns, as_of)
        for customer_id, facts in histories.items():
            for place, condition in enumerate(CONDITIONS):
                value, change = found[customer_id][2 * place : 2 * place + 2]
                case = f"{condition} as of {as_of}: {facts}"
                assert value == count(facts, condition, as_of), case
                assert change == next_change(facts, condition, as_of), case
                changes += change is not None
    # Most of what could change by time alone was asked at a time when it still could.
    assert changes > 3_000


def ruleset_of(conditions: Sequence[dict[str, Any]]) -> Any:
    return ruleset({"any": list(conditions)})


# One line: the condition, facts as (hours, type), the instants at which the count is another, in order, with the count.
STEPS: list[tuple[str, dict[str, Any], list[tuple[float, str]], list[tuple[datetime, int]]]] = [
    (
        "a fact counts from just after it until its window is over, that instant included",
        {"did": {**CART, "within_days": 1}},
        [(12, "cart")],
        [(hours(12) + TICK, 1), (hours(36) + TICK, 0)],
    ),
    (
        "one that leaves as another enters changes nothing",
        {"did": {**CART, "within_days": 1}},
        [(12, "cart"), (36, "cart")],
        [(hours(12) + TICK, 1), (hours(60) + TICK, 0)],
    ),
    (
        "what follows at the last instant of the time for it has followed",
        {"did": CART, "then": BOUGHT, "within_days": 1},
        [(12, "cart"), (36, "purchase")],
        [(hours(36) + TICK, 1)],
    ),
    (
        "what follows at the last instant keeps it from not having followed",
        {"did": CART, "then_not": BOUGHT, "within_days": 1},
        [(12, "cart"), (36, "purchase")],
        [],
    ),
    (
        "that nothing followed is known when the time for it has passed",
        {"did": CART, "then_not": BOUGHT, "within_days": 1},
        [(12, "cart"), (36.5, "purchase")],
        [(hours(36) + TICK, 1)],
    ),
    (
        "what happened at the same instant did not follow",
        {"did": CART, "then_not": BOUGHT, "within_days": 1},
        [(12, "cart"), (12, "purchase")],
        [(hours(36) + TICK, 1)],
    ),
    (
        "the window of the first ends it, answered or not",
        {"did": {**CART, "within_days": 2}, "then": BOUGHT, "within_days": 1},
        [(12, "cart"), (24, "purchase")],
        [(hours(24) + TICK, 1), (hours(60) + TICK, 0)],
    ),
    (
        "an answer after the window of the first comes too late to count",
        {"did": {**CART, "within_days": 1}, "then": BOUGHT, "within_days": 2},
        [(12, "cart"), (36, "purchase")],
        [],
    ),
    (
        "a purchase follows another but never itself",
        {"did": BOUGHT, "then": BOUGHT, "within_days": 1},
        [(12, "purchase"), (24, "purchase")],
        [(hours(24) + TICK, 1)],
    ),
]


@pytest.mark.parametrize(
    ("condition", "facts", "expected"), [each[1:] for each in STEPS], ids=[each[0] for each in STEPS]
)
async def test_following_the_next_change_meets_every_change(
    database: Database, condition: dict[str, Any], facts: list[tuple[float, str]], expected: list[tuple[datetime, int]]
) -> None:
    await store(database, {"C": [Fact(hours(at), kind) for at, kind in facts]})
    columns = derived(ruleset(condition))
    met, at = [], START
    while (change := (await ask(database, columns, at))["C"][1]) is not None:
        assert (await ask(database, columns, change - TICK))["C"][0] == (await ask(database, columns, at))["C"][0]
        at = change
        met.append((at, (await ask(database, columns, at))["C"][0]))
    assert met == expected


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_of_a_rule_is_a_value_whatever_it_says(database: Database, text: str) -> None:
    said = {"channel": text, "campaign_id": text, "product_id": text}
    await store(
        database,
        {
            "C-1": [Fact(hours(1), "cart", **said), Fact(hours(2), "purchase", **said)],
            "C-2": [Fact(hours(1), "cart"), Fact(hours(2), "purchase")],
        },
    )
    rules = ruleset(
        {"did": {**CART, **said}},
        {"did": {**BOUGHT, **said}},
        {"did": {**CART, **said}, "then": {**BOUGHT, **said}, "within_days": 1},
        {"segment": {"segmentation_id": str(OTHER), "key": text}},
    )
    found = await ask(database, derived(rules), hours(48))
    assert [found["C-1"][place] for place in (0, 2, 4, 6)] == [1, 1, 1, 0]
    assert [found["C-2"][place] for place in (0, 2, 4, 6)] == [0, 0, 0, 0]


async def test_customers_without_any_history_have_counts_of_zero_that_never_change(database: Database) -> None:
    await store(database, {"C": []})
    assert (await ask(database, derived(ruleset_of(CONDITIONS)), hours(0)))["C"] == (0, None) * len(CONDITIONS)


async def segmentation(database: Database, segmentation_id: UUID, *keys: str) -> dict[str, UUID]:
    """A segmentation with these segments; their ids."""
    async with database.write() as session:
        named = {"segmentation_id": segmentation_id, "name": str(segmentation_id), "method": "rules"}
        await session.execute(insert(segmentations), [named])
        rows = [
            {"segmentation_id": segmentation_id, "key": key, "name": key, "position": place}
            for place, key in enumerate(keys)
        ]
        added = await session.execute(insert(segments).returning(segments.c.key, segments.c.segment_id), rows)
        return {row.key: row.segment_id for row in added}


async def test_membership_of_another_segmentation_is_read_as_of_any_instant(database: Database) -> None:
    draw = random.Random(7)
    ids = await segmentation(database, SEGMENTATION, "vip", "rest")
    other = await segmentation(database, OTHER, "vip")
    await store(database, {f"C-{number:02}": [] for number in range(40)})
    stays: dict[str, list[Stay]] = {}
    rows: list[dict[str, Any]] = []
    for number in range(40):
        customer_id, ends = f"C-{number:02}", sorted(draw.sample(range(12), draw.randrange(1, 7)))
        stays[customer_id] = []
        # One range follows another without a gap, as memberships do when version or reason change.
        for place, begins in enumerate(ends):
            until = hours(ends[place + 1]) if place + 1 < len(ends) else draw.choice([None, hours(20)])
            segment = draw.choice([ids["vip"], ids["vip"], ids["rest"]])
            if segment == ids["vip"]:
                stays[customer_id].append(Stay(hours(begins), until))
            same = {"customer_id": customer_id, "version": 1, "since": hours(begins), "evaluated_at": hours(begins)}
            rows += [
                {**same, "segmentation_id": segmentation_id, "segment_id": segment_id, "valid_from": hours(begins),
                 "valid_to": until}
                for segmentation_id, segment_id in ((SEGMENTATION, segment), (OTHER, other["vip"]))
            ]  # fmt: skip
    async with database.write() as session:
        await session.execute(insert(memberships), rows)
    columns = derived(ruleset({"segment": {"segmentation_id": str(SEGMENTATION), "key": "vip"}}))
    for as_of in [hours(at) + tick for at in range(-1, 22, 2) for tick in (-TICK, 0 * TICK, TICK)]:
        for customer_id, found in (await ask(database, columns, as_of)).items():
            assert found == (is_member(stays[customer_id], as_of), next_move(stays[customer_id], as_of))


async def test_decisions_by_hand_reach_the_evaluation_as_one_column(database: Database) -> None:
    await segmentation(database, SEGMENTATION, "a", "b")
    await segmentation(database, OTHER, "a")
    await store(database, {each: [Fact(hours(1), "cart")] for each in ("C-1", "C-2", "C-3", "C-4")})
    decided = [
        (SEGMENTATION, "b", "C-1", "include"),
        (SEGMENTATION, "a", "C-2", "exclude"),
        (SEGMENTATION, "b", "C-2", "exclude"),
        (SEGMENTATION, "a", "C-3", "exclude"),
        (OTHER, "a", "C-4", "exclude"),
    ]
    names = ("segmentation_id", "key", "customer_id", "effect")
    async with database.write() as session:
        await session.execute(insert(segment_exceptions), [dict(zip(names, each, strict=True)) for each in decided])
    rules = ruleset({"did": CART}, {"did": CART})
    hand, [carts] = by_hand(SEGMENTATION), derived(rules)
    found = await ask(database, [carts, hand], hours(9))
    assert [found[each][2] for each in found] == ["include:b", "exclude:a,exclude:b", "exclude:a", None]
    said = np.array([found[each][2] for each in found], object)
    values = {carts.name: np.array([found[each][0] for each in found], np.float64)}
    assert evaluate(rules, values, by_hand=said).tolist() == [3, -1, 1, 0]


async def test_the_select_of_features_gives_the_columns_of_rules_beside_them(database: Database) -> None:
    await segmentation(database, SEGMENTATION, "a")
    await store(database, {"C-1": [Fact(hours(1), "cart"), Fact(hours(2), "purchase")], "C-2": []})
    features = features_named(["purchase_count"])
    sequence = {"did": {**CART, "within_days": 2}, "then": BOUGHT, "within_days": 1}
    member = {"segment": {"segmentation_id": str(SEGMENTATION), "key": "a"}}
    rules = ruleset({"all": [{"feature": "purchase_count", "op": ">=", "value": 1}, sequence, {"not": member}]})
    columns = (*derived(rules), by_hand(SEGMENTATION))
    for by_range in (False, True):
        statement = feature_select(
            features,
            reporting=REPORTING,
            by_range=by_range,
            converting=False,
            derived=columns,
            with_next_change=True,
        )
        scope = Range("", "D") if by_range else ["C-1", "C-2"]
        async with database.read() as session:
            rows = [tuple(row) for row in await session.execute(statement, parameters(scope, hours(24)))]
        assert [(row[0], *row[1:5], row[-1]) for row in rows] == [
            ("C-1", 1, 1, 0, None, hours(49) + TICK),
            ("C-2", 0, 0, 0, None, None),
        ]
        read = FeatureColumns.of([*features, *columns], [row[:5] for row in rows])
        assert evaluate(rules, read.values, by_hand=read.values[columns[-1].name]).tolist() == [0, -1]
