"""What customers did besides buying: one row per event; an event with a channel is a touchpoint."""

from sqlalchemy import CheckConstraint, Column, Double, Index, Table, text

from app.tables.metadata import document, identifier, instant, metadata

# One row per event. customer_id null: the customer was erased; the event still counts in totals.
events = Table(
    "events",
    metadata,
    identifier("source", primary_key=True),
    identifier("event_id", primary_key=True),
    identifier("customer_id", nullable=True),
    identifier("type"),
    instant("occurred_at"),
    identifier("channel", nullable=True),
    identifier("campaign_id", nullable=True),
    Column("value", Double),
    document("properties"),
    instant("received_at", defaults_to_now=True),
    CheckConstraint("type ~ '^[a-z][a-z0-9_]*$'", name="type_snake_case"),
    Index("ix_events_customer", "customer_id", "occurred_at", postgresql_where=text("customer_id is not null")),
    # Of every 32 pages the first and the last instant: events come in roughly as they happen. A B-tree would cost a
    # fifth of the rate at which they are copied in; this one cost nothing that could be measured.
    Index(
        "ix_events_times",
        "occurred_at",
        "received_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
)
