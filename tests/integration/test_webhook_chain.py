"""From a push to the receiver: what the modelling wing notes down is what the activation wing tells."""

import pytest

from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.receiver import receiving
from tests.support.records import transaction
from tests.support.shop import shop
from tests.support.webhooks import Webhooks

pytestmark = pytest.mark.anyio


async def test_a_push_that_moves_a_customer_is_told_as_it_is_answered(service: Service) -> None:
    modelling = Modelling(service)
    await service.push(*shop())
    await modelling.learn_and_activate()
    await modelling.drain()
    webhooks = Webhooks(service)
    service.app.state.webhook_guard = webhooks.courier._guard
    for customer_id in ("C-00", "C-01"):
        await webhooks.customer(customer_id, marketing=True)
    await modelling.drain()
    before = {name: (await modelling.keys_of(name))[0] for name in ("C-00", "C-01", "C-02")}
    async with receiving() as receiver:
        made = await webhooks.endpoint(receiver.url())
        at = service.clock.now().isoformat()
        # Enough for the best scores of the shop; C-02 moves too and has not consented.
        for name in ("C-00", "C-02"):
            rows = [transaction(f"N-{name}-{i}", customer_id=name, occurred_at=at, amount="99") for i in range(14)]
            await service.push(*rows)
        await webhooks.after(minutes=1)
        await modelling.drain()
        await webhooks.run()
        told = [got.verified(made["secret"]) for got in receiver.got]
    after = {name: (await modelling.keys_of(name))[0] for name in before}
    assert after["C-00"] != before["C-00"]
    assert after["C-02"] != before["C-02"]
    found = {(each["type"], each["data"]["customer_id"], each["data"]["segment_key"]) for each in told}
    assert ("segment.left", "C-00", before["C-00"]) in found
    assert ("segment.entered", "C-00", after["C-00"]) in found
    assert "C-02" not in {customer_id for _, customer_id, _ in found}
