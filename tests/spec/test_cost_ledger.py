"""Costs in a window, as a literal table says they must be."""

from datetime import date
from typing import Any

import pytest

from app.errors import MissingRates
from app.measurement.costs import Ledger, Spent, spent
from tests.conftest import Service

pytestmark = pytest.mark.anyio

# The first one runs over 10 days, of which 4 lie in the window below.
COSTS = (
    ("mail", "100.00", "EUR", "2026-01-01", "2026-01-11", "spring", "email", "media"),
    ("tool", "31.00", "EUR", "2026-01-01", "2026-02-01", None, None, "technology"),
    ("abroad", "40.00", "GBP", "2026-01-09", "2026-01-11", "spring", "search", "media"),
    ("later", "5.00", "EUR", "2026-01-11", "2026-01-12", "spring", "email", "media"),
)
WINDOW = (date(2026, 1, 7), date(2026, 1, 11))


def cost(cost_id: str, amount: str, currency: str, from_: str, to: str, *tags: str | None) -> dict[str, Any]:
    campaign_id, channel, category = tags
    row = {"cost_id": cost_id, "amount": amount, "currency": currency, "from": from_, "to": to, "category": category}
    return row | {name: tag for name, tag in (("campaign_id", campaign_id), ("channel", channel)) if tag}


async def push(service: Service) -> None:
    answer = await service.client.post("/v1/costs", json={"costs": [cost(*row) for row in COSTS]})
    assert answer.json()["created"] == len(COSTS), answer.text


async def rate(service: Service, on: str, value: str) -> None:
    answer = await service.client.put(
        "/v1/exchange-rates", json={"rates": [{"on": on, "from": "GBP", "to": "EUR", "rate": value}]}
    )
    assert answer.status_code == 200, answer.text


async def asked(service: Service, ledger: Ledger, *by: Any) -> list[Spent]:
    async with service.app.state.service.database.read() as session:
        return await spent(session, ledger, currency="EUR", by=by)


async def test_each_cost_counts_by_its_days_in_the_window_at_the_rates_of_these_days(service: Service) -> None:
    await push(service)
    await rate(service, "2026-01-09", "1.10")
    await rate(service, "2026-01-10", "1.20")
    whole = await asked(service, Ledger(*WINDOW))
    # 4 of 10 days of 100.00, and 20.00 GBP on each of two days: 22.00 + 24.00; 4 of 31 days of 31.00.
    assert whole == [Spent((), "media", 4000 + 4600), Spent((), "technology", 400)]
    by_both = await asked(service, Ledger(*WINDOW), "campaign", "channel")
    assert by_both == [
        Spent(("spring", "email"), "media", 4000),
        Spent(("spring", "search"), "media", 4600),
        Spent((None, None), "technology", 400),
    ]
    assert await asked(service, Ledger(*WINDOW, channels=["email"])) == [Spent((), "media", 4000)]
    assert await asked(service, Ledger(*WINDOW, initiative_id="x", campaign_ids=["spring"])) == [
        Spent((), "media", 8600)
    ]
    assert await asked(service, Ledger(*WINDOW, initiative_id="x")) == []


async def test_costs_without_a_rate_are_refused_with_the_days(service: Service) -> None:
    await push(service)
    await rate(service, "2026-01-10", "1.20")
    with pytest.raises(MissingRates) as caught:
        await asked(service, Ledger(*WINDOW))
    assert [each.detail for each in caught.value.errors] == [
        "no rate from GBP to EUR for 1 day(s) with costs; first 2026-01-09"
    ]
    assert await asked(service, Ledger(*WINDOW, channels=["email"])) == [Spent((), "media", 4000)]
