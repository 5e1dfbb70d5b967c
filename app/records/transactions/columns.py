"""Rows of transactions as columns, every value checked; flawed rows are set apart with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from app.records.intake.amounts import amount_of, amounts_of, column_or_none, plain_number, taken
from app.records.intake.instants import micros_of
from app.records.intake.outcome import Flaw
from app.records.transactions.items import DECIMALS, LARGEST, ItemColumns, item_columns
from app.records.transactions.schemas import TransactionIn

Integers = npt.NDArray[np.int64]

_NEGATIVE = "must not be negative; send a refund as kind refund with a positive amount"


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
    items: ItemColumns | None = None

    def __len__(self) -> int:
        return len(self.transaction_id)

    def take(self, positions: Sequence[int]) -> "TransactionColumns":
        """The rows at these positions, in this order."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        items = columns.pop("items")
        columns = {name: taken(column, positions) for name, column in columns.items()}
        return TransactionColumns(**columns, items=items and items.take(positions))

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
            self.items.content(position) if self.items is not None else (),
        )

    def contents(self) -> list[tuple[Any, ...]]:
        """The content of every row."""
        columns = (self.customer_id, self.occurred_at.tolist(), self.kind, self.amount_minor.tolist(), self.currency)
        optional = (self.margin_minor, self.refunds, self.channel, self.campaign_id)
        given = (repeat(None) if each is None else each for each in optional)
        items = repeat(()) if self.items is None else map(self.items.content, range(len(self)))
        return list(zip(*columns, *given, items, strict=False))  # what repeats has no end


def columns_of(rows: Sequence[TransactionIn]) -> tuple[TransactionColumns, list[Flaw]]:
    """Columns of decoded rows and the flaws found; a flawed row's values mean nothing."""
    flaws: list[Flaw] = []
    kind = [row.kind for row in rows]
    currency = [row.currency for row in rows]
    columns = TransactionColumns(
        transaction_id=[row.transaction_id for row in rows],
        customer_id=[row.customer_id for row in rows],
        occurred_at=_micros(rows, flaws),
        kind=list(kind),
        amount_minor=amounts_of([row.amount for row in rows], currency, flaws, if_negative=_NEGATIVE),
        currency=currency,
        margin_minor=_margins(rows, flaws),
        refunds=column_or_none([row.refunds for row in rows]),
        channel=column_or_none([row.channel for row in rows]),
        campaign_id=column_or_none([row.campaign_id for row in rows]),
        items=_items(rows, flaws),
    )
    if columns.refunds is not None:
        flaws.extend(
            Flaw(position, "refunds_on_purchase", "refunds", "only a refund can refund a transaction")
            for position, refunded in enumerate(columns.refunds)
            if refunded is not None and kind[position] != "refund"
        )
    return columns, flaws


def _micros(rows: Sequence[TransactionIn], flaws: list[Flaw]) -> Integers:
    micros, wrong = micros_of([row.occurred_at for row in rows])
    flaws.extend(Flaw(position, code, "occurred_at", detail) for position, code, detail in wrong)
    return micros


def _margins(rows: Sequence[TransactionIn], flaws: list[Flaw]) -> list[int | None] | None:
    if column_or_none([row.margin for row in rows]) is None:
        return None
    unflawed: list[Flaw] = []
    margins = [
        None if row.margin is None else amount_of(row.margin, row.currency, unflawed, position=position, field="margin")
        for position, row in enumerate(rows)
    ]
    flaws.extend(flaw for flaw in unflawed if flaw.code != "unknown_currency")
    return margins


def _items(rows: Sequence[TransactionIn], flaws: list[Flaw]) -> ItemColumns | None:
    if column_or_none([row.items for row in rows]) is None:
        return None
    lines = [item for row in rows for item in row.items or ()]
    counts = [len(row.items or ()) for row in rows]
    places = ((position, line) for position, count in enumerate(counts) for line in range(count))
    numbers: dict[str, list[int]] = {"quantity": [], "unit_price": []}
    for (position, line), item in zip(places, lines, strict=True):
        for name, found in numbers.items():
            value = plain_number(getattr(item, name), decimals=DECIMALS, below=LARGEST)
            if value is None:
                detail = "must be a plain number with at most 6 decimals, below a million million"
                flaws.append(Flaw(position, "invalid_number", f"items/{line}/{name}", detail))
            found.append(int((value or Decimal(0)).scaleb(DECIMALS)))
    return item_columns(counts, [item.product_id for item in lines], **numbers)
