"""Journeys in SQL: outcomes with the touches that led to them, and touches that led nowhere, as distinct paths."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.measurement.attribution.definitions import CONVERSIONS, NO_TOUCHES, TOUCHES_KEPT
from app.measurement.attribution.question import Question
from app.measurement.campaigns.units import units
from app.measurement.spells import with_segment
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.events import events
from app.tables.segments import memberships
from app.tables.transactions import transactions

_t, _e, _m = transactions.c, events.c, memberships.c
_INSTANT = DateTime(timezone=True)
_SECONDS_OF_DAY = 86_400
# Arms by number, the holdout first.
_HOLDOUT = 0


def unit(question: Question) -> ColumnElement[str]:
    """What gets the credit."""
    return _e.channel if question.by == "channel" else _e.campaign_id


def is_touch(question: Question) -> ColumnElement[bool]:
    """Events that are touchpoints of known customers, as early as a journey may begin."""
    window = question.window
    return and_(
        _e.customer_id.is_not(None),
        unit(question).is_not(None),
        _e.type.not_in(NO_TOUCHES),
        _e.occurred_at >= window.start - question.look_back,
        _e.occurred_at < window.end,
    )


def _touches(question: Question, names: list[str]) -> CTE:
    """One row per touch: customer_id, at, code (the position of its channel among the names, from 1), tie."""
    listed = func.unnest(cast(names, ARRAY(Text))).table_valued("name", with_ordinality="code").render_derived("listed")
    code = cast(listed.c.code, Integer).label("code")
    columns = (_e.customer_id, _e.occurred_at.label("at"), code, _e.source, _e.event_id)
    return select(*columns).join(listed, listed.c.name == unit(question)).where(is_touch(question)).cte("touches")


def priced(question: Question) -> tuple[FromClause, ColumnElement[Any]]:
    """Transactions beside the rates of their day, and the amount in the reporting currency: null without a rate."""
    currency, zone = question.reporting.currency, question.reporting.zone
    rates = rates_by_day(currency)
    on_its_day = and_(rates.c.currency == _t.currency, rates.c.day == reporting_day(_t.occurred_at, zone))
    amount = in_reporting_currency(_t.amount_minor, _t.currency, reporting=currency, rates=rates)
    return transactions.outerjoin(rates, on_its_day), cast(amount, Numeric)


def is_outcome(question: Question) -> ColumnElement[bool]:
    """Facts that are outcomes, whoever's and whenever."""
    if question.outcome == "conversion":
        return _e.type.in_(CONVERSIONS)
    return and_(_t.kind == "purchase", _t.amount_minor > 0)


def outcomes(question: Question) -> CTE:
    """One row per outcome of a known customer in the window: customer_id, at, amount, previous (the outcome before it).

    previous is null where there is none within the look-back: it would end no journey.
    """
    joined: FromClause = events
    c, identifier = _e, _e.event_id
    amount: ColumnElement[Any] = cast(literal(0), Numeric)
    if question.has_money:
        c, identifier = _t, _t.transaction_id
        joined, amount = priced(question)
    window = question.window
    in_order = func.lag(c.occurred_at).over(partition_by=c.customer_id, order_by=(c.occurred_at, c.source, identifier))
    every = (
        select(c.customer_id, c.occurred_at.label("at"), amount.label("amount"), in_order.label("previous"))
        .select_from(joined)
        .where(
            is_outcome(question),
            c.customer_id.is_not(None),
            c.occurred_at >= window.start - question.look_back,
            c.occurred_at < window.end,
        )
        .subquery("every")
        .c
    )
    columns = (every.customer_id, every.at, every.amount, every.previous, func.row_number().over().label("journey"))
    query = select(*columns).where(every.at >= window.start)
    if question.treated is not None:
        treated = _treated(question)
        own = and_(treated.c.customer_id == every.customer_id, every.at >= treated.c.since, every.at < treated.c.until)
        query = query.where(own)
    return query.cte("outcomes")


def _treated(question: Question) -> Subquery:
    """One row per treated customer whose time is over, as the campaign's own results count them."""
    assert question.treated is not None
    everybody = units(question.treated).c
    columns = (everybody.customer_id, everybody.since, everybody.until)
    return select(*columns).where(everybody.arm > _HOLDOUT, everybody.mature).subquery("treated")


def with_outcome(question: Question, names: list[str]) -> Select[Any]:
    """One row per distinct path: segment_id, path, ages, journeys, amount, unconverted; no order.

    path: codes from the last touch back, at most TOUCHES_KEPT; null: outcomes without a touch. ages: whole days from
    each touch to the outcome; null where nobody asked.
    """
    closed, touches = outcomes(question), _touches(question, names)
    o, t = closed.c, touches.c
    led = and_(
        t.customer_id == o.customer_id,
        t.at <= o.at,
        t.at >= o.at - question.look_back,
        or_(o.previous.is_(None), t.at > o.previous),
    )
    joined: FromClause = closed.outerjoin(touches, led)
    age = cast(func.floor(func.extract("epoch", o.at - t.at) / _SECONDS_OF_DAY), Integer)
    segment: ColumnElement[Any] = null()
    if question.segmentation_id is not None:
        joined, segment = with_segment(joined, question.segmentation_id, customer_id=o.customer_id, at=o.at)
    one = (
        select(
            segment.label("segment_id"),
            o.amount,
            _latest(t.code, touches).filter(t.code.is_not(None))[1:TOUCHES_KEPT].label("path"),
            (_latest(age, touches)[1:TOUCHES_KEPT] if question.needs_ages else null()).label("ages"),
        )
        .select_from(joined)
        .group_by(o.journey, o.amount, *([segment] if question.segmentation_id is not None else []))
        .subquery("one")
        .c
    )
    keys = (one.segment_id, one.path, one.ages)
    sums = (func.count(), func.sum(one.amount), func.count().filter(one.amount.is_(None)))
    return select(*keys, *sums).group_by(*keys)


def without_outcome(question: Question, names: list[str]) -> Select[Any]:
    """One row per distinct path of a customer with touches but no outcome in the window: segment_id, path, journeys.

    A customer is one journey: the touches of the look-back that ends with the last of them.
    """
    closed, touches = outcomes(question), _touches(question, names)
    t = touches.c
    source: FromClause = touches
    conditions = [t.at >= question.window.start, ~exists().where(closed.c.customer_id == t.customer_id)]
    if question.treated is not None:
        treated = _treated(question)
        source = touches.join(treated, treated.c.customer_id == t.customer_id)
        conditions += [t.at >= treated.c.since, t.at < treated.c.until]
    last = func.max(t.at).over(partition_by=t.customer_id).label("last")
    open_ = select(*t, last).select_from(source).where(*conditions).subquery("open")
    joined: FromClause = open_
    segment: ColumnElement[Any] = null()
    if question.segmentation_id is not None:
        joined, segment = with_segment(
            joined, question.segmentation_id, customer_id=open_.c.customer_id, at=open_.c.last
        )
    one = (
        select(segment.label("segment_id"), _latest(open_.c.code, open_)[1:TOUCHES_KEPT].label("path"))
        .select_from(joined)
        .where(open_.c.at >= open_.c.last - question.look_back)
        .group_by(open_.c.customer_id, *([segment] if question.segmentation_id is not None else []))
        .subquery("one")
        .c
    )
    return select(one.segment_id, one.path, func.count()).group_by(one.segment_id, one.path)


def _latest(what: ColumnElement[int], touches: FromClause) -> Any:
    """Of every touch, the latest first; touches of one instant in the order of their identifiers."""
    t = touches.c
    backwards = (t.at.desc(), t.source.desc(), t.event_id.desc())
    return func.array_agg(aggregate_order_by(what, *backwards), type_=ARRAY(Integer))
