"""Features of how recently, how often and for how much somebody buys, and which way that is going."""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, not_

from app.modelling.features.facts import (
    CURRENCY,
    Expression,
    Facts,
    Feature,
    leaves,
    major,
    next_day,
    ratio,
    whole_days,
)


def _gross(facts: Facts) -> ColumnElement[Any]:
    return func.coalesce(func.sum(facts.amount).filter(facts.is_purchase), 0)


def _refunded(facts: Facts) -> ColumnElement[Any]:
    return func.coalesce(func.sum(facts.amount).filter(facts.kind == "refund"), 0)


def _orders(facts: Facts) -> ColumnElement[Any]:
    return func.count().filter(facts.is_paid)


def _refunds(facts: Facts) -> ColumnElement[Any]:
    return func.count().filter(facts.kind == "refund")


def _margin(facts: Facts) -> ColumnElement[Any]:
    return func.sum(case((facts.is_purchase, facts.margin), else_=-facts.margin))


def _last(facts: Facts) -> ColumnElement[Any]:
    return func.max(facts.occurred_at).filter(facts.is_purchase)


def _first(facts: Facts) -> ColumnElement[Any]:
    return func.min(facts.occurred_at).filter(facts.is_purchase)


def _average_order_value(facts: Facts) -> ColumnElement[Any]:
    return ratio(_gross(facts), _orders(facts) * facts.minor_per_major)


def _mean_gap(facts: Facts) -> ColumnElement[Any]:
    first, last = (pick(facts.day).filter(facts.is_purchase) for pick in (func.min, func.max))
    return ratio(last - first, func.count(facts.day.distinct()).filter(facts.is_purchase) - 1)


def _paid_in(days: int) -> Expression:
    return lambda facts: func.count().filter(and_(facts.is_paid, facts.recent(days)))


def _spent_in(days: int) -> Expression:
    return lambda facts: major(facts, _spent(facts, facts.recent(days)))


def _spent(facts: Facts, when: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(facts.amount).filter(and_(facts.is_purchase, when)), 0)


def _last_paid_leaves(days: int) -> Expression:
    return lambda facts: leaves(facts, facts.is_paid, days=days)


def _halves(facts: Facts) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The last 90 days, and the 90 before."""
    return facts.recent(90), and_(facts.recent(180), not_(facts.recent(90)))


def _trend(now: ColumnElement[Any], before: ColumnElement[Any]) -> ColumnElement[Any]:
    return ratio(now - before, now + before)


def _spend_trend(facts: Facts) -> ColumnElement[Any]:
    now, before = (_spent(facts, when) for when in _halves(facts))
    return _trend(now, before)


def _purchase_trend(facts: Facts) -> ColumnElement[Any]:
    now, before = (func.count().filter(and_(facts.is_paid, when)) for when in _halves(facts))
    return _trend(now, before)


def _trend_changes(facts: Facts) -> ColumnElement[Any]:
    moves = leaves(facts, facts.is_paid, days=90)
    return func.least(moves, leaves(facts, facts.is_paid, days=180, after_days=90))


def _count_in(days: int, words: str) -> Feature:
    return Feature(
        f"purchase_count_{days}d",
        unit="purchases",
        kind="count",
        dtype="integer",
        grain="transactions",
        missing="zero",
        meaning=f"Purchases with an amount above 0 in the last {words}.",
        expression=_paid_in(days),
        changes_at=_last_paid_leaves(days),
        window_days=days,
    )


def _spend_in(days: int, words: str) -> Feature:
    return Feature(
        f"total_spend_{days}d",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="zero",
        meaning=f"Sum of purchases in the last {words}, refunds not taken off, in the reporting currency.",
        expression=_spent_in(days),
        changes_at=_last_paid_leaves(days),
        window_days=days,
    )


RECENCY_AND_FREQUENCY = (
    Feature(
        "days_since_last_purchase",
        unit="days",
        kind="days",
        dtype="integer",
        grain="transactions",
        missing="no_purchases",
        meaning="Whole days from the last purchase to as_of. A purchase of amount 0 counts as activity.",
        expression=lambda facts: whole_days(facts, _last(facts)),
        changes_at=lambda facts: next_day(facts, _last(facts)),
    ),
    Feature(
        "days_since_first_purchase",
        unit="days",
        kind="days",
        dtype="integer",
        grain="transactions",
        missing="no_purchases",
        meaning="Tenure: whole days from the first purchase to as_of. A purchase of amount 0 counts as activity.",
        expression=lambda facts: whole_days(facts, _first(facts)),
        changes_at=lambda facts: next_day(facts, _first(facts)),
    ),
    Feature(
        "purchase_count",
        unit="purchases",
        kind="count",
        dtype="integer",
        grain="transactions",
        missing="zero",
        meaning="Purchases with an amount above 0.",
        expression=_orders,
    ),
    _count_in(30, "30 days"),
    _count_in(90, "90 days"),
    _count_in(365, "365 days"),
    Feature(
        "purchase_days",
        unit="days",
        kind="count",
        dtype="integer",
        grain="transactions",
        missing="zero",
        meaning="Distinct days, in the reporting time zone, with a purchase; one of amount 0 counts as activity.",
        expression=lambda facts: func.count(facts.day.distinct()).filter(facts.is_purchase),
    ),
    Feature(
        "days_between_purchases",
        unit="days",
        kind="days",
        dtype="number",
        grain="transactions",
        missing="too_few_purchase_days",
        meaning="Mean number of days from one purchase day to the next. Undefined below 2 purchase days.",
        expression=_mean_gap,
    ),
)

MONETARY = (
    Feature(
        "total_spend",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="zero",
        meaning="Sum of purchases, refunds not taken off, in the reporting currency.",
        expression=lambda facts: major(facts, _gross(facts)),
    ),
    _spend_in(30, "30 days"),
    _spend_in(90, "90 days"),
    _spend_in(365, "365 days"),
    Feature(
        "refund_total",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="zero",
        meaning="Sum of refunds, a positive figure, in the reporting currency.",
        expression=lambda facts: major(facts, _refunded(facts)),
    ),
    Feature(
        "net_spend",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="zero",
        meaning="total_spend minus refund_total; below 0 where more was returned than bought.",
        expression=lambda facts: major(facts, _gross(facts) - _refunded(facts)),
    ),
    Feature(
        "gross_margin",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="no_margins",
        meaning="Sum of the margins of purchases minus those of refunds, where a margin was given. Undefined without any.",
        expression=lambda facts: major(facts, _margin(facts)),
    ),
    Feature(
        "average_order_value",
        unit=CURRENCY,
        kind="money",
        dtype="number",
        grain="transactions",
        missing="no_purchases",
        meaning="total_spend / purchase_count. Undefined without a purchase above 0.",
        expression=_average_order_value,
    ),
    Feature(
        "refund_share",
        unit="share",
        kind="share",
        dtype="number",
        grain="transactions",
        missing="no_spend",
        meaning="refund_total / total_spend; above 1 where more was returned than bought. Undefined without spend.",
        expression=lambda facts: ratio(_refunded(facts), _gross(facts)),
        adds_amounts=True,
    ),
    Feature(
        "refunds_per_purchase",
        unit="refunds per purchase",
        kind="share",
        dtype="number",
        grain="transactions",
        missing="no_purchases",
        meaning="Refunds / purchase_count; one purchase may be refunded in parts. Undefined without a purchase above 0.",
        expression=lambda facts: ratio(_refunds(facts), _orders(facts)),
    ),
)

DIRECTION = (
    Feature(
        "spend_trend_90d",
        unit="-1 to 1",
        kind="number",
        dtype="number",
        grain="transactions",
        missing="no_recent_purchases",
        meaning="(a - b) / (a + b) of the spend in the last 90 days, a, and in the 90 before, b. Undefined when both are 0.",
        expression=_spend_trend,
        changes_at=_trend_changes,
        window_days=180,
        adds_amounts=True,
    ),
    Feature(
        "purchase_trend_90d",
        unit="-1 to 1",
        kind="number",
        dtype="number",
        grain="transactions",
        missing="no_recent_purchases",
        meaning="(a - b) / (a + b) of the purchases above 0 in the last 90 days, a, and the 90 before, b. "
        "Undefined when both are 0.",
        expression=_purchase_trend,
        changes_at=_trend_changes,
        window_days=180,
    ),
)

SPENDING = (*RECENCY_AND_FREQUENCY, *MONETARY, *DIRECTION)
