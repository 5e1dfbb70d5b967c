"""What changed for customers adds up the same, however much of what they had before is left out as known."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.measurement.rollups.concerned import Stretch
from app.measurement.rollups.contributions import difference
from app.measurement.rollups.grouping import EPOCH, micros
from app.measurement.rollups.packed import PART, PURCHASE, RECORD, REFUND, UNRATED
from tests.support import rollup_oracle
from tests.support.rollup_oracle import Fact, Known, Stay

ONE, OTHER = (UUID(int=number) for number in (1, 2))
SEGMENTS = [UUID(int=number) for number in (11, 12)]
BEGINS = datetime(2026, 8, 20, tzinfo=UTC)
# Summer time begins there in the middle of these days, at midnight.
ZONES = [ZoneInfo(name) for name in ("UTC", "America/Santiago", "Asia/Kathmandu")]
HOURS = 24 * 40


def packed(facts: Sequence[Fact]) -> dict[str, bytes]:
    """As the server packs them, in their order."""
    found: dict[str, bytes] = {}
    for fact in facts:
        kind = (REFUND if fact.is_refund else PURCHASE) | (UNRATED if fact.minor is None else 0)
        high, low = divmod(fact.minor or 0, PART)
        record = np.array([(fact.micros, kind, low, high)], RECORD).tobytes()
        found[fact.customer] = found.get(fact.customer, b"") + record
    return found


def stretches(stays: Sequence[Stay]) -> list[Stretch]:
    def instant(since_2000: int | None) -> datetime | None:
        return None if since_2000 is None else EPOCH + timedelta(microseconds=since_2000)

    return [
        Stretch(each.customer, each.segmentation_id, each.segment_id, instant(each.begins), instant(each.ends))
        for each in stays
    ]


def some_facts(rng: random.Random, customer: str, hours: range) -> list[Fact]:
    instants = sorted(rng.choice(hours) for _ in range(rng.randrange(6)))
    amounts = (1, 1_999, None, 2**63 - 1)
    return [
        Fact(customer, micros(BEGINS + timedelta(hours=hour)), rng.choice(amounts), rng.random() < 0.3)
        for hour in instants
    ]


def some_stays(rng: random.Random, customer: str) -> list[Stay]:
    edge = micros(BEGINS + timedelta(hours=rng.randrange(HOURS)))
    return [
        Stay(customer, segmentation_id, segment_id, *edges)
        for segmentation_id in (ONE, OTHER)
        for segment_id, edges in zip(rng.sample(SEGMENTS, 2), ((None, edge), (edge, None)), strict=True)
        if rng.random() < 0.6
    ]


def changed(rng: random.Random, customer: str, facts: list[Fact]) -> list[Fact]:
    """The same; or more at the end, from the next hour or the same one; or others in between; or fewer; or all new."""
    last = (facts[-1].micros - micros(BEGINS)) // 3_600_000_000 if facts else 0
    more = some_facts(rng, customer, range(min(last, HOURS - 1), HOURS))
    others = some_facts(rng, customer, range(HOURS))
    return rng.choice(
        (facts, [*facts, *more], [*facts, *more], [*facts, *others], [*others, *facts], facts[:-1], facts[1:], others)
    )


@pytest.mark.parametrize("seed", range(40))
def test_whatever_changed_adds_what_the_facts_of_now_do_less_those_folded(seed: int) -> None:
    rng, zone = random.Random(seed), ZONES[seed % len(ZONES)]
    before, facts, stays_before, stays = list[Fact](), list[Fact](), list[Stay](), list[Stay]()
    for number in range(12):
        name = f"C-{number}"
        had, was = some_facts(rng, name, range(HOURS)), some_stays(rng, name)
        before += had
        facts += changed(rng, name, had)
        stays_before += was
        stays += rng.choice((was, was, was, some_stays(rng, name)))
    days, cohorts = difference(packed(facts), packed(before), stretches(stays), stretches(stays_before), zone)
    now, folded = Known(facts, stays), Known(before, stays_before)
    assert _by_key(days.rows(), "segmentation_id", "of_members", "segment_id", "day") == rollup_oracle.changed(
        rollup_oracle.days(now, zone), rollup_oracle.days(folded, zone)
    )
    assert _by_key(cohorts.rows(), "interval", "cohort", "period") == rollup_oracle.changed(
        rollup_oracle.cohorts(now, zone), rollup_oracle.cohorts(folded, zone)
    )


def _by_key(rows: dict[str, list[object]], *keys: str) -> dict[tuple[object, ...], dict[str, object]]:
    counters = [name for name in rows if name not in (*keys, "of_guests")]
    places = range(len(rows[keys[0]]))
    return {
        tuple(rows[name][place] for name in keys): {name: rows[name][place] for name in counters if rows[name][place]}
        for place in places
    }
