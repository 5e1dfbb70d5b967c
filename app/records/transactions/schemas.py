"""Transactions on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel

from app.records.intake.envelope import Amount, Envelope, Identifier, Word
from app.records.intake.instants import InstantText

MAX_LINES = 1_000
Quantity = Annotated[int | float | str, msgspec.Meta(description="How many; up to 6 decimals.")]


class ItemIn(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a transaction; unit_price in the transaction's currency, up to 6 decimals."""

    product_id: Identifier
    quantity: Quantity
    unit_price: Amount


class TransactionIn(msgspec.Struct, forbid_unknown_fields=True):
    """A purchase or a refund. customer_id null: a guest. A refund has a positive amount and counts negative."""

    transaction_id: Identifier
    customer_id: Identifier | None
    occurred_at: InstantText
    amount: Amount
    currency: str
    kind: Literal["purchase", "refund"] = "purchase"
    refunds: Identifier | None = None
    margin: Amount | None = None
    channel: Word | None = None
    campaign_id: Identifier | None = None
    items: Annotated[list[ItemIn], msgspec.Meta(max_length=MAX_LINES)] | None = None


TRANSACTIONS = Envelope("transactions", TransactionIn)


class Money(BaseModel):
    """An amount as exact decimal text, with its currency."""

    amount: str
    currency: str


class ItemOut(BaseModel):
    product_id: str
    quantity: str
    unit_price: str


class TransactionOut(BaseModel):
    """A purchase or refund as it was stored."""

    source: str
    transaction_id: str
    occurred_at: datetime
    kind: Literal["purchase", "refund"]
    amount: Money
    margin: Money | None
    refunds: str | None
    channel: str | None
    campaign_id: str | None
    items: list[ItemOut]


class TransactionPage(BaseModel):
    data: list[TransactionOut]
    next_cursor: str | None
