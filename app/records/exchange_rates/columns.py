"""Rows of exchange rates as typed values, every one checked; flawed rows are set apart with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from app.clock import InvalidInstant, parse_day
from app.money import UnknownCurrency, exponent
from app.records.exchange_rates.schemas import RateIn
from app.records.intake.amounts import plain_number
from app.records.intake.outcome import Flaw

# What numeric(24, 12) holds.
DECIMALS = 12
BELOW = Decimal(10) ** 12


class Pair(NamedTuple):
    """A day and an ordered pair of currencies: what a rate is known by."""

    on: date
    from_currency: str
    to_currency: str


@dataclass(frozen=True, slots=True)
class Rate:
    pair: Pair
    rate: Decimal


def columns_of(rows: Sequence[RateIn]) -> tuple[list[Rate], list[Flaw]]:
    """Rates and the flaws found; a flawed row's values mean nothing."""
    rates: list[Rate] = []
    flaws: list[Flaw] = []
    for position, row in enumerate(rows):
        found = list(_flaws(position, row))
        flaws += found
        rates.append(_NO_RATE if found else Rate(Pair(parse_day(row.on), row.from_, row.to), Decimal(str(row.rate))))
    return rates, flaws


_NO_RATE = Rate(Pair(date(1900, 1, 1), "", ""), Decimal(0))


def take(rates: Sequence[Rate], positions: Sequence[int]) -> list[Rate]:
    return [rates[position] for position in positions]


def _flaws(position: int, row: RateIn) -> Iterator[Flaw]:
    try:
        parse_day(row.on)
    except InvalidInstant as error:
        yield Flaw(position, error.code, "on", error.detail)
    for field, code in (("from", row.from_), ("to", row.to)):
        try:
            exponent(code)
        except UnknownCurrency as error:
            yield Flaw(position, error.code, field, str(error))
    if row.from_ == row.to:
        yield Flaw(position, "same_currency", "to", "a currency has no rate to itself")
    rate = plain_number(row.rate, decimals=DECIMALS, below=BELOW)
    if rate is None:
        detail = f"must be a plain number below {BELOW:f} with at most {DECIMALS} decimals"
        yield Flaw(position, "invalid_number", "rate", detail)
    elif rate <= 0:
        yield Flaw(position, "rate_not_positive", "rate", "must be above 0")
