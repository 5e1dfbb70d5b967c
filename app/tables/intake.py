"""What bulk writes leave behind besides the facts: refused rows, whom they touched, which batches are known."""

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from app.tables.metadata import identifier, instant, metadata, one_of

REJECTION_STATUSES = ("open", "resolved")
RECORD_KINDS = ("customers", "transactions", "events", "costs", "exchange_rates", "exposures")

# One row per refused row. payload holds the bytes as sent (they may not even be valid text for Postgres);
# customer_id is the identifier found in it, so that erasure reaches it; null when there was none.
rejections = Table(
    "rejections",
    metadata,
    Column("rejection_id", BigInteger, Identity(always=True), primary_key=True),
    identifier("kind"),
    identifier("source", nullable=True),
    Column("index", Integer, nullable=False),
    identifier("code"),
    identifier("pointer"),
    Column("detail", Text, nullable=False),
    identifier("customer_id", nullable=True),
    Column("payload", BYTEA, nullable=False),
    identifier("status"),
    instant("received_at", defaults_to_now=True),
    instant("retried_at", nullable=True),
    one_of("kind", RECORD_KINDS),
    one_of("status", REJECTION_STATUSES),
    Index("ix_rejections_customer", "customer_id", postgresql_where=text("customer_id is not null")),
)

# One row per ingesting transaction: the customers it touched. Appended only, so that writers never wait for
# each other; the set is the distinct union of the rows (ADR 0006).
dirty_customers = Table(
    "dirty_customers",
    metadata,
    Column("batch_id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_ids", ARRAY(Text(collation="C")), nullable=False),
    instant("touched_at", defaults_to_now=True),
)

# One row per bulk body that was stored without a refusal: the same bytes again change nothing, for as long as
# privacy_epoch has not moved.
known_batches = Table(
    "known_batches",
    metadata,
    Column("digest", BYTEA, primary_key=True),
    Column("row_count", Integer, nullable=False),
    Column("privacy_epoch", BigInteger, nullable=False),
    instant("received_at", defaults_to_now=True),
)
