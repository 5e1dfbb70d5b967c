"""What some customers add to the sums now, less what the sums hold of them: for folding it in, and for answers until then."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from anyio import to_thread

from app.db.engine import Session
from app.measurement.rollups import repository
from app.measurement.rollups.adding import Cohorts, Days, added
from app.measurement.rollups.concerned import Basis, Concerned, Stretch
from app.measurement.rollups.grouping import Flags, Spell, days_of, grouped, micros
from app.measurement.rollups.packed import RECORD, unpacked

_BOUNDS = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Contributions:
    """What is to be added, and what the sums hold of these customers once it is."""

    days: Days
    cohorts: Cohorts
    facts_now: Mapping[str, bytes]
    facts_folded: Mapping[str, bytes]
    spells_now: Sequence[Stretch]
    spells_folded: Sequence[Stretch]


async def contributions(
    session: Session, concerned: Concerned, basis: Basis, *, only: UUID | None = None, by_segment: bool = True
) -> Contributions:
    """What the concerned add. Of segmentations only one, where one is named; none, if not by segment."""
    folded = await repository.facts_folded(session, concerned.everybody)
    # Who is concerned by memberships alone is counted by the facts that the sums hold: others are not theirs yet.
    now = {name: folded[name] for name in concerned.by_membership if name in folded}
    if concerned.by_facts:
        now |= await repository.facts_now(session, concerned.by_facts, basis)
    stretches: list[list[Stretch]] = [[], []]
    if by_segment:
        stretches = [
            await repository.spells_now(session, concerned, only=only),
            await repository.spells_folded(session, concerned, only=only),
        ]
    spells_now, spells_folded = stretches
    days, cohorts = await to_thread.run_sync(difference, now, folded, spells_now, spells_folded, basis.zone)
    return Contributions(days, cohorts, now, folded, spells_now, spells_folded)


def difference(
    now: Mapping[str, bytes],
    folded: Mapping[str, bytes],
    spells_now: Sequence[Stretch],
    spells_folded: Sequence[Stretch],
    zone: ZoneInfo,
) -> tuple[Days, Cohorts]:
    """What is there now adds, less what was folded; of whom nothing changed, nothing is looked at."""
    moved = {each.customer_id for each in set(spells_now) ^ set(spells_folded)}
    grown = {
        name: facts for name, facts in folded.items() if name not in moved and now.get(name, b"").startswith(facts)
    }
    same = {name for name, facts in grown.items() if len(now[name]) == len(facts)}
    later = _later({name: (facts, now[name]) for name, facts in grown.items() if name not in same}, zone)
    now = {name: facts for name, facts in now.items() if name not in same}
    folded = {name: facts for name, facts in folded.items() if name not in same and name not in later}
    numbers: dict[str, int] = {}
    for name in (*now, *folded):
        numbers.setdefault(name, len(numbers))
    facts_now, facts_folded = (unpacked(numbers, list(each.items())) for each in (now, folded))
    spells = (_spells(numbers, spells_now, of=now), _spells(numbers, spells_folded, of=folded))
    context = _first(now, {name: len(grown[name]) for name in later})
    return added(grouped(facts_now, facts_folded, *spells, zone, context))


def _later(grown: Mapping[str, tuple[bytes, bytes]], zone: ZoneInfo) -> set[str]:
    """Who has nothing new but on days after all that was folded: what was adds nothing, and need not be taken away.

    Of each customer what was folded, and now: it begins with the same.
    """
    if not grown:
        return set()
    at = np.frombuffer(b"".join(now for _, now in grown.values()), RECORD)["at"].astype(np.int64)
    sizes = np.array([(len(before), len(now) - len(before)) for before, now in grown.values()]) // RECORD.itemsize
    edges = np.concatenate([[0], np.cumsum(sizes.ravel())[:-1]])
    day = days_of(at, zone)
    last, first = np.maximum.reduceat(day, edges)[::2], np.minimum.reduceat(day, edges)[1::2]
    return {name for name, after in zip(grown, (first > last).tolist(), strict=True) if after}


def _first(facts: Mapping[str, bytes], sizes: Mapping[str, int]) -> Flags:
    """Which of the facts are the first of their customers, of which so many bytes are."""
    counts = np.array([(sizes.get(name, 0), len(each)) for name, each in facts.items()], np.int64).reshape(-1, 2)
    first, whole = counts.T // RECORD.itemsize
    start = np.cumsum(whole) - whole
    return np.arange(whole.sum()) < np.repeat(start + first, whole)


def _spells(numbers: Mapping[str, int], stretches: Sequence[Stretch], *, of: Collection[str]) -> list[Spell]:
    # Without a fact a spell counts nothing.
    return [_spell(numbers[each.customer_id], each) for each in stretches if each.customer_id in of]


def _spell(number: int, stretch: Stretch) -> Spell:
    starts, ends = stretch.starts_at, stretch.ends_at
    return Spell(
        number,
        stretch.segmentation_id,
        stretch.segment_id,
        int(_BOUNDS.min) if starts is None else micros(starts),
        int(_BOUNDS.max) if ends is None else micros(ends),
    )
