"""Columns of money and of plain decimal numbers, checked value by value only where a whole column is in doubt."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt

from app.money import InvalidAmount, UnknownCurrency, exponent, to_minor, to_minor_array
from app.records.intake.outcome import Flaw

Integers = npt.NDArray[np.int64]

# Up to here each is worked out by itself sooner than columns are laid out.
FEW = 16

_LONGEST_NUMBER = 40
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def amounts_of(amounts: list[Any], currencies: list[str], flaws: list[Flaw], *, if_negative: str) -> Integers:
    """Minor units of amounts that are never negative; a flawed amount reads 0."""
    minor = np.zeros(len(amounts), np.int64)
    for currency, positions in _by_currency(currencies).items():
        try:
            digits = exponent(currency)
        except UnknownCurrency as error:
            flaws.extend(Flaw(p, "unknown_currency", "currency", str(error)) for p in positions)
            continue
        if len(positions) <= FEW:
            for p in positions:
                minor[p] = value = amount_of(amounts[p], currency, flaws, position=p, field="amount")
                if value < 0:
                    flaws.append(Flaw(p, "negative_amount", "amount", if_negative))
            continue
        whole = len(positions) == len(amounts)
        values, unsure = to_minor_array(given := amounts if whole else [amounts[p] for p in positions], digits)
        for offset in np.flatnonzero(unsure).tolist():
            values[offset] = amount_of(given[offset], currency, flaws, position=positions[offset], field="amount")
        flaws.extend(
            Flaw(positions[p], "negative_amount", "amount", if_negative) for p in np.flatnonzero(values < 0).tolist()
        )
        minor[slice(None) if whole else positions] = values
    return minor


def _by_currency(currencies: list[str]) -> dict[str, Sequence[int]]:
    """Where each currency stands; one currency throughout is the common case."""
    if currencies and currencies.count(currencies[0]) == len(currencies):
        return {currencies[0]: range(len(currencies))}
    places: dict[str, list[int]] = {}
    for position, currency in enumerate(currencies):
        places.setdefault(currency, []).append(position)
    return dict(places)


def amount_of(amount: Any, currency: str, flaws: list[Flaw], *, position: int, field: str) -> int:
    """Minor units of one amount; a flawed one reads 0."""
    try:
        return to_minor(amount, currency)
    except InvalidAmount as error:
        flaws.append(Flaw(position, error.code, field, str(error)))
        return 0


def plain_number(value: int | float | str, *, decimals: int, below: Decimal) -> Decimal | None:
    """An exact decimal number of at most so many decimals, of smaller size than `below`; null when it is none."""
    text = str(value)
    if isinstance(value, bool) or len(text) > _LONGEST_NUMBER:
        return None
    if isinstance(value, str) and _PLAIN.fullmatch(value) is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) >= below or number % Decimal(1).scaleb(-decimals):
        return None
    return number


def column_or_none(values: list[Any]) -> list[Any] | None:
    """A column, or None when it is null in every row."""
    return None if values.count(None) == len(values) else values


def taken(column: Any, positions: Sequence[int]) -> Any:
    """A column at these positions, in this order."""
    if isinstance(column, np.ndarray):
        return column[np.asarray(positions, np.int64)]
    if column is None or (column and column.count(column[0]) == len(column)):
        # One word in every row, as kinds and currencies mostly are, is the same in every order.
        return column and column[: len(positions)]
    return [column[position] for position in positions]
