"""Facts as SQL expressions: transactions, each with its period, its groups and its amount in the reporting currency."""

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)

from app.measurement.kpis.question import Question
from app.tables.conversion import RATE_STAYS_GOOD_DAYS, in_reporting_currency, reporting_day, reporting_rates
from app.tables.segments import memberships, segments
from app.tables.transactions import transactions

_INSTANT = DateTime(timezone=True)


def counted(question: Question, source: FromClause) -> ColumnElement[bool]:
    """Which transactions count at all: those in the window, of the asked customers, with an amount above 0."""
    c, window = source.c, question.window
    conditions = [c.amount_minor > 0, c.occurred_at >= window.start, c.occurred_at < window.end]
    if question.customers != "all":
        known = question.customers == "known"
        conditions.append(c.customer_id.is_not(None) if known else c.customer_id.is_(None))
    return and_(*conditions)


def facts(
    question: Question, source: FromClause, *conditions: ColumnElement[bool], converted: bool = False
) -> Subquery:
    """One row per row of `source`, which has at least customer_id and occurred_at: those, the period, the groups.

    Periods count from 1. A group is null where a fact has none: no channel, no campaign, no segment at that time.
    Rows of transactions also carry their kind and `amount`, which is null where no rate was given; `converted` says
    that rates are to be looked for.
    """
    rates = _rates_by_day(question.reporting.currency) if converted else None
    columns = [source.c.customer_id, source.c.occurred_at, _period(question, source.c.occurred_at).label("period")]
    if source is transactions:
        columns += [source.c.kind, source.c.currency, _amount(question, rates).label("amount")]
    joined = source
    if rates is not None:
        day = reporting_day(source.c.occurred_at, question.reporting.zone)
        joined = joined.outerjoin(rates, and_(rates.c.currency == source.c.currency, rates.c.day == day))
    for dimension in question.group_by:
        if dimension == "segment":
            joined, group = _with_segment(joined, source, question)
        else:
            group = source.c.channel if dimension == "channel" else source.c.campaign_id
        columns.append(group.label(dimension))
    found = select(*columns).select_from(joined).where(*conditions)
    # The offset keeps PostgreSQL from converting an amount again for each sum over it.
    return found.offset(0).subquery() if converted else found.subquery()


def _period(question: Question, instant: ColumnElement[object]) -> ColumnElement[int]:
    # The edges are cut once, in Python; to search among them takes half of date_trunc's time or less.
    starts = [period.start for period in question.periods]
    if len(starts) == 1:
        return literal(1, Integer)
    return func.width_bucket(instant, bindparam(None, starts, ARRAY(_INSTANT)), type_=Integer)


def _amount(question: Question, rates: CTE | None) -> ColumnElement[object]:
    t, currency = transactions.c, question.reporting.currency
    if rates is None:
        return case((t.currency == currency, t.amount_minor))
    return in_reporting_currency(t.amount_minor, t.currency, reporting=currency, rates=rates)


def _rates_by_day(currency: str) -> CTE:
    """Per foreign currency and day: the factor. Stretches would be compared with each fact; days are looked up."""
    stretch = reporting_rates(currency).c
    later = func.generate_series(0, RATE_STAYS_GOOD_DAYS).column_valued("later")
    day = cast(stretch.valid_from + later, Date)
    return select(stretch.currency, day.label("day"), stretch.factor).where(day < stretch.valid_to).cte("rates_by_day")


def _with_segment(
    joined: FromClause, source: FromClause, question: Question
) -> tuple[FromClause, ColumnElement[object]]:
    """Every fact with the segment its customer was in at that time, or null."""
    spell = _spells(question)
    then = and_(
        spell.c.customer_id == source.c.customer_id,
        source.c.occurred_at >= spell.c.starts_at,
        source.c.occurred_at < spell.c.ends_at,
    )
    return joined.outerjoin(spell, then), spell.c.segment_id


def _spells(question: Question) -> Subquery:
    """Per customer and stretch of time [starts_at, ends_at) in a segment: never two at one time.

    The first reaches back to the beginning of time: a segmentation made today speaks about the past, too.
    """
    m = memberships.c
    before = func.lag(m.valid_from).over(partition_by=m.customer_id, order_by=m.valid_from)
    after = func.lead(m.valid_from).over(partition_by=m.customer_id, order_by=m.valid_from)
    return (
        select(
            m.customer_id,
            m.segment_id,
            case((before.is_(None), _forever("-infinity")), else_=m.valid_from).label("starts_at"),
            func.least(func.coalesce(m.valid_to, _forever("infinity")), after).label("ends_at"),
        )
        .join(segments, and_(segments.c.segment_id == m.segment_id, segments.c.segmentation_id == m.segmentation_id))
        .where(m.segmentation_id == question.segmentation_id)
        .subquery("spells")
    )


def _forever(which: str) -> ColumnElement[object]:
    return cast(literal(which, type_=Text), _INSTANT)
