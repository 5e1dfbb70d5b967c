"""Who counts in a campaign's comparison: assigned customers as SQL, through merges, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    SmallInteger,
    Subquery,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from app.db.engine import Session
from app.tables.campaigns import campaign_assignments
from app.tables.customers import customer_aliases
from app.tables.segments import memberships

_a, _x, _m = campaign_assignments.c, customer_aliases.c, memberships.c
_INSTANT = DateTime(timezone=True)


@dataclass(frozen=True, slots=True)
class Span:
    """Whose deeds count and when: from assignment on for so many days, never beyond the campaign's end or as_of.

    merged: names that were merged away are assigned; where none is, each assignment is a person. since: the one instant
    at which everybody was assigned; null: several.
    """

    campaign_id: str
    arms: tuple[str, ...]
    ends_at: datetime
    window_days: int | None
    as_of: datetime
    segmentation_id: UUID | None = None
    merged: bool = True
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Customers by the bytes of their identifiers: after one, up to and with another; null: to the end."""

    after: str
    upto: str | None

    def holds(self, customer_id: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether a customer is among them. To be said of each table: PostgreSQL passes on no inequalities."""
        begun = customer_id > self.after
        return begun if self.upto is None else and_(begun, customer_id <= self.upto)


EVERYBODY = Stretch("", None)


async def has_merged(session: Session, campaign_id: str) -> bool:
    """Whether a name that was merged away is assigned."""
    found = select(_x.alias).join(campaign_assignments, _a.customer_id == _x.alias)
    return bool(await session.scalar(select(found.where(_a.campaign_id == campaign_id).exists())))


def merged_into(campaign_id: str, stretch: Stretch) -> Select[Any]:
    """The surviving customers of a stretch of whom a name that was merged away is assigned; perhaps more than once."""
    names = _names(select(_x.alias).where(stretch.holds(_x.customer_id)))
    mine = select(_a.customer_id).where(_a.campaign_id == campaign_id, _a.customer_id == any_(names)).subquery("mine")
    return select(_x.customer_id).join(mine, mine.c.customer_id == _x.alias).where(stretch.holds(_x.customer_id))


def _names(query: Select[Any]) -> ColumnElement[Any]:
    """As an array: few names are looked up in an index then, however many are assigned."""
    return func.array(query.scalar_subquery(), type_=ARRAY(Text(collation="C")))


def _touched(span: Span, stretch: Stretch) -> CTE:
    """All names of persons of whom a name that was merged away is assigned: few, as a rule."""
    persons = merged_into(span.campaign_id, stretch).distinct().cte()
    own = select(persons.c.customer_id, persons.c.customer_id.label("name"))
    others = select(persons.c.customer_id, _x.alias).join(customer_aliases, _x.customer_id == persons.c.customer_id)
    return union_all(own, others).cte()


def _together(span: Span, touched: CTE) -> Select[Any]:
    """One row per touched person: the assignments of all their names as one."""
    return (
        select(
            touched.c.customer_id,
            func.min(_a.arm).label("arm"),
            func.min(_a.assigned_at).label("since"),
            (func.min(_a.arm) != func.max(_a.arm)).label("mixed"),
            cast(func.count() - 1, Integer).label("further"),
            func.bool_or(_a.crossed_over).label("crossed_over"),
        )
        .join(touched, touched.c.name == _a.customer_id)
        .where(_a.campaign_id == span.campaign_id, _a.customer_id == any_(_names(select(touched.c.name))))
        .group_by(touched.c.customer_id)
    )


def people(span: Span, stretch: Stretch = EVERYBODY) -> Subquery:
    """One row per assigned person who is known: customer_id, arm, since, mixed, further, crossed_over.

    customer_id is the surviving one; mixed: names of theirs are in several arms, so that they count in none; further:
    how many more names of theirs are assigned.
    """
    alone = select(
        _a.customer_id,
        _a.arm,
        _a.assigned_at.label("since"),
        literal(value=False).label("mixed"),
        literal(0, Integer).label("further"),
        _a.crossed_over,
    ).where(_a.campaign_id == span.campaign_id, _a.customer_id.is_not(None))
    if stretch != EVERYBODY:
        alone = alone.where(stretch.holds(_a.customer_id))
    if not span.merged:
        return alone.subquery("people")
    touched = _touched(span, stretch)
    others = alone.where(~exists().where(touched.c.name == _a.customer_id))
    return union_all(others, _together(span, touched)).subquery("people")


def _arm_number(arm: ColumnElement[str], arms: Sequence[str]) -> ColumnElement[int]:
    """An arm by its position: a number is grouped by faster than a word."""
    return cast(case(*((arm == name, place) for place, name in enumerate(arms)), else_=-1), SmallInteger)


def _ends(span: Span, since: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """When the window of somebody assigned then is over."""
    end = literal(span.ends_at, _INSTANT)
    if span.window_days is None:
        return end
    # Days by hours, which are the same in UTC: adding days asks the calendar, each time.
    return func.least(since + func.make_interval(0, 0, 0, 0, span.window_days * 24), end)


def _is_mature(span: Span, since: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a person counts yet: their window is over or, without windows of their own, they are assigned."""
    if span.window_days is None:
        return since <= literal(span.as_of, _INSTANT)
    if span.ends_at <= span.as_of:
        return literal(value=True)
    return since <= literal(span.as_of - timedelta(days=span.window_days), _INSTANT)


def units(span: Span) -> Subquery:
    """One row per person: those of people, the arm as its number, until, mature, and the segment_id where asked for.

    Deeds in [since, until) count. segment_id: the segment of the segmentation that they were in when assigned, or null.
    """
    everybody = people(span)
    p = everybody.c
    # What is the same for all is said to the planner as one value, which it compares with each deed while reading.
    since = p.since if span.since is None else literal(span.since, _INSTANT)
    columns = [
        p.customer_id,
        _arm_number(p.arm, span.arms).label("arm"),
        since.label("since"),
        func.least(_ends(span, since), literal(span.as_of, _INSTANT)).label("until"),
        _is_mature(span, since).label("mature"),
        p.mixed,
        p.further,
        p.crossed_over,
    ]
    if span.segmentation_id is None:
        return select(*columns).subquery("units")
    then = and_(
        _m.customer_id == p.customer_id,
        _m.segmentation_id == span.segmentation_id,
        _m.valid_from <= p.since,
        or_(_m.valid_to.is_(None), _m.valid_to > p.since),
    )
    query = select(*columns, _m.segment_id).join_from(everybody, memberships, then, isouter=True)
    return query.subquery("units")
