"""Features, assignment, memberships: the one course by which any number of customers is brought up to date."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from app.db.engine import Session
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns, Values
from app.modelling.features.compiler import Range, Reporting, Scope
from app.modelling.features.definitions import Feature
from app.modelling.features.derived import Derived
from app.modelling.segments import assignments, due
from app.modelling.segments.assigning import Assignment
from app.modelling.segments.assignments import Changes
from app.modelling.segments.working import Working, apart, derived_of, features_of

# Customers read, assigned and written at once: bounds memory and, where ranges commit, how long others wait.
AT_ONCE = 20_000


def chunks(customer_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(customer_ids), AT_ONCE):
        yield customer_ids[start : start + AT_ONCE]


async def next_range(session: Session, after: str) -> Range | None:
    """The next customers to work on after this identifier; null after the last."""
    upto = await features.end_of_range(session, after=after, size=AT_ONCE)
    return None if upto is None else Range(after, upto)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of customers, and as of when."""

    features: tuple[Feature, ...]
    derived: tuple[Derived, ...]
    as_of: datetime
    reporting: Reporting


async def read_columns(session: Session, reading: Reading, *, scope: Scope) -> FeatureColumns:
    """Features of the scope as columns. Raises MissingRates."""
    read = await features.read(
        session,
        reading.features,
        scope=scope,
        as_of=reading.as_of,
        reporting=reading.reporting,
        derived=reading.derived,
    )
    if read.unrated:
        await features.refuse_missing_rates(session, scope=scope, as_of=reading.as_of, reporting=reading.reporting)
    return FeatureColumns.of([*reading.features, *reading.derived], read.rows)


async def evaluate(
    session: Session, working: Sequence[Working], *, scope: Range, now: datetime, reporting: Reporting
) -> tuple[int, Changes]:
    """Bring the memberships of a range up to date by these versions; how many customers, what changed.

    Raises MissingRates. Needs lock_memberships and hold_people.
    """
    customers, total = 0, Changes(0, 0)
    for group in apart(working):
        read = await _read(session, group, scope, now, reporting)
        if read.unrated:
            await features.refuse_missing_rates(session, scope=scope, as_of=now, reporting=reporting)
        total += await write(session, group, read.columns, scope=scope, now=now)
        await due.set_due(session, read.columns.customer_ids, read.dues, whole=False)
        customers = len(read.columns.customer_ids)
    return customers, total


async def evaluate_known(
    session: Session, working: Sequence[Working], *, customer_ids: Sequence[str], now: datetime, reporting: Reporting
) -> frozenset[str]:
    """The same for customers by name, by everything that is active.

    Customers whose money cannot be added are left as they are; returns these. Needs lock_memberships and hold_people.
    """
    unrated: frozenset[str] = frozenset()
    for place, group in enumerate(apart(working)):
        read = await _read(session, group, customer_ids, now, reporting)
        unrated |= read.unrated
        scope = [each for each in customer_ids if each not in read.unrated]
        await write(session, group, read.columns, scope=scope, now=now)
        await due.set_due(session, read.columns.customer_ids, read.dues, whole=place == 0)
    return unrated


async def read_with_dues(
    session: Session, working: Working, *, scope: Range, as_of: datetime, reporting: Reporting
) -> tuple[FeatureColumns, list[datetime | None]]:
    """What a version reads of the scope, and when time alone changes it next. Raises MissingRates."""
    read = await _read(session, [working], scope, as_of, reporting)
    if read.unrated:
        await features.refuse_missing_rates(session, scope=scope, as_of=as_of, reporting=reporting)
    return read.columns, read.dues


@dataclass(frozen=True, slots=True)
class _Read:
    """Customers whose money can be added, when time alone changes them next, and the others."""

    columns: FeatureColumns
    dues: list[datetime | None]
    unrated: frozenset[str]


async def _read(
    session: Session, working: Sequence[Working], scope: Scope, now: datetime, reporting: Reporting
) -> _Read:
    wanted, derived = features_of(working), derived_of(working)
    read = await features.read_with_next_change(
        session, wanted, scope=scope, as_of=now, reporting=reporting, derived=derived
    )
    rows, dues = read.rows, read.next_changes
    if read.unrated:
        rated = [place for place, row in enumerate(rows) if row[0] not in read.unrated]
        rows, dues = [rows[place] for place in rated], [dues[place] for place in rated]
    return _Read(FeatureColumns.of([*wanted, *derived], rows), dues, read.unrated)


async def write(
    session: Session,
    working: Sequence[Working],
    columns: FeatureColumns,
    *,
    scope: Scope,
    now: datetime,
) -> Changes:
    """Assign these customers by every version, and make their memberships so.

    What a version says is what those see that ask about it.
    """
    total = Changes(0, 0)
    values = dict(columns.values)
    for each in working:
        await assignments.begin(session)
        assignment = each.assigner.assign(values)
        await assignments.add(session, each.version, assignment, columns.customer_ids)
        total += await assignments.apply(session, each.version, scope=scope, now=now)
        values |= _answers(each, assignment, working, len(columns.customer_ids))
    return total


def _answers(said: Working, assignment: Assignment, working: Sequence[Working], customers: int) -> Values:
    """The columns of those who ask about segments of a version."""
    own = said.version.segmentation_id
    asks = {ask for each in working for ask in each.assigner.asks if ask.segmentation_id == own}
    if not asks:
        return {}
    keys = said.assigner.keys
    labels = assignment.labels(keys, customers)
    return {
        ask.name: (labels == keys.index(ask.key)).astype(np.float64) if ask.key in keys else np.zeros(customers)
        for ask in asks
    }


async def assign(session: Session, working: Working, columns: FeatureColumns) -> None:
    """Assign customers by a version, beside what this transaction assigned before; nothing is applied yet."""
    assignment = working.assigner.assign(columns.values)
    await assignments.add(session, working.version, assignment, columns.customer_ids)
