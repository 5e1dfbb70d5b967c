"""Consent, reach and campaign responses of customers, read beside their features from a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import insert

from app.db.engine import Database
from app.modelling.features import repository
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Range, Reporting, Scope
from app.modelling.segments.judgement.columns import CIRCUMSTANCES, JUDGED
from app.tables.customers import customers, past_attributes
from app.tables.events import events
from app.tables.transactions import transactions

pytestmark = pytest.mark.anyio

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
EVERYBODY = Range("", "~")
NUMBER = count()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, pool_size=2, statement_timeout_seconds=30, application="test")
    yield found
    await found.close()


def customer(customer_id: str, **values: Any) -> dict[str, Any]:
    given = {"attributes": {}, "attributes_since": BEFORE, "consent_marketing": None, "consent_profiling": None}
    return {"customer_id": customer_id, **given, **values}


def event(customer_id: str, kind: str, *, days: float, campaign: str | None = "spring") -> dict[str, Any]:
    return {
        "source": "test",
        "event_id": f"E-{next(NUMBER)}",
        "customer_id": customer_id,
        "type": kind,
        "occurred_at": AS_OF - timedelta(days=days),
        "campaign_id": campaign,
    }


def bought(customer_id: str, *, days: float, campaign: str | None = "spring", kind: str = "purchase") -> dict[str, Any]:
    return {
        "source": "test",
        "transaction_id": f"T-{next(NUMBER)}",
        "customer_id": customer_id,
        "kind": kind,
        "occurred_at": AS_OF - timedelta(days=days),
        "amount_minor": 1000,
        "currency": "EUR",
        "campaign_id": campaign,
    }


async def store(database: Database, table: Any, *rows: dict[str, Any]) -> None:
    async with database.write() as session:
        await session.execute(insert(table), list(rows))


async def read(database: Database, scope: Scope = EVERYBODY) -> dict[str, list[float | None]]:
    """By customer the circumstances in their order: marketing, profiling, reachable, exposed, responded."""
    reporting = Reporting("EUR", ZoneInfo("UTC"))
    async with database.read() as session:
        found = await repository.read(
            session, JUDGED, scope=scope, as_of=AS_OF, reporting=reporting, derived=CIRCUMSTANCES
        )
    columns = FeatureColumns.of([*JUDGED, *CIRCUMSTANCES], found.rows)
    rows = zip(*(columns.values[each.name].tolist() for each in CIRCUMSTANCES), strict=True)
    return {
        customer_id: [None if np.isnan(value) else value for value in row]
        for customer_id, row in zip(columns.customer_ids, rows, strict=True)
    }


async def test_consent_is_given_refused_or_was_never_asked_for(database: Database) -> None:
    await store(
        database,
        customers,
        customer("given", consent_marketing=True, consent_profiling=False),
        customer("not asked"),
        customer("refused", consent_marketing=False, consent_profiling=True),
    )
    found = await read(database)
    assert {each: values[:2] for each, values in found.items()} == {
        "given": [1.0, 0.0],
        "not asked": [None, None],
        "refused": [0.0, 1.0],
    }
    assert found["given"][2:] == [0.0, 0.0, 0.0]


async def test_reachable_is_who_consented_and_has_an_address(database: Database) -> None:
    yes = {"consent_marketing": True}
    address = {"email": "a@example.org"}
    await store(
        database,
        customers,
        customer("blank", attributes={"email": " ", "phone": None}, **yes),
        customer("email", attributes=address, **yes),
        customer("phone", attributes={"email": "", "phone": "+43 1"}, **yes),
        customer("refused", attributes=address, consent_marketing=False),
        customer("not asked", attributes=address),
        customer("later", attributes=address, attributes_since=AS_OF + timedelta(days=1), **yes),
        customer("once", attributes_since=AS_OF + timedelta(days=1), **yes),
        customer("mailed", **yes),
        customer("visited", **yes),
        customer("mailed later", **yes),
    )
    await store(
        database,
        past_attributes,
        {
            "customer_id": "once",
            "valid_from": BEFORE,
            "valid_to": AS_OF + timedelta(days=1),
            "attributes": address,
        },
    )
    await store(
        database,
        events,
        event("mailed", "email_sent", days=1, campaign=None),
        event("visited", "visit", days=1),
        event("mailed later", "email_open", days=0),
    )
    found = await read(database)
    assert {each for each, values in found.items() if values[2] == 1.0} == {"email", "phone", "once", "mailed"}
    assert {values[2] for values in found.values()} == {0.0, 1.0}


async def test_a_response_is_what_follows_an_exposure_to_the_same_campaign(database: Database) -> None:
    names = ["bought", "clicked", "clicked first", "later", "nothing", "other", "refunded", "twice", "two"]
    await store(database, customers, *(customer(name) for name in names))
    await store(
        database,
        events,
        *(event(name, "email_sent", days=10) for name in names),
        event("clicked", "email_click", days=9),
        event("clicked first", "click", days=11),
        event("later", "conversion", days=0),
        event("nothing", "email_open", days=9),
        event("nothing", "visit", days=9),
        event("other", "click", days=9, campaign="summer"),
        event("other", "click", days=9, campaign=None),
        event("twice", "impression", days=5),
        event("twice", "click", days=4),
        event("twice", "click", days=3),
        event("two", "impression", days=10, campaign="summer"),
        event("two", "conversion", days=10, campaign="summer"),
        event("two", "impression", days=10, campaign=None),
    )
    await store(
        database,
        transactions,
        bought("bought", days=1),
        bought("nothing", days=1, campaign=None),
        bought("nothing", days=20),
        bought("refunded", days=1, kind="refund"),
        bought("later", days=-1),
    )
    found = await read(database)
    assert {each: values[3:] for each, values in found.items()} == {
        "bought": [1.0, 1.0],
        "clicked": [1.0, 1.0],
        "clicked first": [1.0, 0.0],
        "later": [1.0, 0.0],
        "nothing": [1.0, 0.0],
        "other": [1.0, 0.0],
        "refunded": [1.0, 0.0],
        "twice": [1.0, 1.0],
        # A conversion of the same instant counts: days are often all that is known.
        "two": [2.0, 1.0],
    }
    assert await read(database, ["two"]) == {"two": found["two"]}
