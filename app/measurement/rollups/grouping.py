"""Facts as rows that count: on which reporting day, and in which groups, with the sign of now or of what was folded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from app.clock import start_of_day
from app.measurement.rollups.packed import Facts, Integers

NOW, FOLDED = 1, -1
# Whose, from and until when, in which segment.
_Stay = tuple[int, int, int, UUID]
DAY_MICROS = 86_400_000_000
Flags = npt.NDArray[np.bool_]
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Group:
    """All facts; or those of the members of a segmentation; or of these those in a segment, null: in none then."""

    segmentation_id: UUID | None = None
    of_members: bool = False
    segment_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Spell:
    """A customer, by number, in a segment from an instant to another, in microseconds since 2000."""

    customer: int
    segmentation_id: UUID
    segment_id: UUID
    starts_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class Grouped:
    """One row per fact and group it counts in. A customer as it is now and as it was folded are two."""

    groups: tuple[Group, ...]
    group: Integers
    customer: Integers
    sign: Integers
    at: Integers
    day: Integers
    is_refund: npt.NDArray[np.bool_]
    is_unrated: npt.NDArray[np.bool_]
    minor: npt.NDArray[Any]


def grouped(
    now: Facts,
    folded: Facts,
    spells_now: Sequence[Spell],
    spells_folded: Sequence[Spell],
    zone: ZoneInfo,
    context: Flags | None = None,
) -> Grouped:
    """What counts now with sign 1, what was folded with sign -1; with 0 what of now is only there for the rest."""
    # Even numbers are customers as they are now, odd ones as they were folded.
    customer = np.concatenate([now.customer * 2, folded.customer * 2 + 1])
    at = np.concatenate([now.at, folded.at])
    sign = np.where(customer % 2 == 0, NOW, FOLDED)
    if context is not None:
        sign[: len(now)][context] = 0
    groups, row, group = _groups(customer, at, spells_now, spells_folded)
    both = {
        name: np.concatenate([getattr(now, name), getattr(folded, name)])
        for name in ("is_refund", "is_unrated", "minor")
    }
    return Grouped(
        groups=groups,
        group=group,
        customer=customer[row],
        sign=sign[row],
        at=at[row],
        day=days_of(at, zone)[row],
        **{name: column[row] for name, column in both.items()},
    )


def _groups(
    customer: Integers, at: Integers, spells_now: Sequence[Spell], spells_folded: Sequence[Spell]
) -> tuple[tuple[Group, ...], Integers, Integers]:
    """The groups, that of all facts first; and for each row that counts: which fact it is, in which group."""
    groups = {Group(): 0}
    rows, codes = [np.arange(len(customer))], [np.zeros(len(customer), np.int64)]
    of: dict[UUID, list[_Stay]] = defaultdict(list)
    for odd, spells in enumerate((spells_now, spells_folded)):
        for each in spells:
            stay = (2 * each.customer + odd, each.starts_at, each.ends_at, each.segment_id)
            of[each.segmentation_id].append(stay)
    for segmentation_id, own in sorted(of.items()):
        names: list[UUID | None] = [None, *sorted({segment_id for *_, segment_id in own})]
        numbers = [groups.setdefault(Group(segmentation_id, segment_id=name), len(groups)) for name in names]
        members = groups.setdefault(Group(segmentation_id, of_members=True), len(groups))
        row, position = _positions(customer, at, own, names)
        rows += [row, row]
        codes += [np.full(len(row), members), np.array(numbers, np.int64)[position]]
    return tuple(groups), np.concatenate(rows), np.concatenate(codes)


def _positions(
    customer: Integers, at: Integers, stays: Sequence[_Stay], names: Sequence[UUID | None]
) -> tuple[Integers, Integers]:
    """The facts of members, and the position among the names of the segment each was in then."""
    place = {name: position for position, name in enumerate(names)}
    *edges, segment = zip(*stays, strict=True)
    owner, starts, ends = (np.array(each, np.int64) for each in edges)
    name = np.array([place[each] for each in segment], np.int64)
    order = np.lexsort((starts, owner))
    owner, starts, ends, name = (each[order] for each in (owner, starts, ends, name))
    first, last = np.searchsorted(owner, customer), np.searchsorted(owner, customer, side="right") - 1
    row = np.flatnonzero(first <= last)
    spell, last, when = first[row], last[row], at[row]
    # Halving what is left: the last spell of the customer that had begun by then, or the first of all.
    while (spell < last).any():
        middle = (spell + last + 1) // 2
        begun = starts[middle] <= when
        spell, last = np.where(begun, middle, spell), np.where(begun, last, middle - 1)
    inside = (starts[spell] <= when) & (when < ends[spell])
    return row, np.where(inside, name[spell], 0)


def days_of(at: Integers, zone: ZoneInfo) -> Integers:
    """The reporting day of each instant, as an ordinal."""
    if not len(at):
        return np.zeros(0, np.int64)
    # No zone is a whole day away from UTC.
    utc = np.unique(at // DAY_MICROS)
    days = np.unique(np.concatenate([utc - 1, utc, utc + 1])) + EPOCH.toordinal()
    edges = np.array([_start(int(day), zone) for day in days], np.int64)
    return days[np.searchsorted(edges, at, side="right") - 1]


@lru_cache(maxsize=100_000)
def _start(day: int, zone: ZoneInfo) -> int:
    return micros(start_of_day(date.fromordinal(day), zone))


def micros(instant: datetime) -> int:
    """Microseconds since 2000, as the server counts them."""
    return (instant - EPOCH) // timedelta(microseconds=1)
