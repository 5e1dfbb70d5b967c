"""The rows behind features: for each grain one row per customer, aggregated by the expressions of its features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Subquery,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    extract,
    false,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.modelling.features.facts import Facts, Feature, Grain
from app.modelling.features.json_values import JsonValue, type_and_text
from app.money import exponent
from app.tables.conversion import in_reporting_currency, rate_applies, reporting_day, reporting_rates
from app.tables.events import events
from app.tables.transactions import transaction_items, transactions

AS_OF = bindparam("as_of", type_=DateTime(timezone=True))
CHANGES_AT = "changes_at"
UNCONVERTED = "unconverted"
_TEXT = Text(collation="C")
# Ratios are rounded so that their sum does not depend on its order.
_RATIO_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Reporting:
    """How money and days are cut."""

    currency: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Cut:
    """Which facts are read, and how: of a range of customers or of some by name, amounts as they are or converted."""

    reporting: Reporting
    by_range: bool
    converting: bool

    def facts_of(self, owner: ColumnElement[Any], occurred_at: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition that a fact counts: somebody's of the scope, and strictly before as_of."""
        return and_(owner.is_not(None), within(owner, by_range=self.by_range), occurred_at < AS_OF)


@dataclass(frozen=True, slots=True)
class Rows:
    """What one grain reads: rows with their owner, those that count, and how expressions see them."""

    source: FromClause
    owner: ColumnElement[Any]
    condition: ColumnElement[bool]
    seen: Any
    unconverted: ColumnElement[bool]


def within(customer_id: ColumnElement[Any], *, by_range: bool) -> ColumnElement[bool]:
    """The condition that a row belongs to a customer of the scope."""
    if by_range:
        return and_(customer_id > bindparam("after", type_=_TEXT), customer_id <= bindparam("upto", type_=_TEXT))
    return customer_id == any_(bindparam("customer_ids", type_=ARRAY(_TEXT)))


def group(grain: Grain, features: Sequence[Feature], cut: Cut, *, with_changes: bool) -> Subquery:
    """One row per customer with such facts: customer_id, the features, unconverted and, where asked for, changes_at."""
    rows = _ROWS[grain](cut)
    has_money = any(feature.needs_rates for feature in features)
    columns = [feature.expression(rows.seen).label(feature.name) for feature in features]
    columns.append((func.bool_or(rows.unconverted) if has_money else false()).label(UNCONVERTED))
    changes = [feature.changes_at(rows.seen) for feature in features if feature.changes_at] if with_changes else []
    if changes:
        columns.append(func.least(*changes).label(CHANGES_AT))
    return (
        select(rows.owner.label("customer_id"), *columns)
        .select_from(rows.source)
        .where(rows.condition)
        .group_by(rows.owner)
        .subquery(grain)
    )


def _transactions(cut: Cut) -> Rows:
    t, reporting = transactions.c, cut.reporting
    day = reporting_day(t.occurred_at, reporting.timezone)
    source: FromClause = transactions
    amount: ColumnElement[Any] = t.amount_minor
    margin: ColumnElement[Any] = t.margin_minor
    unconverted: ColumnElement[bool] = t.currency != reporting.currency
    if cut.converting:
        rates = reporting_rates(reporting.currency)
        source = transactions.outerjoin(rates, rate_applies(rates, t.currency, day))
        amount, margin = (
            in_reporting_currency(each, t.currency, reporting=reporting.currency, rates=rates)
            for each in (t.amount_minor, t.margin_minor)
        )
        unconverted = amount.is_(None)
    facts = Facts(
        as_of=AS_OF,
        occurred_at=t.occurred_at,
        kind=t.kind,
        amount=amount,
        margin=margin,
        is_positive=t.amount_minor > 0,
        day=day,
        minor_per_major=10 ** exponent(reporting.currency),
    )
    return Rows(source, t.customer_id, cut.facts_of(t.customer_id, t.occurred_at), facts, unconverted)


def _of_many(inner: FromClause) -> Rows:
    """Rows that are themselves aggregates, each with its customer_id."""
    return Rows(inner, inner.c.customer_id, true(), inner.c, false())


def _gaps(cut: Cut) -> Rows:
    """One row per purchase: days since the purchase before; null for the first, and on the same day."""
    t = transactions.c
    day = reporting_day(t.occurred_at, cut.reporting.timezone)
    # In the order of the index: distinct days would have to be sorted first.
    before = func.lag(day).over(partition_by=t.customer_id, order_by=t.occurred_at)
    days = func.nullif(cast(day - before, BigInteger), 0).label("days")
    bought = and_(cut.facts_of(t.customer_id, t.occurred_at), t.kind == "purchase")
    return _of_many(select(t.customer_id, days).where(bought).subquery("gap"))


def _quarters(cut: Cut) -> Rows:
    """One row per customer and calendar quarter, of all years: the number of purchases above 0."""
    t = transactions.c
    day = reporting_day(t.occurred_at, cut.reporting.timezone)
    quarter = cast(extract("quarter", day), Integer).label("quarter")
    paid = and_(t.kind == "purchase", t.amount_minor > 0)
    counted = (
        select(t.customer_id, quarter, func.count().label("purchases"))
        .where(cut.facts_of(t.customer_id, t.occurred_at), paid)
        .group_by(t.customer_id, quarter)
    )
    return _of_many(counted.subquery("season"))


def _channels(cut: Cut) -> Rows:
    """One row per customer and channel: the number of purchases above 0."""
    t = transactions.c
    paid = and_(t.kind == "purchase", t.amount_minor > 0, t.channel.is_not(None))
    counted = (
        select(t.customer_id, t.channel, func.count().label("purchases"))
        .where(cut.facts_of(t.customer_id, t.occurred_at), paid)
        .group_by(t.customer_id, t.channel)
    )
    return _of_many(counted.subquery("channel_use"))


_LINES = transactions.join(
    transaction_items,
    and_(
        transaction_items.c.source == transactions.c.source,
        transaction_items.c.transaction_id == transactions.c.transaction_id,
    ),
)
# Discounts and fees come as lines too: with a price below 0, or in negative number.
_IS_GOODS = and_(transaction_items.c.quantity > 0, transaction_items.c.unit_price >= 0)


def _bought_lines(cut: Cut) -> ColumnElement[bool]:
    t = transactions.c
    return and_(cut.facts_of(t.customer_id, t.occurred_at), t.kind == "purchase", t.line_count > 0)


def _baskets(cut: Cut) -> Rows:
    """One row per purchase with lines: quantity and distinct products of goods; discount: null without positive lines."""
    t, i = transactions.c, transaction_items.c
    value: ColumnElement[Any] = i.quantity * i.unit_price
    added, taken_off = (func.sum(value).filter(sign) for sign in (value > 0, value < 0))
    # Divided by op: `/` would cast to the digits of a price.
    basket = (
        select(
            t.customer_id,
            func.coalesce(func.sum(i.quantity).filter(_IS_GOODS), 0).label("quantity"),
            func.count(i.product_id.distinct()).filter(_IS_GOODS).label("products"),
            func.round(func.coalesce(-taken_off, 0).op("/")(added), _RATIO_DIGITS).label("discount"),
        )
        .select_from(_LINES)
        .where(_bought_lines(cut))
        .group_by(t.customer_id, t.source, t.transaction_id)
    )
    return _of_many(basket.subquery("basket"))


def _products(cut: Cut) -> Rows:
    """One row per line of goods bought."""
    condition = and_(_bought_lines(cut), _IS_GOODS)
    return Rows(_LINES, transactions.c.customer_id, condition, transaction_items.c, false())


def _events(cut: Cut) -> Rows:
    e = events.c
    nothing = cast(null(), BigInteger)
    facts = Facts(
        as_of=AS_OF,
        occurred_at=e.occurred_at,
        kind=e.type,
        amount=nothing,
        margin=nothing,
        is_positive=literal(False, Boolean),
        day=nothing,
        minor_per_major=1,
    )
    return Rows(events, e.customer_id, cut.facts_of(e.customer_id, e.occurred_at), facts, false())


def _answers(cut: Cut) -> Rows:
    """One row per survey: the answers as numbers; null: not asked, or not answered."""
    e = events.c

    def answer(name: str) -> ColumnElement[Any]:
        given = e.properties.op("->", return_type=JSONB())(literal(name, Text))
        value = JsonValue(*type_and_text(given))
        return case((value.type == "number", value.number)).label(name)

    survey = select(e.customer_id, e.occurred_at, e.source, e.event_id, answer("csat"), answer("nps")).where(
        cut.facts_of(e.customer_id, e.occurred_at), e.type == "survey"
    )
    return _of_many(survey.subquery("survey"))


_ROWS: Mapping[Grain, Callable[[Cut], Rows]] = {
    "transactions": _transactions,
    "gaps": _gaps,
    "quarters": _quarters,
    "channels": _channels,
    "baskets": _baskets,
    "products": _products,
    "events": _events,
    "answers": _answers,
}
