"""Importing a file in a test: straight into a database, with everything that was said about it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.clock import SystemClock
from app.db.engine import Database
from app.jobs.compute import Compute
from app.jobs.runtime import Runner, Step
from app.records.imports.definitions import JOB_KIND
from app.records.imports.jobs import import_handler
from app.records.imports.options import Options, checked
from app.records.imports.reading.files import format_of
from app.records.imports.service import File, Surroundings, Tally, run
from app.records.intake.bulk import Intake
from app.records.intake.customers import CustomerMemory
from app.records.intake.outcome import Outcome, Refusal

SECRET = b"a secret that signs nothing of value"


@dataclass
class Importer:
    """Imports files and remembers what was refused."""

    database: Database
    folder: Path
    refused: list[Refusal] = field(default_factory=list)

    async def __call__(
        self, content: str | bytes, name: str = "file.csv", records: str = "transactions", **options: Any
    ) -> dict[str, Any]:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return await self.file(path, records, **options)

    async def file(self, path: Path, records: str = "transactions", **options: Any) -> dict[str, Any]:
        if records == "transactions":
            options.setdefault("currency", "EUR")
        given = checked(Options(records, options.pop("columns", {}), **options))
        self.refused.clear()
        surroundings = Surroundings(self._step, Intake(CustomerMemory(), SECRET), lambda _: None, self._keep)
        return await run(File(path, format_of(path, path.name)), given, surroundings, after=Tally())

    def _keep(self, outcome: Outcome) -> None:
        self.refused.extend(outcome.rejected)

    @asynccontextmanager
    async def _step(self) -> AsyncIterator[Step]:
        async with self.database.write() as session:
            yield Step(session, {})

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.read() as session:
            return [tuple(row) for row in await session.execute(text(query))]

    async def everything(self) -> list[tuple[Any, ...]]:
        """All that imports of transactions leave, for comparing two ways to the same state."""
        transactions = await self.rows(
            "select source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency, margin_minor,"
            " refunds, channel, campaign_id, line_count from transactions order by source, transaction_id"
        )
        items = await self.rows("select * from transaction_items order by source, transaction_id, line")
        return [*transactions, *items]


@asynccontextmanager
async def importing(database_url: str, folder: Path) -> AsyncIterator[Importer]:
    database = Database(database_url, pool_size=2, statement_timeout_seconds=60, application="test")
    try:
        yield Importer(database, folder)
    finally:
        await database.close()


def csv_of(header: str, *rows: str) -> str:
    return "\n".join([header, *rows, ""])


async def run_job(database_url: str, job_id: str) -> None:
    """Run an import job to its end, as a worker does."""
    database = Database(database_url, pool_size=2, statement_timeout_seconds=60, application="test worker")
    compute = Compute(1)
    handlers = {JOB_KIND: import_handler(SECRET)}
    try:
        await Runner(database, clock=SystemClock(), compute=compute, handlers=handlers).run(UUID(job_id))
    finally:
        compute.close()
        await database.close()


if __name__ == "__main__":
    asyncio.run(run_job(*sys.argv[1:]))
