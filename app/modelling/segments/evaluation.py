"""Features, assignment, memberships: the one course by which any number of customers is brought up to date."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from app.db.engine import Session
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns, Values, joined
from app.modelling.features.compiler import Range, Reporting, Scope
from app.modelling.features.definitions import Feature, features_named
from app.modelling.segments import assignments
from app.modelling.segments.assignments import Changes
from app.modelling.segments.methods import method_named
from app.modelling.segments.profile import REVENUE
from app.modelling.segments.repository import Version

# Customers read, assigned and written at once: bounds memory and, where ranges commit, how long others wait.
AT_ONCE = 20_000


def features_of(*method_names: str) -> tuple[Feature, ...]:
    """The features that these methods read."""
    return features_named(dict.fromkeys(name for each in method_names for name in method_named(each).features))


def chunks(customer_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(customer_ids), AT_ONCE):
        yield customer_ids[start : start + AT_ONCE]


async def next_range(session: Session, after: str) -> Range | None:
    """The next customers to work on after this identifier; null after the last."""
    upto = await features.end_of_range(session, after=after, size=AT_ONCE)
    return None if upto is None else Range(after, upto)


async def read_columns(
    session: Session, wanted: tuple[Feature, ...], *, scope: Scope, as_of: datetime, reporting: Reporting
) -> FeatureColumns:
    """Features of the scope as columns. Raises MissingRates."""
    read = await features.read(session, wanted, scope=scope, as_of=as_of, reporting=reporting)
    if read.unrated:
        await features.refuse_missing_rates(session, scope=scope, as_of=as_of, reporting=reporting)
    return FeatureColumns.of([feature.name for feature in wanted], read.rows)


async def evaluate(
    session: Session, versions: Sequence[Version], *, scope: Scope, now: datetime, reporting: Reporting
) -> tuple[int, Changes]:
    """Bring the memberships of the scope up to date by every version given; how many customers, what changed.

    Raises MissingRates. Needs lock_memberships and hold_people.
    """
    wanted = features_of(*(version.method for version in versions))
    columns = await read_columns(session, wanted, scope=scope, as_of=now, reporting=reporting)
    return len(columns.customer_ids), await write(session, versions, columns, scope=scope, now=now)


async def evaluate_known(
    session: Session, versions: Sequence[Version], *, customer_ids: Sequence[str], now: datetime, reporting: Reporting
) -> frozenset[str]:
    """The same for customers by name, leaving those as they are whose money cannot be added; returns these.

    Needs lock_memberships and hold_people.
    """
    wanted = features_of(*(version.method for version in versions))
    read = await features.read(session, wanted, scope=customer_ids, as_of=now, reporting=reporting)
    rated = [row for row in read.rows if row[0] not in read.unrated]
    columns = FeatureColumns.of([feature.name for feature in wanted], rated)
    scope = [each for each in customer_ids if each not in read.unrated]
    await write(session, versions, columns, scope=scope, now=now, confirm=True)
    return read.unrated


async def write(
    session: Session,
    versions: Sequence[Version],
    columns: FeatureColumns,
    *,
    scope: Scope,
    now: datetime,
    confirm: bool = False,
) -> Changes:
    """Assign these customers by every version, and make their memberships so."""
    closed = begun = 0
    for version in versions:
        await assignments.begin(session)
        await assign(session, version, columns)
        changes = await assignments.apply(session, version, scope=scope, now=now, confirm=confirm)
        closed, begun = closed + changes.closed, begun + changes.begun
    return Changes(closed, begun)


async def assign(session: Session, version: Version, columns: FeatureColumns) -> None:
    """Assign customers by a version, beside what this transaction assigned before; nothing is applied yet."""
    assignment = method_named(version.method).assign(columns.values, version.model)
    await assignments.add(session, version, assignment, columns.customer_ids)


def everybody(method_name: str) -> tuple[Feature, ...]:
    """What is read of the whole population to learn from it or to describe it."""
    return features_named(dict.fromkeys((*method_named(method_name).features, REVENUE)))


def together(parts: Sequence[Values], method_name: str) -> Values:
    return joined(parts, [feature.name for feature in everybody(method_name)])
