"""Storing transactions: each once, whatever is sent how often, and never a good row lost to a bad one."""

from collections.abc import Sequence
from typing import Any

from app.money import from_minor
from app.records.intake.bulk import Kind
from app.records.intake.once import Shelf, adding, storing
from app.records.transactions import repository
from app.records.transactions.columns import TransactionColumns, columns_of
from app.records.transactions.schemas import TRANSACTIONS, TransactionIn
from app.tables.transactions import transactions

SHELF: Shelf[TransactionColumns] = Shelf(
    transactions.c.transaction_id,
    TransactionColumns.take,
    repository.compare,
    repository.add,
    TransactionColumns.contents,
    repository.add_unknown,
)

TRANSACTION_KIND: Kind[TransactionIn, TransactionColumns] = Kind(
    "transactions",
    TRANSACTIONS,
    columns_of,
    TransactionColumns.take,
    storing(SHELF),
    adding(SHELF),
    repository.insertion,
)


def shown(row: dict[str, Any], lines: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """A stored transaction as it is answered."""
    currency = row["currency"]

    def money(minor: int | None) -> dict[str, str] | None:
        return None if minor is None else {"amount": from_minor(minor, currency), "currency": currency}

    same = ("source", "transaction_id", "occurred_at", "kind", "refunds", "channel", "campaign_id")
    return {
        **{name: row[name] for name in same},
        "amount": money(row["amount_minor"]),
        "margin": money(row["margin_minor"]),
        "items": [
            {"product_id": product_id, "quantity": f"{quantity:f}", "unit_price": f"{unit_price:f}"}
            for product_id, quantity, unit_price in lines
        ],
    }
