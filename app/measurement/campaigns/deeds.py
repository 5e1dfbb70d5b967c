"""Purchases, refunds and events of assigned customers as SQL: added up per customer, then per arm."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Numeric,
    Select,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.engine import Session
from app.errors import FieldError, MissingRates
from app.measurement.campaigns.definitions import CLICKS, CONVERSIONS, VISITS, Metric
from app.measurement.campaigns.units import Span, units
from app.measurement.rates import has_rates
from app.stats.comparison.sums import Sums
from app.tables.conversion import in_reporting_currency, rates_by_day, reporting_day
from app.tables.events import events
from app.tables.transactions import transactions

_t, _e = transactions.c, events.c
# The largest whole number whose square is a bigint; numeric arithmetic takes far longer.
SAFE_TO_SQUARE = 3_037_000_499
SHOWN_DAYS, SHOWN_CURRENCIES = 5, 20
BOUGHT, CONVERTED, VISITED, CLICKED, UNCONVERTED, NO_MARGIN = 1, 2, 4, 8, 16, 32
FLAGS = {"bought": BOUGHT, "converted": CONVERTED, "visited": VISITED, "clicked": CLICKED}
SEEN = {"visited": VISITS, "clicked": CLICKS, "converted": CONVERSIONS}

Row = Mapping[str, Any]


async def sums(
    session: Session, span: Span, *, asked: frozenset[str], reporting: Any, earliest: datetime | None,
    winsorize: float | None,
) -> dict[tuple[int, UUID | None], Row]:  # fmt: skip
    """Totals by arm (its number) and segment, of those who did anything. Raises MissingRates."""
    if earliest is None:
        return {}
    converted = await has_rates(session, reporting.currency)
    bought = _transactions(span, asked=asked, reporting=reporting, earliest=earliest, converted=converted)
    each = _by_customer(bought, _events(span, asked=asked, earliest=earliest), asked)
    query = _by_arm(each, asked, winsorize=winsorize)
    rows = [dict(row) for row in (await session.execute(query)).mappings()]
    if any(row["unconverted"] for row in rows):
        await _refuse_missing_rates(session, span, reporting=reporting, earliest=earliest, converted=converted)
    return {(row["arm"], row.get("segment_id")): row for row in rows}


def sums_of(metric: Metric, row: Row, n: int) -> Sums:
    """The sums of a metric over n customers, of whom those without a row did nothing."""
    if metric.kind == "share":
        return Sums.of_share(int(row.get(metric.figure, 0)), n)
    figures = ("total", "squares", "beside_total", "beside_squares", "products")
    return Sums(n, *(int(row.get(f"{metric.figure}_{each}") or 0) for each in figures))


def _priced(reporting: Any, *, converted: bool) -> tuple[FromClause, Any]:
    """Transactions, joined to their rates, and how an amount of theirs becomes one of the reporting currency."""
    if not converted:
        return transactions, lambda amount: case((_t.currency == reporting.currency, amount))
    rates = rates_by_day(reporting.currency)
    same = and_(rates.c.currency == _t.currency, rates.c.day == reporting_day(_t.occurred_at, reporting.zone))

    def ours(amount: ColumnElement[Any]) -> ColumnElement[Any]:
        found = in_reporting_currency(amount, _t.currency, reporting=reporting.currency, rates=rates)
        return cast(found, BigInteger)

    return transactions.outerjoin(rates, same), ours


def _groups(source: FromClause) -> list[ColumnElement[Any]]:
    """What is told apart: arms and, where asked for, segments."""
    return [source.c[name] for name in ("arm", "segment_id") if name in source.c]


def _mine(span: Span, source: FromClause, *, earliest: datetime, past: bool) -> tuple[FromClause, Any]:
    """Rows of a table joined to the units that they are of, in their windows and, where asked, as long before."""
    u = units(span)
    c = source.c
    begun = c.occurred_at >= u.c.since
    if past:
        begun = or_(begun, u.c.since - c.occurred_at <= u.c.until - u.c.since)
    own = and_(c.customer_id == u.c.customer_id, begun, c.occurred_at < u.c.until, u.c.mature, ~u.c.mixed)
    # What is the same for all, so that nothing else is read.
    return u, and_(own, c.occurred_at >= earliest, c.occurred_at < min(span.ends_at, span.as_of))


def _transactions(
    span: Span, *, asked: frozenset[str], reporting: Any, earliest: datetime, converted: bool
) -> Select[Any]:
    past = bool(asked & {"revenue", "margin"})
    u, own = _mine(span, transactions, earliest=earliest, past=past)
    source, ours = _priced(reporting, converted=converted)
    after = _t.occurred_at >= u.c.since
    is_purchase = _t.kind == "purchase"
    amount = ours(case((is_purchase, _t.amount_minor), else_=-_t.amount_minor))
    bought = and_(after, is_purchase, _t.amount_minor > 0)
    flags = [(bought, BOUGHT | CONVERTED), (amount.is_(None), UNCONVERTED)]
    columns: dict[str, ColumnElement[Any]] = {
        "revenue": case((after, amount)),
        "before": case((~after, amount)) if past else _nothing(),
    }
    if "margin" in asked:
        margin = case((is_purchase, _t.margin_minor), else_=-_t.margin_minor)
        columns["margin"] = case((after, ours(margin)))
        flags.append((and_(after, _t.margin_minor.is_(None)), NO_MARGIN))
    if "gross" in asked:
        columns |= {"gross": case((bought, amount)), "purchases": case((bought, 1))}
    return _labelled(u, columns, flags).select_from(source.join(u, own))


def _events(span: Span, *, asked: frozenset[str], earliest: datetime) -> Select[Any]:
    u, own = _mine(span, events, earliest=earliest, past=False)
    seen = {figure: SEEN[figure] for figure in sorted({*asked, "converted"} & SEEN.keys())}
    flags = [(_e.type.in_(kinds), FLAGS[figure]) for figure, kinds in seen.items()]
    query = _labelled(u, {}, flags).select_from(events.join(u, own))
    return query.where(_e.type.in_(sorted(kind for kinds in seen.values() for kind in kinds)))


def _nothing() -> ColumnElement[Any]:
    return cast(null(), BigInteger)


def _labelled(
    u: FromClause, columns: Mapping[str, ColumnElement[Any]], flags: Sequence[tuple[ColumnElement[bool], int]]
) -> Select[Any]:
    """The customer, their groups, the figures, and what happened as one number: one aggregate instead of five."""
    bits: ColumnElement[Any] = literal(0, Integer)
    for condition, flag in flags:
        bits = bits.op("|")(case((condition, literal(flag, Integer)), else_=literal(0, Integer)))
    labelled = [column.label(name) for name, column in columns.items()]
    return select(u.c.customer_id, *_groups(u), *labelled, bits.label("flags"))


def _by_customer(bought: Select[Any], seen: Select[Any], asked: frozenset[str]) -> Subquery:
    """One row per customer with a fact: their figures, and whether the squares of these fit into a machine word.

    Purchases and events are each added up by customer, the order of the indexes they are read from, and only then put
    together: a union of the facts would have no order, so that all of them would go through one more table.
    """
    sums = ["revenue"]
    sums += ["before"] if asked & {"revenue", "margin"} else []
    sums += [name for name in ("margin", "gross") if name in asked]
    mine = _added_up(bought, [*sums, "purchases"] if "gross" in asked else sums).subquery("bought")
    also = _added_up(seen, []).subquery("seen")
    both = mine.outerjoin(also, mine.c.customer_id == also.c.customer_id, full=True)
    groups = [
        func.coalesce(one, other).label(one.name) for one, other in zip(_groups(mine), _groups(also), strict=True)
    ]
    figures = [func.coalesce(column, 0).label(column.name) for column in mine.c if column.name in (*sums, "purchases")]
    flags = func.coalesce(mine.c.flags, 0).op("|")(func.coalesce(also.c.flags, 0)).label("flags")
    each = select(*groups, *figures, flags).select_from(both).subquery("each")
    safe = and_(*(each.c[name].between(-SAFE_TO_SQUARE, SAFE_TO_SQUARE) for name in sums))
    # The offset keeps PostgreSQL from finding out again for each sum.
    return select(*each.c, safe.label("safe")).offset(0).subquery("by_customer")


def _added_up(facts: Select[Any], names: Sequence[str]) -> Select[Any]:
    """One row per customer of these facts."""
    f = facts.subquery("facts")
    groups = [func.any_value(group, type_=group.type).label(group.name) for group in _groups(f)]
    added = [cast(func.coalesce(func.sum(f.c[name]), 0), BigInteger).label(name) for name in names]
    flags = func.bit_or(f.c.flags, type_=Integer).label("flags")
    return select(f.c.customer_id, *groups, *added, flags).group_by(f.c.customer_id)


def _by_arm(each: Subquery, asked: frozenset[str], *, winsorize: float | None) -> Select[Any]:
    """One row per arm and segment in which anybody did anything."""
    source, cut = _cut_back(each, asked, winsorize=winsorize)
    c = source.c

    def having(flag: int) -> ColumnElement[int]:
        return func.count().filter(c.flags.op("&")(literal(flag, Integer)) != 0)

    columns: list[ColumnElement[Any]] = [
        having(BOUGHT).label("buyers"),
        having(CONVERTED).label("conversions"),
        having(UNCONVERTED).label("unconverted"),
        func.sum(c.revenue).label("revenue_all"),
    ]
    for figure, beside in (("revenue", "before"), ("margin", "before"), ("gross", "purchases")):
        if figure in asked:
            columns += _moments(figure, cut(figure), c[beside], c.safe)
    if "margin" in asked:
        columns.append(having(NO_MARGIN).label("without_margin"))
    columns += [having(FLAGS[name]).label(name) for name in sorted(asked & FLAGS.keys())]
    return select(*_groups(source), *columns).group_by(*_groups(source))


def _cut_back(each: Subquery, asked: frozenset[str], *, winsorize: float | None) -> tuple[FromClause, Any]:
    """The same rows, and each figure of money cut back to the limit of all arms together, where one is asked for."""
    if winsorize is None:
        return each, lambda figure: each.c[figure]
    rows = select(*each.c).cte("customers_with_deeds")
    limits = select(
        *(
            cast(
                func.round(
                    cast(func.percentile_cont(winsorize).within_group(rows.c[name]).filter(rows.c[name] != 0), Numeric)
                ),
                BigInteger,
            ).label(name)
            for name in sorted(asked & {"revenue", "margin"}) or ["revenue"]
        )
    ).cte("limits")
    both = select(*rows.c, *(limit.label(f"{limit.name}_limit") for limit in limits.c)).join_from(rows, limits, true())
    source = both.subquery("cut_back")

    def cut(figure: str) -> ColumnElement[Any]:
        limit = source.c.get(f"{figure}_limit")
        return source.c[figure] if limit is None else func.least(source.c[figure], limit, type_=BigInteger)

    return source, cut


def _moments(
    name: str, own: ColumnElement[Any], beside: ColumnElement[Any], safe: ColumnElement[bool]
) -> list[ColumnElement[Any]]:
    return [
        func.sum(own).label(f"{name}_total"),
        _exact(own, own, safe).label(f"{name}_squares"),
        func.sum(beside).label(f"{name}_beside_total"),
        _exact(beside, beside, safe).label(f"{name}_beside_squares"),
        _exact(own, beside, safe).label(f"{name}_products"),
    ]


def _exact(one: ColumnElement[Any], other: ColumnElement[Any], safe: ColumnElement[bool]) -> ColumnElement[Any]:
    """The sum of products: of machine words where none can overflow, of exact decimals elsewhere."""
    quick = func.sum(case((safe, one * other)))
    exact = func.sum(cast(one, Numeric) * other).filter(~safe)
    return func.coalesce(quick, 0) + func.coalesce(exact, 0)


async def _refuse_missing_rates(
    session: Session, span: Span, *, reporting: Any, earliest: datetime, converted: bool
) -> None:
    """Say which currencies lack rates on which days."""
    u, own = _mine(span, transactions, earliest=earliest, past=True)
    source, ours = _priced(reporting, converted=converted)
    day = reporting_day(_t.occurred_at, reporting.zone).label("day")
    missing = ours(_t.amount_minor).is_(None)
    days = select(_t.currency, day).join_from(source, u, own).where(missing).distinct().subquery().c
    in_order = func.array_agg(aggregate_order_by(days.day, days.day), type_=ARRAY(Date))
    query = select(days.currency, func.count(), in_order[1:SHOWN_DAYS]).group_by(days.currency).order_by(days.currency)
    rows = (await session.execute(query.limit(SHOWN_CURRENCIES))).all()
    detail = "no rate from {} to {} for {} day(s) with transactions; first {}"
    raise MissingRates(
        f"Amounts in {', '.join(row[0] for row in rows)} have no rate to {reporting.currency} on some days",
        errors=[
            FieldError("currency", "missing_exchange_rate",
                       detail.format(row[0], reporting.currency, row[1], ", ".join(map(str, row[2]))))
            for row in rows
        ],
    )  # fmt: skip
