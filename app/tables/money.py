"""What was spent to win customers, and what currencies were worth on each day."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Numeric, Table
from sqlalchemy.dialects.postgresql import CHAR

from app.tables.metadata import identifier, instant, metadata, one_of

COST_CATEGORIES = ("media", "technology", "development", "people", "compliance", "incentive", "other")

# One row per booked cost, spread evenly over the days [starts_on, ends_on).
costs = Table(
    "costs",
    metadata,
    identifier("cost_id", primary_key=True),
    identifier("campaign_id", nullable=True),
    identifier("initiative_id", nullable=True),
    identifier("channel", nullable=True),
    identifier("category"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False),
    instant("received_at", defaults_to_now=True),
    one_of("category", COST_CATEGORIES),
    CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    CheckConstraint("ends_on > starts_on", name="window_forward"),
)

# One row per day and ordered pair: one unit of from_currency is worth `rate` units of to_currency that day.
exchange_rates = Table(
    "exchange_rates",
    metadata,
    Column("on_day", Date, primary_key=True),
    Column("from_currency", CHAR(3), primary_key=True),
    Column("to_currency", CHAR(3), primary_key=True),
    Column("rate", Numeric(24, 12), nullable=False),
    instant("received_at", defaults_to_now=True),
    CheckConstraint("rate > 0", name="rate_positive"),
    CheckConstraint("from_currency <> to_currency", name="currencies_differ"),
)
