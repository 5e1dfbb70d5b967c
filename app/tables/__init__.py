"""Every table of the service: one file per domain, no relationships, joins are written in queries."""

from app.tables import (
    customers,
    events,
    intake,
    jobs,
    money,
    operations,
    privacy,
    registry,
    segments,
    transactions,
    webhooks,
)
from app.tables.metadata import metadata

__all__ = [
    "customers",
    "events",
    "intake",
    "jobs",
    "metadata",
    "money",
    "operations",
    "privacy",
    "registry",
    "segments",
    "transactions",
    "webhooks",
]
