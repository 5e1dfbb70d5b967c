"""Money in the reporting currency as a SQL expression that stands once, for features and key figures alike."""

from datetime import tzinfo

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    TableValuedAlias,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on

from app.money import exponent
from app.money.iso4217 import BY_CODE
from app.tables.money import exchange_rates

# Rates are not published on weekends and holidays: the last one before counts for this many days.
RATE_STAYS_GOOD_DAYS = 7


def reporting_day(instant: ColumnElement[object], zone: tzinfo) -> ColumnElement[object]:
    """The day of an instant in the reporting time zone."""
    return cast(func.timezone(literal(str(zone)), instant), Date)


def reporting_rates(currency: str) -> CTE:
    """Per foreign currency and stretch of days [valid_from, valid_to): the factor from its minor units to ours.

    A rate given the other way round counts inverted, where no direct one stands for the same day.
    """
    r = exchange_rates.c
    given = union_all(
        select(r.from_currency.label("currency"), r.on_day, r.rate, literal(0).label("detour")).where(
            r.to_currency == currency
        ),
        select(r.to_currency, r.on_day, 1 / r.rate, literal(1)).where(r.from_currency == currency),
    ).subquery()
    best = (
        select(given.c.currency, given.c.on_day, given.c.rate)
        .ext(distinct_on(given.c.currency, given.c.on_day))
        .order_by(given.c.currency, given.c.on_day, given.c.detour)
        .subquery()
    )
    following = func.lead(best.c.on_day).over(partition_by=best.c.currency, order_by=best.c.on_day)
    digits = _digits()
    return (
        select(
            best.c.currency,
            best.c.on_day.label("valid_from"),
            func.least(following, best.c.on_day + RATE_STAYS_GOOD_DAYS + 1).label("valid_to"),
            (best.c.rate * func.power(cast(10, Numeric), exponent(currency) - digits.c.digits)).label("factor"),
        )
        .join(digits, digits.c.code == cast(best.c.currency, Text))
        .cte("reporting_rates")
    )


def _digits() -> TableValuedAlias:
    """Digits after the point by currency. As two arrays: a statement with rows written out is compiled anew each time."""
    known = {code: row.exponent for code, row in BY_CODE.items() if not row.refused}
    columns = (column("code", Text), column("digits", Integer))
    arrays = (literal(list(known), ARRAY(Text)), literal(list(known.values()), ARRAY(Integer)))
    return func.unnest(*arrays).table_valued(*columns, name="digits").render_derived()


def rates_by_day(currency: str) -> CTE:
    """Per foreign currency and day: the factor. Stretches would be compared with each fact; days are looked up."""
    stretch = reporting_rates(currency).c
    later = func.generate_series(0, RATE_STAYS_GOOD_DAYS).column_valued("later")
    day = cast(stretch.valid_from + later, Date)
    return select(stretch.currency, day.label("day"), stretch.factor).where(day < stretch.valid_to).cte("rates_by_day")


def rate_applies(rates: CTE, currency: ColumnElement[object], day: ColumnElement[object]) -> ColumnElement[bool]:
    """The join condition from a fact in some currency on some day to its rate: at most one row; outer join it."""
    return and_(rates.c.currency == currency, day >= rates.c.valid_from, day < rates.c.valid_to)


def in_reporting_currency(
    amount_minor: ColumnElement[object], currency: ColumnElement[object], *, reporting: str, rates: CTE
) -> ColumnElement[object]:
    """Minor units of the reporting currency, rounded half away from zero; null where there is no rate."""
    return case((currency == reporting, amount_minor), else_=func.round(amount_minor * rates.c.factor))
