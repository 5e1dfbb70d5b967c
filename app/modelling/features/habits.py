"""Features of how somebody buys: how regularly, when, where, how much at once, how many different things."""

from typing import Any

from sqlalchemy import ColumnElement, Double, case, cast, func
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.modelling.features.facts import Feature, ratio


def _variation(gaps: Any) -> ColumnElement[Any]:
    """Standard deviation over mean, from exact sums: sqrt(n * sum of squares - square of sum) / sum."""
    spread = func.count(gaps.days) * func.sum(gaps.days * gaps.days) - func.sum(gaps.days) * func.sum(gaps.days)
    return case((func.count(gaps.days) >= 2, func.sqrt(cast(spread, Double)) / func.sum(gaps.days)))


def _dominant(channels: Any) -> ColumnElement[Any]:
    ordered = aggregate_order_by(channels.channel, channels.purchases.desc(), channels.channel)
    return func.array_agg(ordered)[1]


def _peak(quarters: Any) -> ColumnElement[Any]:
    ordered = aggregate_order_by(quarters.quarter, quarters.purchases.desc(), quarters.quarter)
    return func.concat("Q", func.array_agg(ordered)[1])


HABITS = (
    Feature(
        "purchase_gap_variation",
        unit="ratio",
        kind="number",
        dtype="number",
        grain="gaps",
        missing="too_few_purchase_days",
        meaning="Standard deviation of the days between purchase days / their mean: 0 is a clock, 1 is chance. "
        "Undefined below 3 purchase days.",
        expression=_variation,
    ),
    Feature(
        "peak_quarter",
        unit="quarter",
        kind="category",
        dtype="category",
        grain="quarters",
        missing="no_purchases",
        meaning="Q1 to Q4: the calendar quarter with most purchases above 0, of all years; the earlier one of equals.",
        expression=_peak,
    ),
    Feature(
        "peak_quarter_share",
        unit="share",
        kind="share",
        dtype="number",
        grain="quarters",
        missing="no_purchases",
        meaning="Share of the purchases above 0 that fell into peak_quarter: .25 is no season at all.",
        expression=lambda quarters: ratio(func.max(quarters.purchases), func.sum(quarters.purchases)),
    ),
    Feature(
        "channel_count",
        unit="channels",
        kind="count",
        dtype="integer",
        grain="channels",
        missing="zero",
        meaning="Distinct channels of purchases above 0; purchases without a channel are left out.",
        expression=lambda _channels: func.count(),
    ),
    Feature(
        "dominant_channel",
        unit="channel",
        kind="category",
        dtype="category",
        grain="channels",
        missing="no_channels",
        meaning="The channel of most purchases above 0; of equals the first in byte order.",
        expression=_dominant,
    ),
    Feature(
        "dominant_channel_share",
        unit="share",
        kind="share",
        dtype="number",
        grain="channels",
        missing="no_channels",
        meaning="Share of the purchases above 0 with a channel that came through dominant_channel.",
        expression=lambda channels: ratio(func.max(channels.purchases), func.sum(channels.purchases)),
    ),
    Feature(
        "items_per_purchase",
        unit="items",
        kind="count",
        dtype="number",
        grain="baskets",
        missing="no_items",
        meaning="Quantity of goods per purchase with lines; a line of goods has a price of 0 or more.",
        expression=lambda baskets: ratio(func.sum(baskets.quantity), func.count()),
    ),
    Feature(
        "products_per_purchase",
        unit="products",
        kind="count",
        dtype="number",
        grain="baskets",
        missing="no_items",
        meaning="Distinct products among the goods per purchase with lines.",
        expression=lambda baskets: ratio(func.sum(baskets.products), func.count()),
    ),
    Feature(
        "discount_share",
        unit="share",
        kind="share",
        dtype="number",
        grain="baskets",
        missing="no_items",
        meaning="What lines of negative value take off the lines of positive value, as a share; "
        "the mean over purchases with such lines.",
        expression=lambda baskets: ratio(func.sum(baskets.discount), func.count(baskets.discount)),
    ),
    Feature(
        "distinct_products",
        unit="products",
        kind="count",
        dtype="integer",
        grain="products",
        missing="zero",
        meaning="Distinct products ever bought, among the goods of purchases with lines.",
        expression=lambda items: func.count(items.product_id.distinct()),
    ),
)
