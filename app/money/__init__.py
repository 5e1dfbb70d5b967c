"""Money as the whole service means it: integers of a currency's minor unit, exact or refused."""

from app.money.amounts import (
    AmountTooLarge,
    InexactAmount,
    InvalidAmount,
    UnknownCurrency,
    exponent,
    from_minor,
    line_total_minor,
    to_minor,
)
from app.money.columns import to_minor_array

__all__ = [
    "AmountTooLarge",
    "InexactAmount",
    "InvalidAmount",
    "UnknownCurrency",
    "exponent",
    "from_minor",
    "line_total_minor",
    "to_minor",
    "to_minor_array",
]
