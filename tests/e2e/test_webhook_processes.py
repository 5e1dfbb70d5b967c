"""A real service and its worker, telling a real receiver."""

import asyncio
from pathlib import Path

import pytest

from tests.support.processes import service
from tests.support.receiver import answering, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_running_service_tells_its_receivers_and_tries_again(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.script = [answering(500)]
        with service(tmp_path / "home", TESSERA_WEBHOOK_ALLOW="127.0.0.1") as process, process.client() as client:

            async def call(method: str, path: str, **options: object) -> dict[str, object]:
                answer = await asyncio.to_thread(client.request, method, path, **options)
                assert answer.is_success, answer.text
                found: dict[str, object] = answer.json()
                return found

            body = {"url": receiver.url(), "events": ["segment.entered"]}
            made = await call("POST", "/v1/webhooks", json=body)
            path = f"/v1/webhooks/{made['endpoint_id']}"
            await call("POST", f"{path}/test")
            # The pause of the loop, then the first delay (5 s) with its spread, and as much again for a busy machine.
            async with asyncio.timeout(30):
                while (await call("GET", path))["pending"]:
                    await asyncio.sleep(0.1)
            assert len(receiver.got) == 2
            message = receiver.got[1].verified(str(made["secret"]))
            assert (message["type"], message["data"]) == ("webhook.test", {"endpoint_id": made["endpoint_id"]})
            assert process.stop() == 0
