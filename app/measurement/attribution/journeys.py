"""Journeys in SQL: outcomes with the touches that led to them, and touches that led nowhere, as distinct paths."""

from dataclasses import dataclass
from datetime import timedelta
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
    Uuid,
    and_,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.measurement.attribution.definitions import CONVERSIONS, NO_TOUCHES, TOUCHES_KEPT
from app.measurement.attribution.question import Question
from app.measurement.campaigns.units import units
from app.measurement.spells import with_segment
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.events import events
from app.tables.transactions import transactions

_t, _e = transactions.c, events.c
_INSTANT, _CODES = DateTime(timezone=True), ARRAY(Integer)
_SECONDS_OF_DAY = 86_400
_MOMENT = timedelta(microseconds=1)
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


@dataclass(frozen=True, slots=True)
class Sources:
    """What journeys are made of, each read once.

    touches: one row per touch, with customer_id, at, name and what orders touches of one instant: source, event_id.
    names: one row per name, with its code, from 1 in their order. outcomes: one row per outcome in the window, with its
    number n, which goes up by one within a customer as time passes. before: one row per customer with an outcome in
    the look-back before the window, with the last such instant: what was met until then led to that one.
    """

    touches: CTE
    names: CTE
    outcomes: CTE
    before: Subquery


def distinct_paths(question: Question, *, names_at_most: int, paths_at_most: int) -> Select[Any]:
    """Names of what was touched, and distinct paths of journeys, no order.

    One row per name; all else is null. One row per path: segment_id, path, ages, converted (journeys with an outcome),
    amount, unconverted (those without a rate), open (journeys without an outcome, where asked for). path: places of
    names in their order, from 1, from the last touch back, at most TOUCHES_KEPT; null: outcomes without a touch. ages:
    whole days from each touch to the outcome; null where nobody asked.
    """
    treated = None if question.treated is None else _treated(question)
    touches = _touches(question, treated)
    every = _outcomes(question, treated)
    sources = Sources(
        touches, _names(touches, at_most=names_at_most), _numbered(question, every), _before(question, every)
    )
    led = _led(question, sources)
    journeys = [_with_outcome(question, sources, led)]
    if question.needs_nulls:
        journeys.append(_without_outcome(question, sources, led))
    one = union_all(*journeys).subquery("one").c
    keys = (one.segment_id, one.path, one.ages)
    counts = (
        func.count().filter(one.has_outcome).label("converted"),
        func.sum(one.amount).label("amount"),
        func.count().filter(one.has_outcome, one.amount.is_(None)).label("unconverted"),
        func.count().filter(~one.has_outcome).label("open"),
    )
    paths = select(*keys, *counts).group_by(*keys).limit(paths_at_most).subquery("paths")
    nothing = [cast(null(), column.type).label(column.name) for column in paths.c]
    listed = select(sources.names.c.name, *nothing)
    return select(union_all(listed, select(cast(null(), Text), *paths.c)).subquery("found"))


def _who(customer_id: ColumnElement[str]) -> tuple[ColumnElement[Any], ColumnElement[str]]:
    """A customer to sort by: numbers are compared faster than identifiers that begin alike."""
    return func.hashtextextended(customer_id, literal_column("0")), customer_id


def _touches(question: Question, treated: CTE | None) -> CTE:
    columns: list[ColumnElement[Any]]
    columns = [_e.customer_id, _e.occurred_at.label("at"), unit(question).label("name"), _e.source, _e.event_id]
    joined, columns = _of_treated(events, columns, treated)
    return select(*columns).select_from(joined).where(is_touch(question)).cte("touches")


def _names(touches: CTE, *, at_most: int) -> CTE:
    name = select(touches.c.name).distinct().order_by(touches.c.name).limit(at_most).subquery("name").c.name
    return select(name, cast(func.row_number().over(order_by=name), Integer).label("code")).cte("names")


def _outcomes(question: Question, treated: CTE | None) -> CTE:
    """One row per outcome since the look-back of the window's first instant."""
    source: FromClause = events
    c, identifier = _e, _e.event_id
    amount: ColumnElement[Any] = cast(literal(0), Numeric)
    if question.has_money:
        c, identifier = _t, _t.transaction_id
        source, amount = priced(question)
    window = question.window
    columns: list[ColumnElement[Any]]
    columns = [
        c.customer_id,
        c.occurred_at.label("at"),
        amount.label("amount"),
        c.source,
        identifier.label("identifier"),
    ]
    joined, columns = _of_treated(source, columns, treated)
    query = select(*columns).select_from(joined)
    return query.where(
        is_outcome(question),
        c.customer_id.is_not(None),
        c.occurred_at >= window.start - question.look_back,
        c.occurred_at < window.end,
    ).cte("every_outcome")


def _numbered(question: Question, every: CTE) -> CTE:
    e = every.c
    in_order = func.row_number().over(order_by=(*_who(e.customer_id), e.at, e.source, e.identifier))
    return select(*e, in_order.label("n")).where(e.at >= question.window.start).cte("outcomes")


def _before(question: Question, every: CTE) -> Subquery:
    e = every.c
    last = select(e.customer_id, func.max(e.at).label("at")).where(e.at < question.window.start)
    return last.group_by(e.customer_id).subquery("before")


def _of_treated(
    source: FromClause, columns: list[ColumnElement[Any]], treated: CTE | None
) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Only what the treated did, with the time in which it counts."""
    if treated is None:
        return source, columns
    t = treated.c
    return source.join(treated, t.customer_id == columns[0]), [*columns, t.since, t.until]


def _counts(question: Question, row: Any, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether what happened then is in the window and, of somebody treated, in the time of the comparison."""
    inside = at >= question.window.start
    return inside if question.treated is None else and_(inside, at >= row.since, at < row.until)


def _led(question: Question, sources: Sources) -> CTE:
    """One row per touch that led to no outcome before the window: n and closed_at of the first outcome in the window
    that is not before it, nulls where there is none; and whether its customer is lost: has no outcome that counts."""
    t, o, before = sources.touches.c, sources.outcomes.c, sources.before.c
    times = (
        select(
            o.customer_id,
            func.min(o.n).label("first"),
            func.array_agg(aggregate_order_by(o.at, o.n), type_=ARRAY(_INSTANT)).label("times"),
        )
        .group_by(*_who(o.customer_id))
        .having(func.bool_or(_counts(question, o, o.at)))
        .subquery("times")
    )
    # A search among the times of one customer: comparing each touch with each outcome takes the product of both.
    earlier = func.width_bucket(t.at - _MOMENT, times.c.times, type_=Integer)
    joined = sources.touches.outerjoin(times, times.c.customer_id == t.customer_id)
    joined = joined.outerjoin(sources.before, before.customer_id == t.customer_id)
    columns = (
        (times.c.first + earlier).label("n"),
        times.c.times[earlier + 1].label("closed_at"),
        times.c.first.is_(None).label("lost"),
    )
    query = select(*t, *columns).select_from(joined)
    return query.where(or_(before.at.is_(None), t.at > before.at)).cte("led")


def _with_outcome(question: Question, sources: Sources, led: CTE) -> Select[Any]:
    """One row per outcome that counts: segment_id, path, ages, has_outcome, amount."""
    t, o = led.c, sources.outcomes.c
    age = cast(func.floor(func.extract("epoch", t.closed_at - t.at) / _SECONDS_OF_DAY), Integer)
    ages = _latest(age, t) if question.needs_ages else cast(null(), _CODES)
    path = (
        select(t.n, _latest(sources.names.c.code, t).label("path"), ages.label("ages"))
        .join(sources.names, sources.names.c.name == t.name)
        .where(t.at >= t.closed_at - question.look_back)
        .group_by(t.n)
        .subquery("path")
    )
    joined, segment = _in_segment(question, sources.outcomes.outerjoin(path, path.c.n == o.n), o.customer_id, o.at)
    columns = (segment, path.c.path, path.c.ages, true().label("has_outcome"), o.amount)
    return select(*columns).select_from(joined).where(_counts(question, o, o.at))


def _without_outcome(question: Question, sources: Sources, led: CTE) -> Select[Any]:
    """The same, one row per customer who is lost: the touches of the look-back that ends with the last of them."""
    t, names = led.c, sources.names
    last = func.max(t.at).over(partition_by=_who(t.customer_id), order_by=_backwards(t)).label("last")
    every = (
        select(t.customer_id, t.at, t.source, t.event_id, names.c.code, last)
        .join(names, names.c.name == t.name)
        .where(t.lost, _counts(question, t, t.at))
        .subquery("every")
        .c
    )
    open_ = (
        select(every.customer_id, every.last, _latest(every.code, every).label("path"))
        .where(every.at >= every.last - question.look_back)
        .group_by(*_who(every.customer_id), every.last)
        .subquery("open")
    )
    joined, segment = _in_segment(question, open_, open_.c.customer_id, open_.c.last)
    columns = (segment, open_.c.path, cast(null(), _CODES), false(), cast(null(), Numeric))
    return select(*columns).select_from(joined)


def _in_segment(
    question: Question, joined: FromClause, customer_id: ColumnElement[Any], at: ColumnElement[Any]
) -> tuple[FromClause, ColumnElement[Any]]:
    """Journeys with the segment that their customer was in then, or null."""
    if question.segmentation_id is None:
        return joined, cast(null(), Uuid).label("segment_id")
    found, segment = with_segment(joined, question.segmentation_id, customer_id=customer_id, at=at)
    return found, segment.label("segment_id")


def _backwards(t: Any) -> tuple[ColumnElement[Any], ...]:
    return t.at.desc(), t.source.desc(), t.event_id.desc()


def _latest(what: ColumnElement[int], t: Any) -> ColumnElement[Any]:
    """Of the latest touches, the last first; touches of one instant in the order of their identifiers."""
    return func.array_agg(aggregate_order_by(what, *_backwards(t)), type_=_CODES)[1:TOUCHES_KEPT]


def _treated(question: Question) -> CTE:
    """One row per treated customer whose time is over, as the campaign's own results count them."""
    assert question.treated is not None
    everybody = units(question.treated).c
    columns = (everybody.customer_id, everybody.since, everybody.until)
    return select(*columns).where(everybody.arm > _HOLDOUT, everybody.mature).cte("treated")
