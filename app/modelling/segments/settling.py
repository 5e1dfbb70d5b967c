"""The quick way for a few customers: memberships current in the very transaction that touched them.

It does what `evaluation` does, in two round trips instead of twenty. Whatever is out of the ordinary goes that way:
versions that ask about each other, money without a rate, somebody else at work on memberships.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db.arrays import doubles, texts
from app.db.batch import Parameter, Statement, run
from app.db.engine import Session
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import FeatureRows
from app.modelling.segments import due, repository
from app.modelling.segments.assignments import MEMBERSHIPS_LOCK, try_lock_memberships
from app.modelling.segments.current import evaluate_now
from app.modelling.segments.working import Assigners, Working, apart, derived_of, features_of

# Whether the lock of memberships is ours, which versions are active, whether anybody is told of changes, and when the
# newest fact happened that is known.
_STATE = Statement("""
select pg_try_advisory_xact_lock($1),
       (select array_agg(segmentation_id::text || ' ' || version order by segmentation_id)
          from segmentation_versions where status = 'active'),
       exists (select from webhook_endpoints where enabled),
       (select newest_fact_at from feed_state)
""")
_STANDING = Statement("""
select customer_id, segmentation_id, segment_id, version, reason::text, valid_from
  from memberships where customer_id = any($1) and valid_to is null
""")
_CLOSE = Statement("""
update memberships m set valid_to = $1
  from unnest($2, $3) as given (customer_id, segmentation_id)
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id::uuid
   and m.valid_to is null and m.valid_from < $4
""")
_UNDO = Statement("""
delete from memberships m using unnest($1, $2) as given (customer_id, segmentation_id)
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id::uuid
   and m.valid_to is null and m.valid_from >= $3
""")
# After the last range of the same customer and segmentation, as in assignments: from now on, or from the end of the
# last where the clock was set back since.
_BEGIN = Statement("""
insert into memberships (customer_id, segmentation_id, segment_id, version, valid_from, since, evaluated_at,
                         confidence, reason)
select given.customer_id, given.segmentation_id::uuid, given.segment_id::uuid, given.version::int, begins,
       case when last.valid_to = begins and last.segment_id = given.segment_id::uuid then last.since else begins end,
       $1::timestamptz, nullif(given.confidence, 'NaN'), given.reason::jsonb
  from unnest($2, $3, $4, $5, $6, $7)
       as given (customer_id, segmentation_id, segment_id, version, confidence, reason)
  left join lateral (
       select segment_id, since, valid_to from memberships
        where customer_id = given.customer_id and segmentation_id = given.segmentation_id::uuid
        order by valid_from desc limit 1) as last on true,
       lateral (select greatest($1::timestamptz, last.valid_to) as begins) as start
""")
_CONFIRM = Statement("""
update memberships m set evaluated_at = $1, confidence = nullif(given.confidence, 'NaN')
  from unnest($2, $3, $4) as given (customer_id, segmentation_id, confidence)
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id::uuid
   and m.valid_to is null and m.evaluated_at < $5
""")
_ANNOUNCE = Statement("""
insert into membership_changes (customer_id, segmentation_id, version, left_segment_id, entered_segment_id, changed_at)
select customer_id, segmentation_id::uuid, version::int, left_segment_id::uuid, entered_segment_id::uuid, $1::timestamptz
  from unnest($2, $3, $4, $5, $6) as given (customer_id, segmentation_id, version, left_segment_id, entered_segment_id)
""")
# A customer in a segmentation.
Place = tuple[str, UUID]
Call = tuple[Statement, Sequence[Parameter]]
UNSURE = float("nan")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer is in, by what stands in the database or by what was just found."""

    segment_id: UUID
    version: int
    reason: Any
    confidence: float = field(default=UNSURE, compare=False)


@dataclass(slots=True)
class Settler:
    """Settles for one process, which remembers the versions that were active the last time."""

    reporting: Reporting
    assigners: Assigners
    _active: tuple[str, ...] | None = None
    _working: list[Working] = field(default_factory=list)

    async def settle(self, session: Session, customer_ids: Sequence[str], *, now: datetime) -> bool:
        """Bring these customers up to date; needs the shared lock of people, which every intake holds.

        False where others are writing memberships and that may take a while: they are for the dirty set then.
        """
        if self._active is None or not self._is_plain():
            return await self._the_long_way(session, customer_ids, now=now)
        standing, state, read = await self._look(session, customer_ids, now=now)
        locked, active, has_receivers, newest = state
        if not locked or tuple(active or ()) != self._active or read.unrated:
            return await self._the_long_way(session, customer_ids, now=now)
        if newest is None or newest < now - due.NOTED_EVERY:
            await due.note_facts(session, customer_ids, now=now)
        found = self._assigned(read)
        changes = _changes(standing, found, now=now, announcing=has_receivers)
        await run(session, *changes, *due.calls([row[0] for row in read.rows], read.next_changes, whole=True))
        return True

    def _is_plain(self) -> bool:
        return len(apart(self._working)) <= 1 and not any(each.assigner.asks for each in self._working)

    async def _the_long_way(self, session: Session, customer_ids: Sequence[str], *, now: datetime) -> bool:
        if not await try_lock_memberships(session):
            return False
        await due.note_facts(session, customer_ids, now=now)
        versions = await repository.active_versions(session)
        self._working = await self.assigners.of_all(session, versions)
        self._active = tuple(f"{each.segmentation_id} {each.version}" for each in versions)
        await evaluate_now(session, customer_ids, now=now, reporting=self.reporting, assigners=self.assigners)
        return True

    async def _look(
        self, session: Session, customer_ids: Sequence[str], *, now: datetime
    ) -> tuple[dict[Place, tuple[Standing, datetime]], tuple[Any, ...], FeatureRows]:
        """What stands, the state of things, and the features; asked for all at once."""
        rows, states, read = await run(
            session,
            (_STATE, [MEMBERSHIPS_LOCK]),
            (_STANDING, [texts(customer_ids)]),
            features.small_read(
                session.dialect,
                features_of(self._working),
                derived_of(self._working),
                self.reporting,
                customer_ids=customer_ids,
                as_of=now,
            ),
        )
        standing = {(row[0], row[1]): (Standing(row[2], row[3], orjson.loads(row[4])), row[5]) for row in states}
        foreign = frozenset(row[0] for row in read if row[-2])
        return standing, rows[0], FeatureRows([row[:-2] for row in read], foreign, [row[-1] for row in read])

    def _assigned(self, read: FeatureRows) -> dict[Place, Standing]:
        columns = FeatureColumns.of([*features_of(self._working), *derived_of(self._working)], read.rows)
        found: dict[Place, Standing] = {}
        for each in self._working if columns.customer_ids else ():
            version, assignment = each.version, each.assigner.assign(columns.values)
            for place, (position, code) in enumerate(zip(assignment.positions, assignment.codes, strict=True)):
                outcome = assignment.outcomes[code]
                confidence = UNSURE if assignment.confidence is None else float(assignment.confidence[place])
                found[columns.customer_ids[position], version.segmentation_id] = Standing(
                    version.segment_ids[outcome.segment_key], version.version, outcome.reason, confidence
                )
        return found


def _changes(
    standing: Mapping[Place, tuple[Standing, datetime]],
    found: Mapping[Place, Standing],
    *,
    now: datetime,
    announcing: bool,
) -> Iterator[Call]:
    """What makes memberships what was found, as assignments.apply does."""
    same = [place for place, (stood, _) in standing.items() if found.get(place) == stood]
    kept = set(same)
    ended = [(place, began) for place, (_, began) in standing.items() if place not in kept]
    begun = sorted(place for place in found if place not in kept)
    if same:
        confidences = doubles([found[place].confidence for place in same])
        yield _CONFIRM, [now, *_places(same), confidences, now]
    if before := [place for place, began in ended if began < now]:
        yield _CLOSE, [now, *_places(before), now]
    if again := [place for place, began in ended if began >= now]:
        yield _UNDO, [*_places(again), now]
    if begun:
        yield _BEGIN, _rows(begun, found, now=now)
    if announcing:
        yield from _announced(standing, found, now=now)


def _places(places: Sequence[Place]) -> tuple[Any, Any]:
    return texts([customer_id for customer_id, _ in places]), texts([str(own) for _, own in places])


def _rows(places: Sequence[Place], found: Mapping[Place, Standing], *, now: datetime) -> list[Parameter]:
    customers, segmentations = _places(places)
    ones = [found[place] for place in places]
    return [
        now,
        customers,
        segmentations,
        texts([str(each.segment_id) for each in ones]),
        texts([str(each.version) for each in ones]),
        doubles([each.confidence for each in ones]),
        texts([orjson.dumps(each.reason).decode() for each in ones]),
    ]


def _announced(
    standing: Mapping[Place, tuple[Standing, datetime]],
    found: Mapping[Place, Standing],
    *,
    now: datetime,
) -> Iterator[Call]:
    """What leaves word of who left and who entered."""
    moved = []
    for place in sorted({*standing, *found}):
        left = standing[place][0].segment_id if place in standing else None
        entered = found[place].segment_id if place in found else None
        if left != entered:
            version = found[place].version if place in found else standing[place][0].version
            moved.append((place, version, left, entered))
    if moved:
        customers, segmentations = _places([place for place, *_ in moved])
        versions = texts([str(version) for _, version, *_ in moved])
        sides = [texts([None if one[side] is None else str(one[side]) for one in moved]) for side in (2, 3)]
        yield _ANNOUNCE, [now, customers, segmentations, versions, *sides]
