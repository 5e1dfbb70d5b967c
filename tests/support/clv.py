"""What tests of lifetime value share: a service whose worker learns, and shops to learn from."""

import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from sqlalchemy import make_url

from app.jobs.runtime import Runner
from app.modelling.clv.jobs import handlers
from app.modelling.registry.shelf import Models
from app.modelling.segments.jobs import handlers as segment_handlers
from tests.conftest import Service
from tests.support.modelling import COMPUTE, Modelling

# customer, when, kind, amount in minor units
Fact = tuple[str, datetime, str, int]


class Clv(Modelling):
    """A service and, when told to, its worker, which knows lifetime value too."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.clv_models = Models(self.state.secret, kind="clv")
        known = {
            **segment_handlers(self.reporting, self.models, self.assigners),
            **handlers(self.reporting, self.clv_models),
        }
        self.runner = Runner(self.state.database, clock=self.state.clock, compute=COMPUTE, handlers=known)

    async def train(self, **asked: Any) -> dict[str, Any]:
        """A new model as it is shown once it has learned."""
        answer = await self.client.post("/v1/clv/models", json=asked)
        result = await self.result(answer)
        found: dict[str, Any] = await self.get(f"/v1/clv/models/{result['model_id']}")
        return found

    async def refused(self, **asked: Any) -> dict[str, Any]:
        """A model that could not be learned, as it is shown."""
        answer = await self.client.post("/v1/clv/models", json=asked)
        job = await self.finish(answer)
        assert job["status"] == "failed", job
        found: dict[str, Any] = await self.get(f"/v1/clv/models/{answer.json()['model_id']}")
        assert (found["status"], found["error"]) == ("failed", job["error"])
        assert found["error"]["code"] != "internal_error", found["error"]
        return found

    async def activate(self, model_id: str) -> dict[str, Any]:
        return await self.result(await self.client.post(f"/v1/clv/models/{model_id}/activate"))

    def store(self, facts: Iterable[Fact], currency: str = "USD") -> None:
        """Facts and their customers, as an import brings them, at once."""
        conninfo = make_url(self.service.database_url).set(drivername="postgresql")
        copy = "copy transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency) from stdin"
        with psycopg.connect(conninfo.render_as_string(hide_password=False)) as connection:
            with connection.cursor().copy(copy) as rows:
                for number, (customer_id, at, kind, minor) in enumerate(facts):
                    rows.write_row(("test", f"T-{number}", customer_id, at, kind, minor, currency))
            connection.execute(
                "insert into customers (customer_id) select distinct customer_id from transactions "
                "where customer_id is not null on conflict do nothing"
            )
            connection.execute("analyze")


def cdnow(folder: Path) -> Iterator[Fact]:
    """The 1/10 sample: one row per order; the time of day is not known."""
    with gzip.open(folder / "CDNOW_sample.txt.gz", "rt") as file:
        for line in file:
            _, customer_id, day, _, dollars = line.split()
            at = datetime.strptime(day, "%Y%m%d").replace(hour=12, tzinfo=UTC)
            yield customer_id, at, "purchase", round(float(dollars) * 100)


def online_retail(table: pa.Table) -> Iterator[Fact]:
    """Invoices of known customers; what sums up to less than nothing is a refund, of which invoice is not said."""
    for row in table.to_pylist():
        if row["CustomerID_min"]:
            pence = round(row["millionths_sum"] / 10_000)
            at = row["InvoiceDate_min"].replace(tzinfo=UTC)
            customer_id = row["CustomerID_min"].removesuffix(".0")
            yield customer_id, at, "refund" if pence < 0 else "purchase", abs(pence)
