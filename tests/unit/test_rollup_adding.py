"""What facts add up to: columns of them against one loop over each customer, group and day."""

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.clock import start_of_day
from app.measurement.rollups.adding import Cohorts, Days, added
from app.measurement.rollups.concerned import Stretch
from app.measurement.rollups.contributions import difference
from app.measurement.rollups.grouping import EPOCH, Spell, days_of, grouped, micros
from app.measurement.rollups.packed import PART, PURCHASE, RECORD, REFUND, UNRATED, unpacked
from tests.support import rollup_oracle
from tests.support.rollup_oracle import Fact, Known, Stay

UTC_ZONE = ZoneInfo("UTC")
ONE, OTHER = (UUID(int=number) for number in (1, 2))
SEGMENTS = [UUID(int=number) for number in (11, 12, 13)]
BOUNDS = np.iinfo(np.int64)
# Where midnight is skipped or repeated, where a whole day is, and where days begin at a half or a quarter of an hour.
SCENES = (
    ("America/Santiago", datetime(2026, 8, 28, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 10, 20, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 1, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 15, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2025, 12, 20, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2024, 2, 20, tzinfo=UTC)),
    ("UTC", datetime(2026, 3, 20, tzinfo=UTC)),
)
# 64 bits hold the first; its square, the sum of two of them and the rest need more.
AMOUNTS = (1, 5, 1_999, 3_037_000_500, 10**17, 2**63 - 1, 10**18, 9 * 10**34)


def at(day: int, hour: int = 12, month: int = 10) -> int:
    return micros(datetime(2026, month, day, hour, tzinfo=UTC))


def packed(facts: Sequence[Fact]) -> list[tuple[str, bytes]]:
    """As the server packs them."""
    by_customer: dict[str, bytes] = {}
    for fact in facts:
        kind = (REFUND if fact.is_refund else PURCHASE) + (UNRATED if fact.minor is None else 0)
        high, low = divmod(fact.minor or 0, PART)
        record = np.array([(fact.micros, kind, low, high)], RECORD).tobytes()
        by_customer[fact.customer] = by_customer.get(fact.customer, b"") + record
    return list(by_customer.items())


def sums(now: Known, folded: Known, zone: ZoneInfo) -> tuple[Days, Cohorts]:
    names = sorted({fact.customer for fact in (*now.facts, *folded.facts)})
    numbers = {name: number for number, name in enumerate(names)}

    def spells(known: Known) -> list[Spell]:
        return [
            Spell(
                numbers[stay.customer],
                stay.segmentation_id,
                stay.segment_id,
                int(BOUNDS.min) if stay.begins is None else stay.begins,
                int(BOUNDS.max) if stay.ends is None else stay.ends,
            )
            for stay in known.stays
            if stay.customer in numbers
        ]

    facts_now, facts_folded = (unpacked(numbers, packed(known.facts)) for known in (now, folded))
    return added(grouped(facts_now, facts_folded, spells(now), spells(folded), zone))


def quick_sums(now: Known, folded: Known, zone: ZoneInfo) -> tuple[Days, Cohorts]:
    """The same without looking at whom nothing changed of, or who has nothing new but later facts."""

    def instant(at_: int | None) -> datetime | None:
        return None if at_ is None else EPOCH + timedelta(microseconds=at_)

    def stretches(known: Known) -> list[Stretch]:
        return [
            Stretch(stay.customer, stay.segmentation_id, stay.segment_id, instant(stay.begins), instant(stay.ends))
            for stay in known.stays
        ]

    return difference(dict(packed(now.facts)), dict(packed(folded.facts)), stretches(now), stretches(folded), zone)


def by_key(rows: Mapping[str, Sequence[Any]], *keys: str) -> dict[Any, dict[str, int]]:
    """Rows by their key, without what adds nothing; no key twice."""
    found: dict[Any, dict[str, int]] = {}
    counters = [name for name in rows if name not in (*keys, "of_guests")]
    for number in range(len(rows[keys[0]])):
        key = tuple(rows[name][number] for name in keys)
        assert key not in found
        found[key] = {name: rows[name][number] for name in counters if rows[name][number]}
    return found


def assert_as_the_oracle_says(now: Known, folded: Known, zone: ZoneInfo) -> None:
    of_days = rollup_oracle.changed(rollup_oracle.days(now, zone), rollup_oracle.days(folded, zone))
    of_cohorts = rollup_oracle.changed(rollup_oracle.cohorts(now, zone), rollup_oracle.cohorts(folded, zone))
    for way in (sums, quick_sums):
        days, cohorts = way(now, folded, zone)
        # Without rows that change nothing, which would be written all the same.
        assert by_key(days.rows(), "segmentation_id", "of_members", "segment_id", "day") == of_days
        assert by_key(cohorts.rows(), "interval", "cohort", "period") == of_cohorts


def some_instants(rng: random.Random, begins: datetime, zone: ZoneInfo) -> list[int]:
    """As often as not the edge of a day, or an instant beside one; few, so that many facts share theirs."""
    days = [(begins + timedelta(days=offset)).date() for offset in range(70)]
    edges = [micros(start_of_day(day, zone)) for day in days]
    anywhere = [micros(begins) + rng.randrange(70 * 86_400 * 10**6) for _ in range(25)]
    return [*anywhere, *(rng.choice(edges) + rng.choice((-1, 0, 1)) for _ in range(25))]


def some_facts(rng: random.Random, instants: Sequence[int]) -> list[Fact]:
    return [
        Fact(
            f"C-{rng.randrange(8)}",
            rng.choice(instants),
            rng.choice((None, *AMOUNTS[: rng.choice((3, len(AMOUNTS)))])),
            rng.random() < 0.3,
        )
        for _ in range(rng.randrange(40))
    ]


def some_stays(rng: random.Random, instants: Sequence[int]) -> list[Stay]:
    """Of some customers in either segmentation: with gaps, from the beginning, for ever, over before any fact."""
    found = list[Stay]()
    for customer in range(9):
        for segmentation_id in (ONE, OTHER):
            edges: list[int | None] = [*sorted(set(rng.sample(instants, rng.randrange(5))))]
            if rng.random() < 0.5:
                edges = [None, *edges, None]
            name = f"C-{customer}"
            stays = [Stay(name, segmentation_id, rng.choice(SEGMENTS), *edge) for edge in pairwise(edges)]
            found += [stay for stay in stays if rng.random() < 0.7]
    rng.shuffle(found)
    return found


@pytest.mark.parametrize("seed", range(100))
def test_whatever_changed_adds_up_as_one_loop_over_the_facts_does(seed: int) -> None:
    rng = random.Random(seed)
    name, begins = SCENES[seed % len(SCENES)]
    zone = ZoneInfo(name)
    instants = some_instants(rng, begins, zone)
    folded = Known(some_facts(rng, instants), some_stays(rng, instants))
    # Some facts and stays are other ones now, most are not.
    kept = [fact for fact in folded.facts if rng.random() < 0.8]
    newest = max((fact.micros for fact in folded.facts), default=at(1))
    later = [replace(fact, micros=newest + rng.randrange(40 * 86_400) * 10**6) for fact in some_facts(rng, instants)]
    facts = rng.choice(
        (
            [*kept, *some_facts(rng, instants)],
            list(folded.facts),
            [*folded.facts, *later],
            [*folded.facts, *some_facts(rng, instants)],
            [],
        )
    )
    now = Known(facts, rng.choice((folded.stays, some_stays(rng, instants))))
    assert_as_the_oracle_says(now, folded, zone)
    assert_as_the_oracle_says(now, Known(), zone)


@pytest.mark.parametrize("hours", [0, 1, 11, 13, 24 * 40])
@pytest.mark.parametrize("is_refund", [False, True])
def test_one_more_fact_of_a_member_counts_on_the_day_of_the_last_and_on_later_ones(hours: int, is_refund: bool) -> None:
    stays = [Stay("C", ONE, SEGMENTS[0], None, at(3)), Stay("C", ONE, SEGMENTS[1], at(3), None)]
    folded = [Fact("C", at(2), 10), Fact("C", at(3), 20), Fact("C", at(3), None), Fact("D", at(3), 5)]
    one_more = Fact("C", at(3) + hours * 3_600 * 10**6, 40, is_refund)
    for before in (folded, folded[1:2], [replace(fact, is_refund=True) for fact in folded]):
        now = Known([*before, one_more], stays)
        assert_as_the_oracle_says(now, Known(before, stays), UTC_ZONE)
        # Folded as of before the last two.
        assert_as_the_oracle_says(now, Known(before[:1], stays), UTC_ZONE)


def test_nothing_adds_nothing() -> None:
    days, cohorts = sums(Known(), Known(), UTC_ZONE)
    assert (len(days), len(cohorts.period)) == (0, 0)


def test_what_was_folded_as_it_is_now_adds_nothing() -> None:
    rng = random.Random(1)
    instants = some_instants(rng, SCENES[0][1], UTC_ZONE)
    known = Known(some_facts(rng, instants), some_stays(rng, instants))
    assert known.facts
    days, cohorts = sums(known, replace(known, facts=list(reversed(known.facts))), UTC_ZONE)
    assert (len(days), len(cohorts.period)) == (0, 0)


def test_a_buyer_counts_on_the_first_day_and_repeats_on_the_second_of_each_interval() -> None:
    # Thursday 1, Friday 2, Monday 5 October, and 2 November: one quarter, two months, three weeks.
    facts = [Fact("C", at(day, month=month), 10) for day, month in ((1, 10), (2, 10), (5, 10), (2, 11))]
    days, _ = sums(Known(facts), Known(), UTC_ZONE)
    rows = days.rows()
    assert [day.isoformat()[5:] for day in rows["day"]] == ["10-01", "10-02", "10-05", "11-02"]
    counters = ("buyers_day", "buyers_week", "buyers_month", "buyers_quarter", "buyers_ever", "new_customers")
    assert [[rows[name][number] for name in counters] for number in range(4)] == [
        [1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
    ]
    repeats = ("repeat_buyers_day", "repeat_buyers_week", "repeat_buyers_month", "repeat_buyers_quarter")
    assert [[rows[name][number] for name in repeats] for number in range(4)] == [
        [0, 0, 0, 0],
        [0, 1, 1, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_two_purchases_at_one_instant_are_a_repeat_and_one_new_customer() -> None:
    days, _ = sums(Known([Fact("C", at(1), 10), Fact("C", at(1), 10)]), Known(), UTC_ZONE)
    rows = days.rows()
    names = ("purchases", "buyers_ever", "repeat_buyers_day", "repeat_buyers_ever", "new_customers")
    assert [rows[name] for name in names] == [[2], [1], [1], [1], [1]]


def test_a_refund_makes_nobody_a_buyer_and_belongs_to_no_cohort() -> None:
    days, cohorts = sums(Known([Fact("C", at(1), 10, is_refund=True)]), Known(), UTC_ZONE)
    rows = days.rows()
    assert (rows["refunds"], rows["refund_minor"], rows["purchases"]) == ([1], [10], [0])
    assert not any(any(rows[name]) for name in rows if "buyers" in name or name == "new_customers")
    assert len(cohorts.period) == 0


def test_sums_beyond_64_bits_are_exact() -> None:
    facts = [Fact("C", at(1), 2**63 - 1), Fact("C", at(1), 9 * 10**34), Fact("D", at(1), 1)]
    days, cohorts = sums(Known(facts), Known(), UTC_ZONE)
    rows = days.rows()
    assert rows["purchase_minor"] == [2**63 + 9 * 10**34]
    assert rows["purchase_squares"] == [(2**63 - 1) ** 2 + (9 * 10**34) ** 2 + 1]
    assert set(cohorts.rows()["purchase_minor"]) == {2**63 + 9 * 10**34}


def test_a_fact_at_the_edge_of_a_stay_is_in_the_later_one_and_in_a_gap_in_none() -> None:
    first, second, third = SEGMENTS
    stays = [
        Stay("C", ONE, first, None, at(5)),
        Stay("C", ONE, second, at(5), at(8)),
        Stay("C", ONE, third, at(10), None),
    ]
    facts = [Fact("C", instant, 1) for instant in (at(5) - 1, at(5), at(8) - 1, at(8), at(10) - 1, at(10))]
    days, _ = sums(Known([*facts, Fact("D", at(5), 1)], stays), Known(), UTC_ZONE)
    found = by_key(days.rows(), "segmentation_id", "of_members", "segment_id", "day")
    by_segment: dict[Any, int] = {}
    for (segmentation_id, of_members, segment_id, _), each in found.items():
        key = segmentation_id and ("members" if of_members else segment_id)
        by_segment[(segmentation_id, key)] = by_segment.get((segmentation_id, key), 0) + each["purchases"]
    assert by_segment == {
        (None, None): 7,
        (ONE, "members"): 6,
        (ONE, first): 1,
        (ONE, second): 2,
        (ONE, None): 2,
        (ONE, third): 1,
    }


# The clocks of St. John's used to change at a minute past midnight, those of Kwajalein repeated a day and skipped one,
# Monrovia's and Kathmandu's days began at odd minutes, and Manila's year 1900 by the sun.
ODD_ZONES = (
    ("America/St_Johns", date(2010, 10, 20)),
    ("America/St_Johns", date(2010, 3, 1)),
    ("Pacific/Kwajalein", date(1969, 9, 20)),
    ("Pacific/Kwajalein", date(1993, 8, 10)),
    ("Pacific/Apia", date(2011, 12, 20)),
    ("Pacific/Kiritimati", date(1994, 12, 20)),
    ("Africa/Monrovia", date(1972, 1, 1)),
    ("Asia/Manila", date(1900, 1, 2)),
    ("America/Havana", date(2026, 10, 20)),
    ("America/Santiago", date(2026, 3, 28)),
    ("Etc/GMT+12", date(2026, 3, 28)),
    ("Etc/GMT-14", date(2026, 3, 28)),
)


@pytest.mark.parametrize(("name", "first"), ODD_ZONES)
def test_the_day_of_an_instant_is_the_last_that_began_until_then(name: str, first: date) -> None:
    zone, rng = ZoneInfo(name), random.Random(3)
    days = [first + timedelta(days=offset) for offset in range(40)]
    edges = [micros(start_of_day(day, zone)) for day in days]
    span = edges[-1] - edges[0]
    at_ = [edge + offset for edge in edges[:-1] for offset in (0, 1)] + [edge - 1 for edge in edges[1:]]
    at_ += [edges[0] + rng.randrange(span) for _ in range(500)]
    expected = [days[bisect_right(edges, each) - 1] for each in at_]
    assert [date.fromordinal(each) for each in days_of(np.array(at_), zone).tolist()] == expected
    # Alone each is on the same day as among others.
    assert [int(days_of(np.array([each]), zone)[0]) for each in at_[:30]] == [day.toordinal() for day in expected[:30]]


def test_amounts_are_kept_in_two_parts_and_read_as_one() -> None:
    facts = [Fact("C", at(1), amount, amount % 2 == 0) for amount in (1, PART - 1, PART, PART + 1, 9 * 10**34)]
    facts.append(Fact("D", at(2), None))
    found = unpacked({"C": 4, "D": 7}, packed(facts))
    assert found.minor.tolist() == [fact.minor or 0 for fact in facts]
    assert found.customer.tolist() == [4] * 5 + [7]
    assert found.is_refund.tolist() == [fact.is_refund for fact in facts]
    assert found.is_unrated.tolist() == [False] * 5 + [True]
    assert [EPOCH + timedelta(microseconds=each) for each in found.at.tolist()][-1] == datetime(
        2026, 10, 2, 12, tzinfo=UTC
    )
