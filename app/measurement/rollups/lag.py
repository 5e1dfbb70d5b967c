"""How far the sums lag behind what was pushed, for whoever watches the service: answers do not, they only take longer."""

import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from app.clock import Clock
from app.db.engine import Database
from app.measurement.rollups import ledger

LAG = Gauge(
    "tessera_rollup_lag_seconds",
    "Age of the oldest change that was not folded into the daily sums yet.",
    multiprocess_mode="mostrecent",
)
WAITING = Gauge(
    "tessera_rollup_waiting_customers",
    "Customers named by changes that were not folded into the daily sums yet.",
    multiprocess_mode="mostrecent",
)
log = structlog.get_logger("tessera.rollups")


async def measure(database: Database, clock: Clock) -> None:
    """Look at the ledger. A database that is away leaves the figures as they were."""
    try:
        async with database.read() as session:
            customers, since = await ledger.waiting(session)
    except (SQLAlchemyError, OSError) as error:
        log.warning("the lag of the sums was not measured", error=type(error).__qualname__)
        return
    WAITING.set(customers)
    LAG.set(0.0 if since is None else max(0.0, (clock.now() - since).total_seconds()))
