"""What facts add up to in `kpi_days` and `cohort_periods`, by loops over dicts: one customer, one group, one day at a time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
# What two days of one interval have in common.
SAME: dict[str, Callable[[date], Any]] = {
    "day": lambda day: day,
    "week": lambda day: day.isocalendar()[:2],
    "month": lambda day: (day.year, day.month),
    "quarter": lambda day: (day.year, (day.month - 1) // 3),
    "year": lambda day: day.year,
    "ever": lambda day: None,
}
COHORTS = ("week", "month", "quarter", "year")
# Group: segmentation, whether of all its members, segment. Then the day.
Key = tuple[UUID | None, bool, UUID | None, date]
Sums = Counter[str]


@dataclass(frozen=True)
class Fact:
    """A transaction with an amount above 0; null: no rate was given."""

    customer: str
    micros: int
    minor: int | None
    is_refund: bool = False


@dataclass(frozen=True)
class Stay:
    """[begins, ends) in microseconds since 2000; null: since or for ever."""

    customer: str
    segmentation_id: UUID
    segment_id: UUID
    begins: int | None = None
    ends: int | None = None


@dataclass(frozen=True)
class Known:
    """Everything at one time."""

    facts: Sequence[Fact] = ()
    stays: Sequence[Stay] = ()


def local_day(micros: int, zone: ZoneInfo) -> date:
    return (BEGINNING + timedelta(microseconds=micros)).astimezone(zone).date()


def days(known: Known, zone: ZoneInfo) -> dict[Key, Sums]:
    """Rows of `kpi_days` for known customers, all counters that are not 0."""
    found: defaultdict[Key, Sums] = defaultdict(Counter)
    groups: defaultdict[tuple[Any, ...], list[Fact]] = defaultdict(list)
    for fact in known.facts:
        for group in _groups(known, fact):
            groups[(fact.customer, *group)].append(fact)
    for (customer, segmentation_id, of_members, segment_id), facts in groups.items():
        for fact in facts:
            found[segmentation_id, of_members, segment_id, local_day(fact.micros, zone)].update(_amounts(fact))
        for day, counters in _people(known, customer, facts, zone):
            found[segmentation_id, of_members, segment_id, day].update(counters)
    return {key: +sums for key, sums in found.items()}


def _groups(known: Known, fact: Fact) -> Iterable[tuple[UUID | None, bool, UUID | None]]:
    yield None, False, None
    mine = [stay for stay in known.stays if stay.customer == fact.customer]
    for segmentation_id in {stay.segmentation_id for stay in mine}:
        there = [stay.segment_id for stay in mine if stay.segmentation_id == segmentation_id and _is_in(stay, fact)]
        yield segmentation_id, True, None
        yield segmentation_id, False, there[0] if there else None


def _is_in(stay: Stay, fact: Fact) -> bool:
    return (stay.begins is None or stay.begins <= fact.micros) and (stay.ends is None or fact.micros < stay.ends)


def _amounts(fact: Fact) -> dict[str, int]:
    kind = "refund" if fact.is_refund else "purchase"
    if fact.minor is None:
        return {f"{kind}s": 1, f"{kind}s_unrated": 1}
    return {f"{kind}s": 1, f"{kind}_minor": fact.minor, f"{kind}_squares": fact.minor**2}


def _people(
    known: Known, customer: str, facts: Sequence[Fact], zone: ZoneInfo
) -> Iterable[tuple[date, dict[str, int]]]:
    bought = sorted(fact.micros for fact in facts if not fact.is_refund)
    firsts = sorted(fact.micros for fact in known.facts if fact.customer == customer and not fact.is_refund)
    if bought and bought[0] == firsts[0]:
        yield local_day(bought[0], zone), {"new_customers": 1}
    for interval, same in SAME.items():
        times: Counter[Any] = Counter()
        for micros in bought:
            day = local_day(micros, zone)
            times[same(day)] += 1
            if times[same(day)] <= 2:
                yield day, {f"{'buyers' if times[same(day)] == 1 else 'repeat_buyers'}_{interval}": 1}


def cohorts(known: Known, zone: ZoneInfo) -> dict[tuple[str, date, date], Sums]:
    """Rows of `cohort_periods`, all counters that are not 0."""
    found: defaultdict[tuple[str, date, date], Sums] = defaultdict(Counter)
    seen = set[tuple[Any, ...]]()
    bought = [fact for fact in known.facts if not fact.is_refund]
    for interval, fact in product(COHORTS, bought):
        first = min(each.micros for each in bought if each.customer == fact.customer)
        cohort, period = (beginning(interval, local_day(each, zone)) for each in (first, fact.micros))
        cell = found[interval, cohort, period]
        if (interval, fact.customer, period) not in seen:
            seen.add((interval, fact.customer, period))
            cell["buyers"] += 1
        cell["purchases_unrated" if fact.minor is None else "purchase_minor"] += 1 if fact.minor is None else fact.minor
    return dict(found)


@cache
def beginning(interval: str, day: date) -> date:
    """The first day of the interval that a day is in, found day by day."""
    while SAME[interval](day - DAY) == SAME[interval](day):
        day -= DAY
    return day


def changed(now: dict[Any, Sums], folded: dict[Any, Sums]) -> dict[Any, dict[str, int]]:
    """What is to be added to get from one to the other."""
    keys = now.keys() | folded.keys()
    none = Counter[str]()
    each = {
        key: {
            name: now.get(key, none)[name] - folded.get(key, none)[name]
            for name in now.get(key, none).keys() | folded.get(key, none).keys()
        }
        for key in keys
    }
    found = {key: {name: more for name, more in sums.items() if more} for key, sums in each.items()}
    return {key: sums for key, sums in found.items() if sums}
