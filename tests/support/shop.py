"""A small shop whose customers differ in every way that RFM looks at."""

from typing import Any

from tests.support.records import transaction

# The clock of `service` stands after all of it.
CUSTOMERS = 25


def shop(customers: int = CUSTOMERS) -> list[dict[str, Any]]:
    """Customers C-00, C-01, ...: each buys more often, for more and more recently than the one before."""
    return [
        transaction(
            f"T-{customer}-{purchase}",
            customer_id=f"C-{customer:02}",
            occurred_at=f"2026-{1 + customer * 9 // customers:02}-{1 + purchase:02}T10:00:00Z",
            amount=f"{10 + customer}.00",
        )
        for customer in range(customers)
        for purchase in range(1 + customer * 12 // (customers - 1))
    ]
