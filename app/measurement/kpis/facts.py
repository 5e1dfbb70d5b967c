"""Facts as SQL expressions: each with its period and its groups, transactions with their amount as it is reported."""

from collections.abc import Sequence

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Subquery,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
)

from app.measurement.kpis.question import Question
from app.measurement.spells import with_segment
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.transactions import transactions

_INSTANT = DateTime(timezone=True)


def counted(question: Question, source: FromClause) -> ColumnElement[bool]:
    """Which transactions count at all: those in the window, of the asked customers, with an amount above 0."""
    c = source.c
    conditions = [c.amount_minor > 0, inside(question, source)]
    if question.customers != "all":
        known = question.customers == "known"
        conditions.append(c.customer_id.is_not(None) if known else c.customer_id.is_(None))
    return and_(*conditions)


def inside(question: Question, source: FromClause) -> ColumnElement[bool]:
    """Which facts lie in the window."""
    return and_(source.c.occurred_at >= question.window.start, source.c.occurred_at < question.window.end)


def bought_by_known(source: FromClause) -> ColumnElement[bool]:
    """Which transactions are purchases, with an amount above 0, of customers who can be told apart."""
    c = source.c
    return and_(c.kind == "purchase", c.amount_minor > 0, c.customer_id.is_not(None))


def facts(
    question: Question,
    source: FromClause,
    *conditions: ColumnElement[bool],
    converted: bool = False,
    carried: Sequence[str] = (),
) -> Subquery:
    """One row per row of `source`, which has at least customer_id and occurred_at: those, the period, the groups.

    With the columns of `source` that are to be `carried` along.

    Periods count from 1. A group is null where a fact has none: no channel, no campaign, no segment at that time.
    Rows of transactions also carry their kind and `amount`, which is null where no rate was given; `converted` says
    that rates are to be looked for.
    """
    rates = rates_by_day(question.reporting.currency) if converted else None
    columns = [source.c.customer_id, source.c.occurred_at, _period(question, source.c.occurred_at).label("period")]
    columns += [source.c[name] for name in carried]
    if source is transactions:
        columns += [source.c.kind, source.c.currency, _amount(question, rates).label("amount")]
    joined = source
    if rates is not None:
        day = reporting_day(source.c.occurred_at, question.reporting.zone)
        joined = joined.outerjoin(rates, and_(rates.c.currency == source.c.currency, rates.c.day == day))
    for dimension in question.group_by:
        if dimension == "segment":
            joined, group = with_segment(
                joined, question.segmentation_id, customer_id=source.c.customer_id, at=source.c.occurred_at
            )
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
