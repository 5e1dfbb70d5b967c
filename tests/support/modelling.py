"""What tests of segmentations do by hand and a worker does by itself: running jobs, draining the dirty set."""

import atexit
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import func, insert, select

from app.jobs.compute import Compute
from app.jobs.runtime import Runner
from app.modelling.features.compiler import Reporting
from app.modelling.registry.shelf import Models
from app.modelling.segments.current import drain
from app.modelling.segments.jobs import handlers
from app.modelling.segments.working import Assigners
from app.tables.intake import dirty_customers
from app.web.state import ServiceState
from tests.conftest import Service

# Starting the process takes a second: all tests of a run share it.
COMPUTE = Compute(1)
atexit.register(COMPUTE.close)


class Modelling:
    """A service and, when told to, its worker."""

    def __init__(self, service: Service) -> None:
        self.service, self.client = service, service.client
        self.state: ServiceState = service.app.state.service
        self.reporting = Reporting(self.state.currency, self.state.timezone)
        self.models = Models(self.state.secret)
        self.assigners = Assigners(self.models)
        self.runner = Runner(
            self.state.database,
            clock=self.state.clock,
            compute=COMPUTE,
            handlers=handlers(self.reporting, self.models, self.assigners),
        )

    async def finish(self, answer: httpx.Response) -> dict[str, Any]:
        """Run the job of a 202 answer to its end; the job."""
        assert answer.status_code == 202, answer.text
        job = answer.headers["location"]
        await self.runner.run(UUID(job.rsplit("/", 1)[1]))
        found: dict[str, Any] = (await self.client.get(job)).json()
        return found

    async def result(self, answer: httpx.Response) -> dict[str, Any]:
        job = await self.finish(answer)
        assert job["status"] == "succeeded", job
        result: dict[str, Any] = job["result"]
        return result

    async def learn(self, name: str = "RFM", method: str = "rfm", **asked: Any) -> str:
        """A new segmentation; its id."""
        answer = await self.client.post("/v1/segmentations", json={"name": name, "method": method, **asked})
        return str((await self.result(answer))["segmentation_id"])

    async def start(self, segmentation_id: str, work: str) -> dict[str, Any]:
        return await self.result(await self.client.post(f"/v1/segmentations/{segmentation_id}/{work}"))

    async def learn_and_activate(self, name: str = "RFM", method: str = "rfm", **asked: Any) -> str:
        segmentation_id = await self.learn(name, method, **asked)
        await self.start(segmentation_id, "activate")
        return segmentation_id

    async def drain(self) -> int:
        """Bring everybody touched up to date; how many were."""
        total = 0
        while True:
            async with self.state.database.write() as session:
                drained = await drain(
                    session, now=self.state.clock.now(), reporting=self.reporting, assigners=self.assigners
                )
            if not drained:
                return total
            total += drained

    async def touch(self, customer_ids: Sequence[str]) -> None:
        """Put customers into the dirty set."""
        async with self.state.database.write() as session:
            await session.execute(insert(dirty_customers).values(customer_ids=list(customer_ids)))

    async def is_clean(self) -> bool:
        """Whether nobody waits in the dirty set."""
        async with self.state.database.read() as session:
            return not await session.scalar(select(func.count()).select_from(dirty_customers))

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def keys_of(self, customer_id: str, **params: Any) -> list[str]:
        """The keys of the segments a customer is in."""
        found = await self.get(f"/v1/customers/{customer_id}/segments", **params)
        return [each["segment_key"] for each in found["memberships"]]

    async def members(self, segment_id: str, **params: Any) -> list[str]:
        """All members of a segment, page by page."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(f"/v1/segments/{segment_id}/members", limit=1_000, **params, **cursor)
            found += [each["customer_id"] for each in page["data"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}
