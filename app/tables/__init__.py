"""Every table of the service: one file per domain, no relationships, joins are written in queries."""

from app.tables import (
    campaigns,
    customers,
    events,
    intake,
    jobs,
    money,
    operations,
    predictions,
    privacy,
    registry,
    rollups,
    segments,
    transactions,
    webhooks,
)
from app.tables.metadata import metadata

__all__ = [
    "campaigns",
    "customers",
    "events",
    "intake",
    "jobs",
    "metadata",
    "money",
    "operations",
    "predictions",
    "privacy",
    "registry",
    "rollups",
    "segments",
    "transactions",
    "webhooks",
]
