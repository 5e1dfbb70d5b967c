"""Rows of transactions as columns, every value checked; flawed rows are set apart with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt

from app.money import InvalidAmount, UnknownCurrency, exponent, to_minor, to_minor_array
from app.records.intake.outcome import Flaw
from app.records.transactions.schemas import ItemIn, TransactionIn

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Outside of these no shop ever sold anything: a wrong unit or a default value of some program.
EARLIEST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATEST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
PRICE_STEP = Decimal("0.000001")
LARGEST_QUANTITY = Decimal(10) ** 12
LARGEST_PRICE = Decimal(10) ** 16

Line = tuple[str, Decimal, Decimal]


@dataclass(slots=True)
class TransactionColumns:
    """Transactions by column, in one order; None for a column says that it is null in every row."""

    transaction_id: list[str]
    customer_id: list[str | None]
    occurred_at: Integers
    kind: list[str]
    amount_minor: Integers
    currency: list[str]
    margin_minor: list[int | None] | None = None
    refunds: list[str | None] | None = None
    channel: list[str | None] | None = None
    campaign_id: list[str | None] | None = None
    items: list[Sequence[Line] | None] | None = None

    def __len__(self) -> int:
        return len(self.transaction_id)

    def take(self, positions: Sequence[int]) -> "TransactionColumns":
        """The rows at these positions, in this order."""
        taken: dict[str, Any] = {}
        for each in fields(self):
            column = getattr(self, each.name)
            if isinstance(column, np.ndarray):
                taken[each.name] = column[np.asarray(positions, np.int64)]
            elif column is not None:
                taken[each.name] = [column[position] for position in positions]
        return TransactionColumns(**taken)

    def content(self, position: int) -> tuple[Any, ...]:
        """Everything one row says, for telling a duplicate from a conflict."""
        optional = (self.margin_minor, self.refunds, self.channel, self.campaign_id)
        return (
            self.customer_id[position],
            int(self.occurred_at[position]),
            self.kind[position],
            int(self.amount_minor[position]),
            self.currency[position],
            *(column[position] if column is not None else None for column in optional),
            tuple((self.items[position] or ()) if self.items is not None else ()),
        )


def columns_of(rows: Sequence[TransactionIn]) -> tuple[TransactionColumns, list[Flaw]]:
    """Columns of decoded rows and the flaws found; a flawed row's values mean nothing."""
    flaws: list[Flaw] = []
    kind = [row.kind for row in rows]
    currency = [row.currency for row in rows]
    columns = TransactionColumns(
        transaction_id=[row.transaction_id for row in rows],
        customer_id=[row.customer_id for row in rows],
        occurred_at=_micros([row.occurred_at for row in rows], flaws),
        kind=list(kind),
        amount_minor=_amounts([row.amount for row in rows], currency, flaws),
        currency=currency,
        margin_minor=_margins(rows, flaws),
        refunds=_optional([row.refunds for row in rows]),
        channel=_optional([row.channel for row in rows]),
        campaign_id=_optional([row.campaign_id for row in rows]),
        items=_items(rows, flaws),
    )
    if columns.refunds is not None:
        flaws.extend(
            Flaw(position, "refunds_on_purchase", "refunds", "only a refund can refund a transaction")
            for position, refunded in enumerate(columns.refunds)
            if refunded is not None and kind[position] != "refund"
        )
    return columns, flaws


def _optional(values: list[Any]) -> list[Any] | None:
    return None if values.count(None) == len(values) else values


def _micros(instants: list[datetime], flaws: list[Flaw]) -> Integers:
    seconds = np.fromiter((instant.timestamp() for instant in instants), np.float64, len(instants))
    micros = np.rint(seconds * 1e6).astype(np.int64)
    flaws.extend(
        Flaw(int(position), "absurd_instant", "occurred_at", "must lie between 1900 and 2200")
        for position in np.flatnonzero((micros < EARLIEST) | (micros >= LATEST))
    )
    return micros


def _amounts(amounts: list[Any], currencies: list[str], flaws: list[Flaw]) -> Integers:
    """Minor units of purchases and refunds, which are never negative."""
    minor = np.zeros(len(amounts), np.int64)
    for currency in set(currencies):
        if currencies.count(currency) == len(currencies):
            where: Any = slice(None)
            given = amounts
        else:
            where = np.flatnonzero(np.array([each == currency for each in currencies]))
            given = [amounts[position] for position in where]
        positions = np.arange(len(amounts))[where]
        try:
            digits = exponent(currency)
        except UnknownCurrency as error:
            flaws.extend(Flaw(int(p), "unknown_currency", "currency", str(error)) for p in positions)
            continue
        values, unsure = to_minor_array(given, digits)
        for offset in np.flatnonzero(unsure):
            values[offset] = _checked(given[offset], currency, int(positions[offset]), "amount", flaws)
        for offset in np.flatnonzero(values < 0):
            detail = "must not be negative; send a refund as kind refund with a positive amount"
            flaws.append(Flaw(int(positions[offset]), "negative_amount", "amount", detail))
        minor[where] = values
    return minor


def _checked(amount: Any, currency: str, position: int, field: str, flaws: list[Flaw]) -> int:
    try:
        return to_minor(amount, currency)
    except InvalidAmount as error:
        flaws.append(Flaw(position, error.code, field, str(error)))
        return 0


def _margins(rows: Sequence[TransactionIn], flaws: list[Flaw]) -> list[int | None] | None:
    if all(row.margin is None for row in rows):
        return None
    unflawed: list[Flaw] = []
    margins = [
        None if row.margin is None else _checked(row.margin, row.currency, position, "margin", unflawed)
        for position, row in enumerate(rows)
    ]
    flaws.extend(flaw for flaw in unflawed if flaw.code != "unknown_currency")
    return margins


def _items(rows: Sequence[TransactionIn], flaws: list[Flaw]) -> list[Sequence[Line] | None] | None:
    if all(row.items is None for row in rows):
        return None
    return [_lines(row.items, position, flaws) if row.items else None for position, row in enumerate(rows)]


def _lines(items: Sequence[ItemIn], position: int, flaws: list[Flaw]) -> list[Line]:
    lines = []
    for line, item in enumerate(items):
        quantity = _number(item.quantity, LARGEST_QUANTITY)
        price = _number(item.unit_price, LARGEST_PRICE)
        for name, value in (("quantity", quantity), ("unit_price", price)):
            if value is None:
                detail = "must be a plain number with at most 6 decimals"
                flaws.append(Flaw(position, "invalid_number", f"items/{line}/{name}", detail))
        if quantity is not None and price is not None:
            lines.append((item.product_id, quantity, price))
    return lines


def _number(value: int | float | str, largest: Decimal) -> Decimal | None:
    """A plain decimal number of at most 6 decimals; null when it is none."""
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value)) if len(str(value)) <= 40 else None
    except InvalidOperation:
        return None
    if number is None or not number.is_finite() or abs(number) >= largest or number % PRICE_STEP:
        return None
    return number
