"""A market of three kinds of customers, so far apart that every method has to find them."""

from typing import Any

from tests.support.modelling import Modelling
from tests.support.records import transaction

EACH = 20
KINDS = ("heavy", "middle", "light")
PLANS = {"heavy": "gold", "middle": "silver", "light": "basic"}
# Purchases, amount, month of 2026: the clock of `service` stands at November 1st.
_HABITS = {"heavy": (9, 200, 10), "middle": (4, 50, 6), "light": (1, 5, 1)}


def customer_ids(kind: str) -> list[str]:
    return [f"{kind}-{number:02}" for number in range(EACH)]


def market() -> list[dict[str, Any]]:
    """Transactions of 20 heavy, 20 middle and 20 light buyers; within a kind they differ a little."""
    found = []
    for kind, (purchases, amount, month) in _HABITS.items():
        for number, customer_id in enumerate(customer_ids(kind)):
            found += [
                transaction(
                    f"{customer_id}-{purchase}",
                    customer_id=customer_id,
                    occurred_at=f"2026-{month:02}-{1 + (number * 7 + purchase * 3) % 20:02}T10:00:00Z",
                    amount=f"{amount + amount * (number % 5) // 20}.00",
                )
                for purchase in range(purchases + number % 2)
            ]
    return found


async def open_market(modelling: Modelling, *, with_attributes: bool = False) -> None:
    """Push it all; nobody is left waiting."""
    await modelling.service.push(*market())
    if with_attributes:
        people = [
            {
                "customer_id": customer_id,
                "attributes": {"plan": PLANS[kind], "age": 20 + 20 * place + number % 7, "country": "DE"},
            }
            for place, kind in enumerate(KINDS)
            for number, customer_id in enumerate(customer_ids(kind))
        ]
        answer = await modelling.client.post("/v1/customers", json={"customers": people})
        assert answer.status_code == 200, answer.text
    await modelling.drain()
