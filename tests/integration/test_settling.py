"""The quick way to current memberships against the ordinary one: the same ranges, whatever happened."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from app.modelling.segments.settling import Settler
from app.tables.segments import evaluations_due, membership_changes, memberships
from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

CUSTOMERS = [f"C-{number}" for number in range(12)]
METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("rfm", {}),
    ("gaussian_mixture", {"k": 2, "params": {"bootstraps": 0}}),
    (
        "rules",
        {
            "rules": [
                {
                    "key": "busy",
                    "name": "Busy",
                    "when": {"did": {"type": "purchase", "within_days": 20, "at_least": 2}},
                },
                {"key": "some", "name": "Some", "when": {"feature": "purchase_count", "op": ">=", "value": 1}},
            ]
        },
    ),
)


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


async def stand(modelling: Modelling) -> list[tuple[Any, ...]]:
    """Every range, without what only says when it was looked at."""
    m = memberships.c
    query = select(
        m.customer_id, m.segmentation_id, m.segment_id, m.version, m.valid_from, m.valid_to, m.since, m.reason
    )
    async with modelling.state.database.read() as session:
        rows = await session.execute(query.order_by(m.customer_id, m.segmentation_id, m.valid_from))
        return [(*row[:-1], str(row[-1])) for row in rows]


async def dues(modelling: Modelling) -> dict[str, Any]:
    async with modelling.state.database.read() as session:
        return dict((await session.execute(select(evaluations_due.c.customer_id, evaluations_due.c.due_at))).all())


def day_of_trade(rng: random.Random, day: int, now: Any) -> list[dict[str, Any]]:
    return [
        transaction(
            f"T-{day}-{number}",
            customer_id=customer,
            occurred_at=(now - timedelta(minutes=number)).isoformat(),
            amount=f"{rng.randrange(100, 9_000) / 100:.2f}",
        )
        for number, customer in enumerate(rng.sample(CUSTOMERS, 3))
    ]


@pytest.mark.parametrize("seed", [1, 2])
async def test_settling_writes_what_the_ordinary_way_writes(modelling: Modelling, seed: int) -> None:
    rng, clock = random.Random(seed), modelling.service.clock
    history = [
        transaction(f"H-{n}", customer_id=rng.choice(CUSTOMERS), amount=f"{rng.randrange(1, 400)}.00", occurred_at=at)
        for n, at in enumerate(f"2026-{rng.randrange(1, 11):02}-{rng.randrange(1, 28):02}T08:00:00Z" for _ in range(60))
    ]
    for start in range(0, len(history), 150):
        await modelling.service.push(*history[start : start + 150])
    for name, (method, asked) in enumerate(METHODS):
        await modelling.learn_and_activate(f"S-{name}", method, **asked)
    await modelling.drain()
    for day in range(6):
        clock.advance(timedelta(days=rng.randrange(1, 9)))
        rows = day_of_trade(rng, day, clock.now())
        touched = sorted({row["customer_id"] for row in rows})
        await modelling.service.push(*rows)
        assert await modelling.is_clean(), "the push itself brought everybody up to date"
        settled, due = await stand(modelling), await dues(modelling)
        await modelling.touch(touched)
        async with modelling.state.database.write() as session:
            await session.execute(
                text("delete from evaluations_due where customer_id <> all(:some)"), {"some": touched}
            )
        await modelling.drain()
        assert await stand(modelling) == settled, "the ordinary way finds nothing to change"
        assert {each: at for each, at in (await dues(modelling)).items() if each in touched} == {
            each: at for each, at in due.items() if each in touched
        }


async def test_settling_tells_of_who_left_and_entered(modelling: Modelling) -> None:
    await modelling.service.push(
        transaction("T-1", amount="10.00"), transaction("T-2", customer_id="C-2", amount="99.00")
    )
    rules = [{"key": "big", "name": "Big", "when": {"feature": "total_spend", "op": ">=", "value": 50}}]
    await modelling.learn_and_activate("Big", "rules", rules=rules)
    await modelling.client.post(
        "/v1/webhooks", json={"url": "https://example.com/hook", "events": ["segment.entered", "segment.left"]}
    )
    modelling.service.clock.advance(timedelta(hours=1))
    await modelling.service.push(transaction("T-3", amount="45.00"), transaction("T-4", customer_id="C-2"))
    async with modelling.state.database.read() as session:
        told = (await session.execute(select(membership_changes))).mappings().all()
    assert [(each["customer_id"], each["left_segment_id"]) for each in told] == [("C-1", None)]
    assert told[0]["entered_segment_id"] is not None


async def test_while_others_write_memberships_the_customers_are_left_for_the_worker(modelling: Modelling) -> None:
    await modelling.service.push(transaction())
    await modelling.learn_and_activate()
    settler = Settler(modelling.reporting, modelling.assigners)
    async with modelling.state.database.write() as first:
        await first.execute(text("select pg_advisory_xact_lock(7355608020)"))
        async with modelling.state.database.write() as second:
            assert not await settler.settle(second, ["C-1"], now=modelling.state.clock.now())
