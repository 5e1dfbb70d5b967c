"""Who is told of changes, and what is still to be delivered to them."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Identity, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.tables.metadata import document, identifier, instant, metadata, one_of

DELIVERY_STATUSES = ("pending", "delivered", "failed")

# One row per receiver. Its signing secret is derived from the service's own and secret_generation, and stored
# nowhere; until a while after rotated_at the one before is good too. segment_ids null: changes of all segments.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("events", ARRAY(Text(collation="C")), nullable=False),
    Column("segment_ids", ARRAY(Uuid)),
    Column("secret_generation", Integer, nullable=False, server_default="1"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("disabled_reason", Text),
    instant("created_at", defaults_to_now=True),
    instant("rotated_at", nullable=True),
)

# One row per message to one receiver. message_id stays the same over all attempts; next_attempt_at is null when there
# will be none, and lies ahead while somebody is sending. customer_id null: the message is about nobody.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("delivery_id", BigInteger, Identity(always=True), primary_key=True),
    Column("endpoint_id", Uuid, ForeignKey("webhook_endpoints.endpoint_id", ondelete="CASCADE"), nullable=False),
    Column("message_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    identifier("event"),
    identifier("customer_id", nullable=True),
    document("payload"),
    identifier("status"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_status_code", Integer),
    Column("last_error", Text),
    instant("created_at", defaults_to_now=True),
    instant("next_attempt_at", nullable=True),
    instant("delivered_at", nullable=True),
    one_of("status", DELIVERY_STATUSES),
    # Thousands are made at one instant: the last column keeps those in order without sorting.
    Index(
        "ix_webhook_deliveries_due",
        *("endpoint_id", "next_attempt_at", "delivery_id"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index("ix_webhook_deliveries_endpoint", "endpoint_id", "delivery_id"),
    Index("ix_webhook_deliveries_customer", "customer_id"),
)
