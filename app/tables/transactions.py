"""What was bought and returned: one row per purchase or refund, and the lines inside."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Numeric,
    Table,
    text,
)
from sqlalchemy.dialects.postgresql import CHAR

from app.tables.metadata import identifier, instant, metadata, one_of

TRANSACTION_KINDS = ("purchase", "refund")

# One row per purchase or refund, keyed by the identifiers the source itself uses: no surrogate key (ADR 0005).
# customer_id null: a guest, or somebody erased since. There is no foreign key to customers because its check
# costs more than the whole insert; the one write path creates the customer in the same transaction.
transactions = Table(
    "transactions",
    metadata,
    identifier("source", primary_key=True),
    identifier("transaction_id", primary_key=True),
    identifier("customer_id", nullable=True),
    instant("occurred_at"),
    identifier("kind"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("margin_minor", BigInteger),
    identifier("refunds", nullable=True),
    identifier("channel", nullable=True),
    identifier("campaign_id", nullable=True),
    Column("line_count", Integer, nullable=False, server_default="0"),
    instant("received_at", defaults_to_now=True),
    one_of("kind", TRANSACTION_KINDS),
    CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    CheckConstraint("refunds is null or kind = 'refund'", name="refunds_only_on_refunds"),
    Index(
        "ix_transactions_customer",
        "customer_id",
        "occurred_at",
        postgresql_include=["amount_minor", "currency", "kind"],
        postgresql_where=text("customer_id is not null"),
    ),
    Index(
        "ix_transactions_guests",
        "occurred_at",
        postgresql_include=["amount_minor", "currency", "kind"],
        postgresql_where=text("customer_id is null"),
    ),
)

# One row per line of a transaction, in the order it was sent; unit_price in the transaction's currency.
transaction_items = Table(
    "transaction_items",
    metadata,
    identifier("source", primary_key=True),
    identifier("transaction_id", primary_key=True),
    Column("line", Integer, primary_key=True),
    identifier("product_id"),
    Column("quantity", Numeric(18, 6), nullable=False),
    Column("unit_price", Numeric(24, 6), nullable=False),
)
