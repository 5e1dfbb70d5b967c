"""Literal rows for key figures that are not about sales alone: events, costs, values of customers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import make_url

MODEL = UUID("c1000000-0000-4000-8000-000000000000")


@dataclass(frozen=True)
class Event:
    """One event."""

    type: str
    occurred_at: datetime
    customer_id: str | None = "C-1"
    channel: str | None = None
    campaign_id: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """One booked cost, in euros unless said otherwise."""

    amount_minor: int
    starts_on: date
    ends_on: date
    category: str = "media"
    channel: str | None = None
    campaign_id: str | None = None
    currency: str = "EUR"


def connect(database_url: str) -> psycopg.Connection:
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url)


def store_events(events: Sequence[Event], database_url: str) -> None:
    """Replace all events by these."""
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("truncate events")
        cursor.executemany(
            "insert into events (source, event_id, type, occurred_at, customer_id, channel, campaign_id, properties)"
            " values ('crm', %s, %s, %s, %s, %s, %s, %s)",
            [
                (f"E-{n}", *list(vars(event).values())[:-1], json.dumps(event.properties))
                for n, event in enumerate(events)
            ],
        )


def store_costs(costs: Sequence[Cost], database_url: str) -> None:
    """Replace all costs by these."""
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("truncate costs")
        cursor.executemany(
            "insert into costs (cost_id, amount_minor, starts_on, ends_on, category, channel, campaign_id, currency)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(f"K-{n}", *vars(cost).values()) for n, cost in enumerate(costs)],
        )


def store_values(values: dict[str, int | None], database_url: str, *, status: str = "active") -> None:
    """A CLV model that says so of these customers."""
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into models (model_id, kind, algorithm, format, content, signature, fingerprint, customers, window_to)"
            " values (%s, 'clv', 'bg_nbd', 'none', '', '', '', 0, now())",
            (MODEL,),
        )
        cursor.execute(
            "insert into predictive_models (model_id, kind, status, algorithm, artifact_id, as_of)"
            " values (%s, 'clv', %s, 'bg_nbd', %s, now())",
            (MODEL, status, MODEL),
        )
        cursor.executemany(
            "insert into clv_scores (model_id, customer_id, p_alive, expected_purchases, clv_minor, scored_at)"
            " values (%s, %s, 1, 1, %s, now())",
            [(MODEL, customer, clv) for customer, clv in values.items()],
        )
