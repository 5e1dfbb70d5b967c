"""How far memberships lag behind what was pushed: the age of the oldest push that was not evaluated yet."""

import asyncio
import time

import structlog
from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database

MEASURED_EVERY_SECONDS = 1.0
_OLDEST = text(
    "select coalesce(extract(epoch from clock_timestamp() - min(touched_at)), 0)::float8 from dirty_customers"
)

GAUGE = Gauge(
    "tessera_freshness_seconds",
    "Age of the oldest push whose customers were not evaluated yet.",
    multiprocess_mode="mostrecent",
)
log = structlog.get_logger("tessera.memberships")


class Freshness:
    """Measured at most once a second, and never waited for by whoever asks for a customer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seconds = 0.0
        self._measured_at = -MEASURED_EVERY_SECONDS
        self._running: asyncio.Task[None] | None = None

    def seconds(self) -> float:
        """As measured last; measured anew in the background when that is long ago."""
        idle = self._running is None or self._running.done()
        if idle and time.monotonic() - self._measured_at >= MEASURED_EVERY_SECONDS:
            self._running = asyncio.get_running_loop().create_task(self.measure())
        return self._seconds

    async def measure(self) -> None:
        """Look at the dirty set. A database that is away leaves the figure as it was."""
        self._measured_at = time.monotonic()
        try:
            async with self._database.read() as session:
                self._seconds = round(float(await session.scalar(_OLDEST) or 0.0), 3)
        except (SQLAlchemyError, OSError) as error:
            log.warning("freshness was not measured", error=type(error).__qualname__)
            return
        GAUGE.set(self._seconds)

    async def close(self) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
