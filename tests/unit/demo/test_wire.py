"""The rows that are sent are rows the API takes, and say what the shop's columns say."""

from datetime import date
from decimal import Decimal

import orjson
import pytest

from app.cli.demo import wire
from app.cli.demo.shop import Shop, simulate
from app.records.transactions.columns import columns_of
from app.records.transactions.schemas import TRANSACTIONS


@pytest.fixture(scope="module")
def small() -> Shop:
    return simulate(13, customers=1_500, start=date(2025, 1, 1), end=date(2026, 1, 1))


def test_every_transaction_is_readable_and_without_flaw(small: Shop) -> None:
    body = orjson.dumps({"transactions": list(wire.transactions(small))[:10_000], "source": "demo"})
    batch = TRANSACTIONS.read(body)
    columns, flaws = columns_of(batch.rows)
    assert not batch.refused
    assert not flaws
    assert columns.amount_minor.tolist() == small.transactions.amount_minor[:10_000].tolist()


def test_everything_is_labelled_as_simulated(small: Shop) -> None:
    labels = {"customers": "customer_id", "transactions": "transaction_id", "events": "event_id", "costs": "cost_id"}
    sent = {shipment.name: shipment for shipment in wire.shipments(small)}
    for name, label in labels.items():
        assert all(row[label].startswith("demo-") for row in sent[name].rows)
    assert sent["transactions"].envelope == sent["events"].envelope == {"source": "demo"}
    assert all(row["attributes"]["simulated"] for row in wire.customers(small))


def test_identifiers_are_unique(small: Shop) -> None:
    for rows, name in ((wire.transactions, "transaction_id"), (wire.events, "event_id")):
        ids = [row[name] for row in rows(small)]
        assert len(set(ids)) == len(ids)


def test_refunds_name_a_purchase_that_was_sent_before_them(small: Shop) -> None:
    seen = set()
    for row in wire.transactions(small):
        if "refunds" in row:
            assert row["kind"] == "refund"
            assert row["refunds"] in seen
        seen.add(row["transaction_id"])


def test_amounts_are_exact_decimal_text(small: Shop) -> None:
    rows = list(wire.transactions(small))
    for row, minor in zip(rows, small.transactions.amount_minor.tolist(), strict=True):
        assert Decimal(row["amount"]) * 100 == minor
        if "items" in row:
            assert sum(Decimal(item["unit_price"]) * item["quantity"] for item in row["items"]) == Decimal(
                row["amount"]
            )


def test_bodies_hold_all_rows_in_batches(small: Shop) -> None:
    for shipment in wire.shipments(small):
        counts = [(rows, len(body[shipment.name])) for rows, body in shipment.bodies(1_000)]
        assert all(rows == there for rows, there in counts)
        assert sum(rows for rows, _ in counts) == shipment.size
