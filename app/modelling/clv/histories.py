"""Purchase histories as one select: of a range of customers or of some by name, as of any instant."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    select,
    union_all,
)

from app.modelling.clv.task import ValueKind
from app.modelling.features.groups import Reporting, within
from app.tables.conversion import in_reporting_currency, rate_applies, reporting_day, reporting_rates
from app.tables.transactions import transactions

# What statements are told, by name. Only facts before the instants count; days run to the last day, that one included.
AS_OF = bindparam("as_of", type_=DateTime(timezone=True))
LAST_DAY = bindparam("last_day", type_=Date)
UNTIL = bindparam("until", type_=DateTime(timezone=True))
CUSTOMER = bindparam("customer_id", type_=Text(collation="C"))
_MOST = 2**61


@dataclass(frozen=True, slots=True)
class Cut:
    """Which customers are read, and what a purchase counts for; amounts as they are, or converted.

    is_one: by name, one alone. Its statement is planned once; one for a list would be at every execution.
    """

    reporting: Reporting
    value: ValueKind
    by_range: bool
    converting: bool
    is_one: bool = False


@lru_cache(maxsize=64)
def history_select(cut: Cut) -> Select[Any]:
    """One row per customer of the scope who bought before as_of, in order of identifier.

    customer_id; purchase_days, since_first, since_last: how many days had a purchase, and how long before last_day
    the first and the last of them were; value_days and value_minor: on how many purchase days after the first the
    value is known, and what they were worth together, net of refunds; unconverted: unless converting, that some
    amount was in another currency and the value means nothing; when converting, that for some there is no rate.
    """
    h = _by_customer(cut, AS_OF, name="history")
    return select(
        h.c.customer_id,
        h.c.purchase_days,
        (LAST_DAY - h.c.first_day).label("since_first"),
        (LAST_DAY - h.c.latest_day).label("since_last"),
        h.c.value_days,
        h.c.value_minor,
        h.c.unconverted,
    ).order_by(h.c.customer_id)


@lru_cache(maxsize=64)
def population_select(cut: Cut, *, is_held_out: bool) -> Select[Any]:
    """One row per distinct history of the scope as of as_of: what makes it up, in days, and how many customers have it.

    repeat_purchases, age_at_last_purchase, age, value_days, value_minor; of what the same customers did from as_of
    until `until`, all 0 unless is_held_out: purchase days, how much older the customer was at the last of them,
    what they were worth; then customers, and whether some amount could not be converted.
    """
    before = _by_customer(cut, AS_OF, name="before")
    source: FromClause = before
    nothing = literal(0, Integer)
    later: list[ColumnElement[Any]] = [nothing, nothing, nothing]
    unconverted = before.c.unconverted
    if is_held_out:
        after = _by_customer(cut, UNTIL, name="after")
        source = before.join(after, after.c.customer_id == before.c.customer_id)
        later = [
            after.c.purchase_days - before.c.purchase_days,
            after.c.latest_day - before.c.latest_day,
            after.c.total_minor - before.c.total_minor,
        ]
        unconverted = after.c.unconverted
    columns = [
        (before.c.purchase_days - 1).label("repeat_purchases"),
        (before.c.latest_day - before.c.first_day).label("age_at_last_purchase"),
        (LAST_DAY - before.c.first_day).label("age"),
        before.c.value_days,
        before.c.value_minor,
        *(each.label(name) for each, name in zip(later, ("days_after", "older_after", "value_after"), strict=True)),
    ]
    rows = select(*columns, unconverted.label("unconverted")).select_from(source).subquery("customer")
    keys = [each for each in rows.c if each.name != "unconverted"]
    return select(*keys, func.count().label("customers"), func.bool_or(rows.c.unconverted)).group_by(*keys)


@lru_cache(maxsize=16)
def later_purchases(cut: Cut) -> Select[Any]:
    """One row per day on which customers of the scope who had bought before as_of bought from then until `until`:
    days after last_day, and how many of them did.
    """
    t, known = transactions.c, transactions.alias("known")
    day = reporting_day(t.occurred_at, cut.reporting.timezone)
    had_bought = (
        select(known.c.customer_id)
        .where(known.c.customer_id == t.customer_id, known.c.kind == "purchase", known.c.occurred_at < AS_OF)
        .exists()
    )
    days = (
        select(t.customer_id, day.label("day"))
        .where(_is_of_scope(t, cut, UNTIL), t.kind == "purchase", t.occurred_at >= AS_OF, had_bought)
        .distinct()
        .subquery("bought")
    )
    return select((days.c.day - LAST_DAY).label("after"), func.count()).group_by(days.c.day)


def newest_fact() -> Select[Any]:
    """The time of the newest purchase of a customer before `until`; null: there is none."""
    t = transactions.c
    return select(func.max(t.occurred_at)).where(
        t.customer_id.is_not(None), t.kind == "purchase", t.occurred_at < UNTIL
    )


def _is_of_scope(t: Any, cut: Cut, end: ColumnElement[Any]) -> ColumnElement[bool]:
    of_scope = t.customer_id == CUSTOMER if cut.is_one else within(t.customer_id, by_range=cut.by_range)
    return and_(t.customer_id.is_not(None), of_scope, t.occurred_at < end)


def _by_customer(cut: Cut, end: ColumnElement[Any], *, name: str) -> Subquery:
    """One row per customer with a purchase before `end`."""
    days = _by_day(cut, end)
    first = func.min(days.c.day).over(partition_by=days.c.customer_id).label("first_day")
    day = select(days, first).subquery("day")
    counts = and_(day.c.day > day.c.first_day, day.c.is_known)
    return (
        select(
            day.c.customer_id,
            func.count().label("purchase_days"),
            func.min(day.c.day).label("first_day"),
            func.max(day.c.day).label("latest_day"),
            func.count().filter(counts).label("value_days"),
            _sum(day.c.value, counts).label("value_minor"),
            _sum(day.c.value, day.c.is_known).label("total_minor"),
            func.bool_or(day.c.unconverted).label("unconverted"),
        )
        .group_by(day.c.customer_id)
        .subquery(name)
    )


def _sum(value: ColumnElement[Any], counts: ColumnElement[bool]) -> ColumnElement[Any]:
    """Of minor units, as far as numbers of 64 bits reach; two such sums can still be subtracted."""
    total = func.coalesce(func.sum(value).filter(counts), 0)
    return cast(func.greatest(func.least(total, _MOST), -_MOST), BigInteger)


def _by_day(cut: Cut, end: ColumnElement[Any]) -> Subquery:
    """One row per customer and purchase day: value net of the refunds that refer to it, whether all of it is known."""
    facts = union_all(_purchases(cut, end), _refunds(cut, end)).subquery("fact")
    return (
        select(
            facts.c.customer_id,
            facts.c.day,
            func.sum(facts.c.value).label("value"),
            func.bool_and(facts.c.value.is_not(None)).label("is_known"),
            func.bool_or(facts.c.unconverted).label("unconverted"),
        )
        .where(facts.c.day.is_not(None))
        .group_by(facts.c.customer_id, facts.c.day)
        .subquery("valued")
    )


def _purchases(cut: Cut, end: ColumnElement[Any]) -> Select[Any]:
    day = reporting_day(transactions.c.occurred_at, cut.reporting.timezone)
    source, value, unconverted = _valued(transactions, day, cut)
    bought = and_(_is_of_scope(transactions.c, cut, end), transactions.c.kind == "purchase")
    return (
        select(transactions.c.customer_id, day.label("day"), value.label("value"), unconverted.label("unconverted"))
        .select_from(source)
        .where(bought)
    )


def _refunds(cut: Cut, end: ColumnElement[Any]) -> Select[Any]:
    """Each refund on the day of the purchase it names, else on the last purchase day at or before it; null: none."""
    refund, named, earlier = (transactions.alias(each) for each in ("refund", "named", "earlier"))
    zone = cut.reporting.timezone
    source, value, unconverted = _valued(refund, reporting_day(refund.c.occurred_at, zone), cut)
    of_the_same = and_(
        named.c.source == refund.c.source,
        named.c.transaction_id == refund.c.refunds,
        named.c.customer_id == refund.c.customer_id,
        named.c.kind == "purchase",
        named.c.occurred_at < end,
    )
    last_before = (
        select(reporting_day(func.max(earlier.c.occurred_at), zone))
        .where(
            earlier.c.customer_id == refund.c.customer_id,
            earlier.c.kind == "purchase",
            earlier.c.occurred_at <= refund.c.occurred_at,
        )
        .scalar_subquery()
    )
    day = func.coalesce(reporting_day(named.c.occurred_at, zone), last_before)
    return (
        select(refund.c.customer_id, day.label("day"), (-value).label("value"), unconverted.label("unconverted"))
        .select_from(source.outerjoin(named, of_the_same))
        .where(_is_of_scope(refund.c, cut, end), refund.c.kind == "refund")
    )


def _valued(
    facts: Any, day: ColumnElement[Any], cut: Cut
) -> tuple[FromClause, ColumnElement[Any], ColumnElement[bool]]:
    """What to read facts from, what each is worth in minor units (null: unknown), and whether that has to be converted."""
    f, reporting = facts.c, cut.reporting
    # What was given away has no margin that anybody would state.
    minor = (
        f.amount_minor
        if cut.value == "revenue"
        else func.coalesce(f.margin_minor, case((f.amount_minor == 0, literal(0, BigInteger))))
    )
    foreign = f.currency != reporting.currency
    if not cut.converting:
        return facts, minor, foreign
    rates = _rates(reporting.currency)
    source = facts.outerjoin(rates, rate_applies(rates, f.currency, day))
    value = in_reporting_currency(minor, f.currency, reporting=reporting.currency, rates=rates)
    return source, value, case((foreign, rates.c.factor.is_(None)), else_=false())


@cache
def _rates(currency: str) -> CTE:
    """One and the same for all facts of a statement."""
    return reporting_rates(currency)
