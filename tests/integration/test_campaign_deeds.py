"""What the arms of a campaign did, added up in SQL: equal to a plain loop over every deed of every customer."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from app.measurement.campaigns import outcomes
from app.stats.comparison.sums import Sums
from tests.conftest import Service
from tests.support.campaigns import expose, exposure, plan, post
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

STARTS, ENDS = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
METRICS = ("revenue_per_customer", "margin_per_customer", "average_order_value", "conversion_rate", "visit_rate")
EUR = SimpleNamespace(currency="EUR", zone=UTC)
# Some of both arms are merged into one of their own arm, some into one of the other; two are nobody's arm before.
MERGES = {"C-01": "C-03", "C-05": "C-07", "C-02": "C-09", "C-60": "C-11", "C-13": "C-61"}


@dataclass
class Deed:
    customer_id: str
    at: datetime
    minor: int = 0
    kind: str = "purchase"


@dataclass
class World:
    arms: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)


def world(random: Random) -> World:
    """At whole hours, so that many deeds fall on the very edges of windows."""
    found = World()
    for i in range(60):
        at = STARTS + timedelta(hours=12 * random.randrange(61))
        found.arms[f"C-{i:02}"] = ("treated" if i % 2 else "holdout", at)
    days = [STARTS + timedelta(hours=12 * step) for step in range(-50, 62)]
    for i in range(70):
        for _ in range(1 + random.randrange(6)):
            kind = random.choice(["purchase", "purchase", "refund", "conversion", "visit", "email_sent"])
            found.deeds.append(Deed(f"C-{i:02}", random.choice(days), random.choice([0, 1, 995, 12_345]), kind))
    return found


async def stored(service: Service, told: World) -> None:
    bought = [
        transaction(
            f"T-{i}", customer_id=deed.customer_id, occurred_at=deed.at.isoformat(), kind=deed.kind,
            amount=f"{deed.minor / 100:.2f}", margin=f"{deed.minor // 5 / 100:.2f}",
        )
        for i, deed in enumerate(told.deeds) if deed.kind in ("purchase", "refund")
    ]  # fmt: skip
    await post(service, "transactions", bought)
    seen = [
        {"event_id": f"E-{i}", "customer_id": deed.customer_id, "type": deed.kind, "occurred_at": deed.at.isoformat()}
        for i, deed in enumerate(told.deeds)
        if deed.kind not in ("purchase", "refund")
    ]
    await post(service, "events", seen)
    await expose(service, [exposure(name, arm, at.isoformat()) for name, (arm, at) in told.arms.items()])
    for merged, into in MERGES.items():
        answer = await service.client.post("/v1/customers/merge", json={"from": merged, "into": into})
        assert answer.status_code == 200, answer.text


def expected(told: World, arm: str, *, window: int | None, as_of: datetime) -> dict[str, Any]:
    """The figures of one arm by going through everything."""
    people: dict[str, list[str]] = {}
    for name in told.arms:
        people.setdefault(MERGES.get(name, name), []).append(name)
    rows = []
    for person, names in people.items():
        since = min(told.arms[name][1] for name in names)
        end = ENDS if window is None else min(since + timedelta(days=window), ENDS)
        is_mature = since <= as_of if window is None else end <= as_of
        if {told.arms[name][0] for name in names} == {arm} and is_mature:
            mine = [deed for deed in told.deeds if MERGES.get(deed.customer_id, deed.customer_id) == person]
            rows.append(of_person(mine, since, min(end, as_of)))
    seen = {name: sum(row[name] for row in rows) for name in ("buyer", "converted", "visited")}
    pairs = {"revenue_per_customer": ("y", "x"), "margin_per_customer": ("margin", "x")}
    pairs["average_order_value"] = ("gross", "purchases")
    sums = {name: Sums.of([row[y] for row in rows], [row[x] for row in rows]) for name, (y, x) in pairs.items()}
    return {"n": len(rows), "revenue": sum(row["y"] for row in rows), "sums": sums, **seen}


def of_person(mine: list[Deed], since: datetime, until: datetime) -> dict[str, int]:
    signs = {"purchase": 1, "refund": -1}
    after = [deed for deed in mine if since <= deed.at < until]
    before = [deed for deed in mine if since - (until - since) <= deed.at < since]
    bought = [deed for deed in after if deed.kind == "purchase" and deed.minor > 0]
    converted = bool(bought) or any(deed.kind == "conversion" for deed in after)
    return {
        "y": sum(signs.get(deed.kind, 0) * deed.minor for deed in after),
        "x": sum(signs.get(deed.kind, 0) * deed.minor for deed in before),
        "margin": sum(signs.get(deed.kind, 0) * (deed.minor // 5) for deed in after),
        "gross": sum(deed.minor for deed in bought),
        "purchases": len(bought),
        "buyer": bool(bought),
        "converted": converted,
        "visited": any(deed.kind == "visit" for deed in after),
    }


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("as_of", [datetime(2026, 10, 18, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)])
async def test_arms_add_up_to_what_a_loop_over_every_deed_finds(
    service: Service, window: int | None, as_of: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world(Random(7))
    await plan(service, outcome_window_days=window)
    await stored(service, told)
    # The settings for many customers change plans, and nothing else.
    for many in (outcomes.MANY, 1):
        monkeypatch.setattr(outcomes, "MANY", many)
        async with service.app.state.service.database.read() as session:
            found = await outcomes.arm_statistics(session, "autumn", metric=METRICS, reporting=EUR, as_of=as_of)
        for arm in found.arms:
            want = expected(told, arm.arm, window=window, as_of=as_of)
            assert want["n"] > 3
            shown = (arm.n, arm.buyers, arm.conversions, arm.revenue_minor)
            assert shown == (want["n"], want["buyer"], want["converted"], want["revenue"])
            assert {name: arm.sums[name] for name in want["sums"]} == want["sums"]
            assert arm.sums["conversion_rate"] == Sums.of_share(want["converted"], want["n"])
            assert arm.sums["visit_rate"] == Sums.of_share(want["visited"], want["n"])
