"""Records with sensible values, to be overridden by what a test is about."""

from typing import Any


def transaction(transaction_id: str = "T-1", **values: Any) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "customer_id": "C-1",
        "occurred_at": "2026-10-01T10:00:00Z",
        "amount": "10.00",
        "currency": "EUR",
        **values,
    }
