"""Journeys as SQL builds them, against journeys built one fact at a time by the definition."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.stats.attribution.journeys import Credits, Journeys
from app.stats.attribution.markov import markov
from app.stats.attribution.rules import by_rule, time_decay
from app.stats.attribution.shapley import shapley
from tests.conftest import Service
from tests.support import kpi_oracle
from tests.support.campaigns import post
from tests.support.kpi_oracle import Fact, Stay, World

pytestmark = pytest.mark.anyio

START, END = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
LOOK_BACK = timedelta(days=10)
KEPT = 4
CHANNELS = ("email", "search", "social", "display")

Touch = tuple[datetime, str, str]


def happened(seed: int) -> tuple[World, list[dict[str, Any]]]:
    """Thirty customers over seventy days; whole hours, so that touches and purchases fall together now and then."""
    chance = random.Random(seed)
    first = START - timedelta(days=25)

    def some_time() -> datetime:
        return first + timedelta(hours=chance.randrange(24 * 70))

    customers = [f"C-{n}" for n in range(30)]
    events = [
        {
            "event_id": f"E-{n}",
            "customer_id": chance.choice(customers),
            "type": "click",
            "channel": chance.choice(CHANNELS),
            "occurred_at": some_time().isoformat(),
        }
        for n in range(600)
    ]
    facts = [Fact(f"T-{n}", some_time(), chance.randrange(1, 9_999), chance.choice(customers[:20])) for n in range(60)]
    facts += [Fact(f"same-{n}", each.occurred_at, 100, each.customer_id) for n, each in enumerate(facts[:5])]
    facts += [Fact("guest", START, 500, None), Fact("nothing", START, 0, "C-1")]
    stays = []
    for each in customers[:25]:
        one, other = chance.sample(("loyal", "new"), 2)
        moved = some_time()
        stays += [Stay(each, one, first + timedelta(days=20), moved)] if moved > first + timedelta(days=20) else []
        stays.append(Stay(each, other, max(moved, first + timedelta(days=20))))
    return World(facts=facts, stays=stays, segments=("loyal", "new")), events


def segment_at(world: World, customer_id: str, at: datetime) -> str | None:
    own = sorted((stay for stay in world.stays if stay.customer_id == customer_id), key=lambda stay: stay.valid_from)
    if own and at < own[0].valid_from:
        return own[0].segment
    return next((s.segment for s in own if s.valid_from <= at and (s.valid_to is None or at < s.valid_to)), None)


@dataclass
class Walked:
    """One journey: its touches, its end, its segment, and the amount; 0 where it ended without an outcome."""

    path: list[Touch]
    until: datetime
    segment: str | None
    amount: int


def with_outcome(world: World, met: list[Touch], facts: list[Fact]) -> Iterator[Walked]:
    """The journeys of one customer's purchases in the window, also those without a touch."""
    before = datetime.min.replace(tzinfo=UTC)
    for fact in facts:
        at = fact.occurred_at
        if START <= at < END:
            path = [each for each in met if max(at - LOOK_BACK, before) <= each[0] <= at and each[0] > before]
            yield Walked(path[-KEPT:], at, segment_at(world, str(fact.customer_id), at), fact.amount_minor)
        before = at


def without_outcome(world: World, customer_id: str, met: list[Touch]) -> Iterator[Walked]:
    """The one journey of a customer who bought nothing in the window."""
    inside = [each for each in met if START <= each[0] < END]
    if inside:
        last = inside[-1][0]
        path = [each for each in inside if each[0] >= last - LOOK_BACK]
        yield Walked(path[-KEPT:], last, segment_at(world, customer_id, last), 0)


def walked(world: World, events: list[dict[str, Any]]) -> list[Walked]:
    """All journeys of all customers."""
    touches: dict[str, list[Touch]] = {f"C-{n}": [] for n in range(30)}
    for row in events:
        touch = datetime.fromisoformat(row["occurred_at"]), row["event_id"], row["channel"]
        touches[row["customer_id"]].append(touch)
    found: list[Walked] = []
    for customer_id, met in touches.items():
        own = [fact for fact in world.facts if fact.customer_id == customer_id and fact.amount_minor]
        own.sort(key=lambda fact: (fact.occurred_at, fact.transaction_id))
        journeys = list(with_outcome(world, sorted(met), own))
        found += journeys or without_outcome(world, customer_id, sorted(met))
    return found


def by_segment(found: list[Walked]) -> dict[str | None, Journeys]:
    """Journeys with touches, each as a path of its own."""
    groups: dict[str | None, list[Walked]] = defaultdict(list)
    for each in found:
        if each.path:
            groups[each.segment].append(each)
    return {
        segment: Journeys.of(
            [[channel for _, _, channel in each.path] for each in own],
            conversions=[each.amount > 0 for each in own],
            values=[each.amount for each in own],
            nulls=[each.amount == 0 for each in own],
            ages=[[(each.until - at) // timedelta(days=1) for at, _, _ in each.path] for each in own],
        )
        for segment, own in groups.items()
    }


async def asked(service: Service, **params: Any) -> dict[str, Any]:
    window = {"from": "2026-09-01", "to": "2026-10-01", "look_back_days": LOOK_BACK.days}
    answer = await service.client.get("/v1/attribution", params={**window, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("seed", range(2))
async def test_credit_of_random_shops_is_that_of_journeys_built_one_by_one(
    service: Service, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.measurement.attribution.journeys.TOUCHES_KEPT", KEPT)
    world, events = happened(seed)
    kpi_oracle.store(world, service.database_url)
    await post(service, "events", events)
    every = walked(world, events)
    journeys = by_segment(every)
    unattributed = 1 + sum(not each.path for each in every)  # and the guest
    models: dict[str, Any] = {
        "first": lambda each: by_rule(each, "first"),
        "linear": lambda each: by_rule(each, "linear"),
        "time_decay": lambda each: time_decay(each, half_life_days=7.0),
        "markov": markov,
        "shapley": shapley,
    }
    for model, give in models.items():
        found = await asked(service, model=model, group_by="segment")
        assert found["unattributed"]["conversions"] == unattributed
        expected: dict[tuple[str | None, str], tuple[float, float]] = {}
        for segment, own in journeys.items():
            credits: Credits = give(own)
            for name, conversions, value in zip(credits.channels, credits.conversions, credits.values, strict=True):
                expected[segment, name] = conversions, value
        shown = {(row["group"]["segment_key"], row["channel"]): row for row in found["data"]}
        assert len(shown) == len(found["data"])
        for place, (conversions, value) in expected.items():
            row = shown.get(place)
            # Rounded to 1 / 10,000 and to cents, by the largest remainder: each is off by less than one.
            assert (row["conversions"] if row else 0) == pytest.approx(conversions, abs=1.0001e-4)
            assert (float(row["revenue"]["amount"]) if row else 0) == pytest.approx(value / 100, abs=0.01001)
        if model == "markov":
            assert found["totals"]["journeys_without_outcome"] == sum(each.nulls.sum() for each in journeys.values())


async def test_memberships_that_overlap_by_mistake_count_no_journey_twice(service: Service) -> None:
    stays = [Stay("C-1", "loyal", START), Stay("C-1", "new", START + timedelta(days=1))]
    # The second would be refused while the first is open.
    stays[0] = Stay("C-1", "loyal", START, END)
    kpi_oracle.store(
        World([Fact("T-1", START + timedelta(days=3), 100)], stays, segments=("loyal", "new")), service.database_url
    )
    at = (START + timedelta(days=2)).isoformat()
    await post(
        service,
        "events",
        [{"event_id": "E", "customer_id": "C-1", "type": "click", "channel": "email", "occurred_at": at}],
    )
    found = await asked(service, model="last", group_by="segment")
    assert [(row["group"]["segment_key"], row["conversions"]) for row in found["data"]] == [("new", 1)]
    assert found["data"][0]["reasons"]["cost"] == "costs_have_no_segment"
    text = (await service.client.get("/v1/attribution?model=last&group_by=segment&format=csv&from=2026-09-01")).text
    assert text.splitlines()[0].startswith("channel,segment,segment_key,segment_name,conversions")
