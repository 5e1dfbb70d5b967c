"""What tests of webhooks do by hand: segments and changes as the modelling wing writes them, and a courier."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from app.activation.webhooks.addresses import Allowed
from app.activation.webhooks.courier import Courier
from app.activation.webhooks.guard import Guard, Resolve, Resolver
from app.db.engine import Database
from app.tables.segments import membership_changes, segmentations, segments
from app.tables.webhooks import webhook_deliveries
from tests.conftest import SECRET, Service

BOTH = ["segment.entered", "segment.left"]


class Webhooks:
    """A service, its courier, and two segments that customers move between."""

    def __init__(self, service: Service) -> None:
        self.service, self.client = service, service.client
        self.database: Database = service.app.state.service.database
        self.segmentation = UUID(int=0)
        self.vip = self.lost = UUID(int=0)
        # The package that verifies compares with the clock of the machine, and allows five minutes.
        service.clock.advance(datetime.now(UTC) - service.clock.now())
        self.courier = self.courier_of(["127.0.0.1"])

    def courier_of(self, allow: Sequence[str], *, resolve: Resolve | None = None) -> Courier:
        guard = Guard(Allowed.of(allow), resolve=resolve or Resolver())
        # Without spread, so that a test can say when a message is due again.
        return Courier(self.database, clock=self.service.clock, secret=SECRET, guard=guard, draw=lambda: 0.0)

    async def make_segments(self) -> None:
        async with self.database.write() as session:
            made = await session.execute(
                insert(segmentations).values(name="Value", method="rfm").returning(segmentations.c.segmentation_id)
            )
            self.segmentation = made.scalar_one()
            ids = []
            for position, (key, name) in enumerate((("vip", "Very important"), ("lost", "Lost"))):
                row = {"segmentation_id": self.segmentation, "key": key, "name": name, "position": position}
                ids.append(await session.execute(insert(segments).values(row).returning(segments.c.segment_id)))
            self.vip, self.lost = (each.scalar_one() for each in ids)

    async def customer(self, customer_id: str, **consent: bool) -> None:
        row = {"customer_id": customer_id, **({"consent": consent} if consent else {})}
        answer = await self.client.post("/v1/customers", json={"customers": [row]})
        assert answer.json()["rejected"] == [], answer.text

    async def change(
        self, customer_id: str, *, left: UUID | None = None, entered: UUID | None = None, version: int = 1
    ) -> None:
        """What the modelling wing writes when a membership changes."""
        values = {
            "customer_id": customer_id,
            "segmentation_id": self.segmentation,
            "version": version,
            "left_segment_id": left,
            "entered_segment_id": entered,
            "changed_at": self.service.clock.now(),
        }
        async with self.database.write() as session:
            await session.execute(insert(membership_changes).values(values))

    async def endpoint(self, url: str, **asked: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/webhooks", json={"url": url, "events": BOTH, **asked})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def run(self) -> None:
        """All that is due at this instant, sent."""
        await self.courier.turn()
        await self.courier.settle()

    async def after(self, **passed: float) -> None:
        """The same, some time later."""
        self.service.clock.advance(timedelta(**passed))
        await self.run()

    async def deliveries(self, endpoint: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/v1/webhooks/{endpoint['endpoint_id']}/deliveries", params=params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def changes(self) -> int:
        async with self.database.read() as session:
            return len((await session.execute(select(membership_changes.c.change_id))).all())

    async def stored(self) -> list[Any]:
        async with self.database.read() as session:
            query = select(webhook_deliveries).order_by(webhook_deliveries.c.delivery_id)
            return list((await session.execute(query)).all())
