"""The quick way for a few customers: memberships current in the very transaction that touched them.

It does what `evaluation` does, in two round trips instead of twenty: one that looks, one that changes. Whatever is
out of the ordinary goes that way: versions that ask about each other, money in other currencies, somebody else at work
on memberships.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from app.db.arrays import texts
from app.db.batch import Call, Rows, Statement, run
from app.db.engine import Session
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import Feature
from app.modelling.features.derived import Derived
from app.modelling.features.repository import SmallRead
from app.modelling.segments import due, repository
from app.modelling.segments.assigning import Alone, Outcome
from app.modelling.segments.assignments import MEMBERSHIPS_LOCK, try_lock_memberships
from app.modelling.segments.changing import UNSURE, Place, Standing, changes
from app.modelling.segments.current import evaluate_now
from app.modelling.segments.working import Assigners, Working, apart, derived_of, features_of

# Whether the lock of memberships is ours, whether anybody is told of changes, and when the newest fact happened that is
# known; then, behind the lock, the versions that are active.
_STATE = """
select {}, exists (select from webhook_endpoints where enabled), newest_fact_at
  from feed_state
"""
_STATE_AT_ONCE = Statement(_STATE.format("pg_try_advisory_xact_lock($1)"))
_STATE_IN_TURN = Statement(_STATE.format("(select true from pg_advisory_xact_lock($1))"))
_ACTIVE = Statement("select segmentation_id, version from segmentation_versions where status = 'active'")
_STANDING = Statement("""
select customer_id, segmentation_id, segment_id, version, reason::text, valid_from, evaluated_at
  from memberships where customer_id = any($1) and valid_to is null
""")
# As due.note_facts: what cannot be news is not read.
_NOTE = Statement("""
update feed_state set newest_fact_at = least(found.at, $1::timestamptz)
  from (select greatest(
          (select max(occurred_at) from transactions where customer_id = any($2) and occurred_at > $3),
          (select max(occurred_at) from events where customer_id = any($2) and occurred_at > $3)) as at) as found
 where found.at is not null
""")
# Up to here methods that can assign one customer alone do so sooner than columns are laid out.
FEW = 32
# Some 5 MB of identifiers.
FOREIGN_AT_MOST = 50_000


@dataclass(frozen=True, slots=True)
class _Active:
    """The versions that were active the last time, and what is read for all of them at once."""

    numbers: frozenset[tuple[UUID, int]]
    working: Sequence[Working]
    read: SmallRead
    columns: Sequence[Feature | Derived]
    names: Sequence[str]

    @classmethod
    def of(cls, working: Sequence[Working], numbers: frozenset[tuple[UUID, int]], read: SmallRead) -> "_Active":
        columns: list[Feature | Derived] = [*features_of(working), *derived_of(working)]
        return cls(numbers, working, read, columns, [each.name for each in columns])

    def assigned(self, rows: Rows) -> dict[Place, Standing]:
        """What every version says of the customers of these rows."""
        found: dict[Place, Standing] = {}
        together: list[Working] = []
        for each in self.working if rows else ():
            if each.assigner.alone is None or len(rows) > FEW:
                together.append(each)
            else:
                found.update(self._one_by_one(each, each.assigner.alone, rows))
        if together:
            columns = FeatureColumns.of(self.columns, rows)
            for each in together:
                found.update(_assigned(each, columns))
        return found

    def _one_by_one(self, each: Working, alone: Alone, rows: Rows) -> Iterator[tuple[Place, Standing]]:
        for customer_id, *values in rows:
            outcome = alone(dict(zip(self.names, values, strict=True)))
            if outcome is not None:
                yield (customer_id, each.version.segmentation_id), _standing(each.version, outcome)


def _assigned(one: Working, columns: FeatureColumns) -> Iterator[tuple[Place, Standing]]:
    version, assignment = one.version, one.assigner.assign(columns.values)
    for place, (position, code) in enumerate(zip(assignment.positions, assignment.codes, strict=True)):
        confidence = UNSURE if assignment.confidence is None else float(assignment.confidence[place])
        standing = _standing(version, assignment.outcomes[code], confidence)
        yield (columns.customer_ids[position], version.segmentation_id), standing


def _standing(version: repository.Version, outcome: Outcome, confidence: float = UNSURE) -> Standing:
    return Standing(version.segment_ids[outcome.segment_key], version.version, outcome.reason, confidence)


@dataclass(frozen=True, slots=True)
class Look:
    """What has to be known of a few customers, asked for all at once."""

    settler: "Settler"
    active: _Active
    customer_ids: Sequence[str]
    now: datetime
    state: Statement

    @property
    def calls(self) -> list[Call]:
        theirs = [texts(self.customer_ids)]
        read = self.active.read.of(self.customer_ids, as_of=self.now)
        return [(self.state, [MEMBERSHIPS_LOCK]), (_ACTIVE, []), (_STANDING, theirs), read]

    def answered(self, answers: Sequence[Rows]) -> list[Call] | None:
        """What brings their memberships up to date; null where that takes more."""
        ((locked, has_receivers, newest),), versions, states, rows = answers
        # Somebody who was evaluated since this began: with facts perhaps that are not seen from here.
        overtaken = any(row[6] > self.now for row in states)
        foreign = [row[0] for row in rows if row[-2]]
        self.settler.remember_foreign(foreign)
        if not locked or overtaken or foreign or frozenset(versions) != self.active.numbers:
            return None
        standing = {(row[0], row[1]): (Standing(row[2], row[3], orjson.loads(row[4])), row[5]) for row in states}
        found = self.active.assigned([row[:-2] for row in rows])
        dues = due.calls([row[0] for row in rows], [row[-1] for row in rows], whole=True)
        return [*self._noting(newest), *changes(standing, found, now=self.now, announcing=has_receivers), *dues]

    def _noting(self, newest: datetime | None) -> Iterator[Call]:
        if newest is None or newest < self.now - due.NOTED_EVERY:
            news = "-infinity" if newest is None else (newest + due.NOTED_EVERY).isoformat()
            yield _NOTE, [self.now, texts(self.customer_ids), news]


@dataclass(slots=True)
class Settler:
    """Settles for one process, which remembers the versions that were active the last time."""

    reporting: Reporting
    assigners: Assigners
    _active: _Active | None = None
    _foreign: set[str] = field(default_factory=set)

    async def settle(self, session: Session, customer_ids: Sequence[str], *, now: datetime) -> bool:
        """Bring these customers up to date; needs the shared lock of people, which every intake holds.

        False where others are writing memberships and that may take a while: they are for the dirty set then.
        """
        look = self._look(customer_ids, now, _STATE_AT_ONCE)
        calls = None if look is None else look.answered(await run(session, *look.calls))
        if calls is None:
            return await self._the_long_way(session, customer_ids, now=now)
        await run(session, *calls)
        return True

    def look_at(self, customer_ids: Sequence[str], *, now: datetime) -> Look | None:
        """The same for a transaction of somebody else's, who holds that lock; null: it takes more than a look.

        It takes its turn among writers of memberships: for sessions that wait for no lock for long.
        """
        return self._look(customer_ids, now, _STATE_IN_TURN)

    def _look(self, customer_ids: Sequence[str], now: datetime, state: Statement) -> Look | None:
        active = self._active
        if active is None or not self._foreign.isdisjoint(customer_ids):
            return None
        return Look(self, active, customer_ids, now, state)

    def remember_foreign(self, customer_ids: Sequence[str]) -> None:
        """Customers with amounts in another currency: to look at them quickly would be in vain."""
        if len(self._foreign) > FOREIGN_AT_MOST:
            self._foreign.clear()
        self._foreign.update(customer_ids)

    async def _the_long_way(self, session: Session, customer_ids: Sequence[str], *, now: datetime) -> bool:
        if not await try_lock_memberships(session):
            return False
        await due.note_facts(session, customer_ids, now=now)
        versions = await repository.active_versions(session)
        working = await self.assigners.of_all(session, versions)
        self._active = None
        if len(apart(working)) <= 1 and not any(each.assigner.asks for each in working):
            numbers = frozenset((each.segmentation_id, each.version) for each in versions)
            read = features.small_read(session.dialect, features_of(working), derived_of(working), self.reporting)
            self._active = _Active.of(working, numbers, read)
        await evaluate_now(session, customer_ids, now=now, reporting=self.reporting, assigners=self.assigners)
        return True
