"""How far memberships lag behind is shown, with every membership and as a metric."""

import re

import pytest

from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction

pytestmark = pytest.mark.anyio


async def shown(modelling: Modelling) -> tuple[float, float, float]:
    """By the metric, by the look-up of one customer, by that of many."""
    metrics = (await modelling.client.get("/metrics")).text
    found = re.search(r"^tessera_freshness_seconds(?:\{.*\})? (\S+)$", metrics, re.MULTILINE)
    assert found is not None
    one = await modelling.get("/v1/customers/C-0/segments")
    many = (await modelling.client.post("/v1/segments/lookup", json={"customer_ids": ["C-0"]})).json()
    return float(found[1]), one["freshness_seconds"], many["freshness_seconds"]


async def test_freshness_is_the_age_of_the_oldest_push_that_waits(service: Service) -> None:
    modelling = Modelling(service)
    await service.push(transaction("T-0", customer_id="C-0"))
    await modelling.learn_and_activate()
    await modelling.drain()
    assert await shown(modelling) == (0, 0, 0)
    await service.push(*[transaction(f"T-{number}", customer_id=f"C-{number}") for number in range(1, 200)])
    metric, one, many = await shown(modelling)
    assert 0 < metric < 60
    assert metric == one == many
    await modelling.drain()
    assert await shown(modelling) == (0, 0, 0)
