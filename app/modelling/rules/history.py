"""What conditions ask of histories, as SQL: how often, what followed, which segment, what was decided by hand.

Every figure is the number of spans (enter, leave] that hold as_of: a fact enters a count just after it happened, because
only facts strictly before as_of are known, and leaves it just after its window is over. So the next change by time
alone is the first microsecond after an end of a span at which more spans begin than end, or fewer.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Exists,
    FromClause,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from app.modelling.features.compiler import AS_OF
from app.modelling.features.derived import Derived
from app.modelling.rules.conditions import Deed, Did, DidThen, InSegment
from app.tables.customers import customers
from app.tables.events import events
from app.tables.segments import memberships, segment_exceptions, segments
from app.tables.transactions import TRANSACTION_KINDS, transaction_items, transactions

# The resolution of timestamptz: nothing lies between an instant and the next.
TICK = timedelta(microseconds=1)
NEVER = cast(null(), DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts of one kind: a table under a name of its own, and which of its rows they are."""

    rows: FromClause
    chosen: ColumnElement[bool]

    @property
    def at(self) -> ColumnElement[Any]:
        return self.rows.c.occurred_at

    @property
    def owner(self) -> ColumnElement[Any]:
        return self.rows.c.customer_id


def column_of(condition: Did | DidThen | InSegment) -> Derived:
    """The figure that decides a condition, for one customer as of an instant."""
    match condition:
        case Did(deed):
            expression, spans = _count(deed)
        case DidThen():
            expression, spans = _sequence(condition)
        case InSegment():
            expression, spans = _membership(condition)
    return Derived(condition.name, "number", expression, _next_change(spans))


def by_hand(segmentation_id: UUID) -> Derived:
    """What was decided by hand, as `effect:key` with commas between; null: nothing. Time alone never changes it."""
    e = segment_exceptions.c
    said = e.effect + literal(":", Text) + e.key
    text = (
        select(func.string_agg(said, aggregate_order_by(literal(",", Text), e.effect, e.key)))
        .where(e.segmentation_id == segmentation_id, e.customer_id == customers.c.customer_id)
        .correlate(customers)
        .scalar_subquery()
    )
    return Derived(f"by_hand_{segmentation_id.hex}", "category", text)


def _facts(deed: Deed) -> _Facts:
    # Values become bind parameters of the column's type: text of a rule is never part of a statement.
    is_transaction = deed.type in TRANSACTION_KINDS
    rows = (transactions if is_transaction else events).alias()
    chosen = [(rows.c.kind if is_transaction else rows.c.type) == deed.type]
    if deed.type == "purchase":
        # As purchase_count has it: one of amount 0 is activity and no purchase.
        chosen.append(rows.c.amount_minor > 0)
    if deed.channel is not None:
        chosen.append(rows.c.channel == deed.channel)
    if deed.campaign_id is not None:
        chosen.append(rows.c.campaign_id == deed.campaign_id)
    if deed.product_id is not None:
        chosen.append(_has_line(rows, deed.product_id) if is_transaction else _names_product(rows, deed.product_id))
    return _Facts(rows, and_(*chosen))


def _has_line(rows: FromClause, product_id: str) -> Exists:
    line = transaction_items.alias()
    same = and_(line.c.source == rows.c.source, line.c.transaction_id == rows.c.transaction_id)
    return exists().where(same, line.c.product_id == product_id).correlate(rows)


def _names_product(rows: FromClause, product_id: str) -> ColumnElement[bool]:
    return rows.c.properties.op("->>", return_type=Text())(literal("product_id", Text)) == literal(product_id, Text)


def _days(days: int) -> timedelta:
    return timedelta(days=days)


def _of_customer(facts: _Facts, *columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).where(facts.owner == customers.c.customer_id, facts.chosen).correlate(customers)


def _count(deed: Deed) -> tuple[ColumnElement[Any], Select[Any]]:
    facts = _facts(deed)
    expression = _of_customer(facts, func.count()).where(facts.at < AS_OF)
    later = _facts(deed)
    leave = NEVER if deed.within_days is None else later.at + _days(deed.within_days)
    spans = _of_customer(later, later.at.label("enter"), leave.label("leave"))
    if deed.within_days is None:
        return expression.scalar_subquery(), spans.where(later.at >= AS_OF)
    oldest = AS_OF - _days(deed.within_days)
    return expression.where(facts.at >= oldest).scalar_subquery(), spans.where(later.at >= oldest)


def _sequence(asked: DidThen) -> tuple[ColumnElement[Any], Select[Any]]:
    first, window = _facts(asked.first), asked.first.within_days
    expression = _of_customer(first, func.count()).where(_is_decided(asked, first))
    if window is not None:
        expression = expression.where(first.at >= AS_OF - _days(window))
    later = _facts(asked.first)
    enter = _first_answer(asked, later) if asked.follows else later.at + _days(asked.within_days)
    leave = NEVER if window is None else later.at + _days(window)
    # Without a window of its own a first changes nothing any more once the time for an answer is over.
    spans = _of_customer(later, enter.label("enter"), leave.label("leave")).where(
        later.at >= AS_OF - _days(asked.within_days if window is None else window)
    )
    if not asked.follows:
        spans = spans.where(~_answered(asked, later))
    return expression.scalar_subquery(), spans


def _is_decided(asked: DidThen, first: _Facts) -> ColumnElement[bool]:
    """Whether it is known at as_of that the first was answered, or that it was not and no answer can come any more."""
    if asked.follows:
        return and_(first.at < AS_OF, _answered(asked, first, known_only=True))
    return and_(first.at < AS_OF - _days(asked.within_days), ~_answered(asked, first))


def _answers(asked: DidThen, first: _Facts, answer: _Facts) -> ColumnElement[bool]:
    in_time = and_(answer.at > first.at, answer.at <= first.at + _days(asked.within_days))
    return and_(answer.owner == first.owner, answer.chosen, in_time)


def _answered(asked: DidThen, first: _Facts, *, known_only: bool = False) -> Exists:
    answer = _facts(asked.then)
    found = exists().where(_answers(asked, first, answer)).correlate(first.rows)
    return found.where(answer.at < AS_OF) if known_only else found


def _first_answer(asked: DidThen, first: _Facts) -> ScalarSelect[Any]:
    answer = _facts(asked.then)
    return select(func.min(answer.at)).where(_answers(asked, first, answer)).correlate(first.rows).scalar_subquery()


def _membership(asked: InSegment) -> tuple[ColumnElement[Any], Select[Any]]:
    def of_segment(*columns: ColumnElement[Any]) -> tuple[FromClause, Select[Any]]:
        member, segment = memberships.alias(), segments.alias()
        named = and_(segment.c.segment_id == member.c.segment_id, segment.c.key == asked.key)
        of_customer = member.c.customer_id == customers.c.customer_id
        segmentation = member.c.segmentation_id == literal(asked.segmentation_id, Uuid)
        return member, select(*columns).where(named, of_customer, segmentation).correlate(customers)

    member, found = of_segment(literal(1))
    now = and_(member.c.valid_from <= AS_OF, or_(member.c.valid_to.is_(None), member.c.valid_to > AS_OF))
    expression = case((found.where(now).exists(), 1), else_=0)
    # [from, to) of instants is what (from - 1 tick, to - 1 tick] is.
    member, spans = of_segment()
    ends = [(member.c.valid_from - TICK).label("enter"), (member.c.valid_to - TICK).label("leave")]
    return expression, spans.add_columns(*ends)


def _next_change(spans: Select[Any]) -> ColumnElement[Any]:
    """The first instant after as_of at which the number of spans around it is another."""
    span = spans.subquery()
    ends = (
        select(
            func.unnest(array([span.c.enter, span.c.leave])).label("at"),
            func.unnest(array([literal(1), literal(-1)])).label("step"),
        )
        # What was over before it began, or never begins, was never counted.
        .where(span.c.enter.is_not(None), or_(span.c.leave.is_(None), span.c.enter < span.c.leave))
        .subquery()
    )
    changes = select(ends.c.at).where(ends.c.at >= AS_OF).group_by(ends.c.at).having(func.sum(ends.c.step) != 0)
    return select(func.min(changes.subquery().c.at) + TICK).scalar_subquery()
