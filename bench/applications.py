"""The applications that are measured: the product, a constant endpoint, and what one writes without thinking twice."""

import os
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import FastAPI, Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.dialects.postgresql import insert

from app.config import Settings
from app.main import create_app
from app.tables.customers import customers
from app.tables.segments import memberships, segmentations, segments
from app.tables.transactions import transactions
from app.web.logs import configure
from bench.ground import ADMIN_KEY


def tessera() -> FastAPI:
    configure(as_json=True, level="warning")
    settings = Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR")
    return create_app(settings, database_url=os.environ["BENCH_DATABASE_URL"], secret=b"b" * 32)


class Transaction(BaseModel):
    transaction_id: str = Field(min_length=1, max_length=255)
    customer_id: str = Field(min_length=1, max_length=255)
    occurred_at: AwareDatetime
    amount: Decimal = Field(decimal_places=2)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    kind: Literal["purchase", "refund"] = "purchase"


class Transactions(BaseModel):
    transactions: list[Transaction]


class Lookup(BaseModel):
    customer_ids: list[str] = Field(min_length=1, max_length=10_000)


class Membership(BaseModel):
    segmentation_id: UUID
    segmentation: str
    version: int
    segment_id: UUID
    segment_key: str
    segment_name: str
    since: datetime
    evaluated_at: datetime
    reason: dict[str, Any]


class Customer(BaseModel):
    customer_id: str
    memberships: list[Membership]


class Found(BaseModel):
    data: list[Customer]
    unknown: list[str]


def idiomatic() -> FastAPI:
    """Lists of Pydantic models; a SQLAlchemy insert that skips what is known, and a select with its joins."""
    engine = sa.create_engine(os.environ["BENCH_DATABASE_URL"], pool_size=8)
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/transactions")
    def push(body: Transactions) -> dict[str, int]:
        rows = [
            {
                "source": "default",
                "transaction_id": row.transaction_id,
                "customer_id": row.customer_id,
                "occurred_at": row.occurred_at,
                "kind": row.kind,
                "amount_minor": int(row.amount * 100),
                "currency": row.currency,
            }
            for row in body.transactions
        ]
        statement = insert(transactions).on_conflict_do_nothing(index_elements=["source", "transaction_id"])
        with engine.begin() as connection:
            connection.execute(statement, rows)
        return {"received": len(rows)}

    @app.post("/v1/segments/lookup")
    def look_up(body: Lookup) -> Found:
        c, m, g, s = customers.c, memberships.c, segments.c, segmentations.c
        query = (
            sa.select(c.customer_id.label("known"), memberships, g.key, g.name, s.name.label("segmentation"))
            .outerjoin_from(customers, memberships, (m.customer_id == c.customer_id) & m.valid_to.is_(None))
            .outerjoin(segments, g.segment_id == m.segment_id)
            .outerjoin(segmentations, s.segmentation_id == m.segmentation_id)
            .where(c.customer_id.in_(body.customer_ids))
        )
        found: dict[str, list[Membership]] = {}
        with engine.connect() as connection:
            for row in connection.execute(query).mappings():
                theirs = found.setdefault(row["known"], [])
                if row["segment_id"] is not None:
                    theirs.append(Membership(segment_key=row["key"], segment_name=row["name"], **row))
        asked = dict.fromkeys(body.customer_ids)
        return Found(
            data=[Customer(customer_id=each, memberships=found[each]) for each in asked if each in found],
            unknown=[each for each in asked if each not in found],
        )

    return app


def constant() -> FastAPI:
    """The least a FastAPI endpoint can do."""
    app = FastAPI()
    content = b'{"customer_id":"C-1","as_of":"2026-11-01T00:00:00Z","memberships":[]}'

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/customers/{customer_id}/segments")
    async def segments(customer_id: str) -> Response:
        assert customer_id
        return Response(content, media_type="application/json")

    return app
