"""What a good record has: each field that may be missing stands here once, for the report and its documentation."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, literal
from sqlalchemy.dialects.postgresql import JSONB

from app.tables.customers import customers
from app.tables.events import events
from app.tables.transactions import transactions

_c, _t, _e = customers.c, transactions.c, events.c


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that a row may lack. among: the rows that should have it; null: all."""

    field: str
    is_missing: ColumnElement[bool]
    meaning: str
    among: ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """One kind of record. same: what two rows under different identifiers share when they may be one and the same."""

    name: str
    table: Table
    received_at: Column[Any]
    fields: tuple[Missing, ...]
    same: tuple[Column[Any], ...] = ()


CUSTOMERS = Records(
    "customers",
    customers,
    _c.first_seen_at,
    (
        Missing(
            "attributes",
            _c.attributes == literal({}, JSONB),
            "Nothing is known but the identifier: named by a fact, never described.",
        ),
        Missing("consent_profiling", _c.consent_profiling.is_(None), "Nobody was asked: counts as no."),
        Missing("consent_marketing", _c.consent_marketing.is_(None), "Nobody was asked: never handed out."),
    ),
)
TRANSACTIONS = Records(
    "transactions",
    transactions,
    _t.received_at,
    (
        Missing("customer_id", _t.customer_id.is_(None), "A guest, or somebody erased since: in totals only."),
        Missing("channel", _t.channel.is_(None), "In the group null of key figures."),
        Missing("campaign_id", _t.campaign_id.is_(None), "Not the doing of any campaign, or nobody said so."),
        Missing("margin", _t.margin_minor.is_(None), "Gain can only be told in revenue."),
        Missing("items", _t.line_count == 0, "No products: nothing on categories and baskets."),
        Missing(
            "refunds",
            _t.refunds.is_(None),
            "A refund that does not name its purchase.",
            among=_t.kind == "refund",
        ),
    ),
    (_t.customer_id, _t.kind, _t.occurred_at, _t.amount_minor, _t.currency),
)
EVENTS = Records(
    "events",
    events,
    _e.received_at,
    (
        Missing("customer_id", _e.customer_id.is_(None), "Somebody erased since: in totals only."),
        Missing("channel", _e.channel.is_(None), "No touchpoint: it explains no purchase."),
        Missing("campaign_id", _e.campaign_id.is_(None), "Not the doing of any campaign, or nobody said so."),
    ),
    (_e.customer_id, _e.type, _e.occurred_at, _e.channel, _e.campaign_id, _e.value, _e.properties),
)

# How long after it happened a fact came in, up to and including; null: later still.
LATENESS: tuple[timedelta | None, ...] = (
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=30),
    None,
)
# Clocks differ: what happened so little after it was received is no mistake.
CLOCKS_DIFFER_BY = timedelta(minutes=5)
