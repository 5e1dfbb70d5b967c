"""Running jobs: an effect and its progress commit together, and a second runner can never mix in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from app.clock import Clock
from app.db.engine import Database, Session
from app.db.failures import is_database_away
from app.errors import Fault, TesseraError, Unavailable, places
from app.jobs import repository
from app.jobs.compute import Compute

log = structlog.get_logger("tessera.jobs")

# More than the queue itself retries for a database that is away: only a job that kills its worker gets here.
MAX_ATTEMPTS = 25


class Cancelled(Exception):
    """Somebody asked for the job to stop."""


class Superseded(Exception):
    """Another attempt has taken the job over, because this one was thought dead."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler works with."""

    job_id: UUID
    attempt: int
    arguments: Mapping[str, Any]
    checkpoint: Mapping[str, Any] | None
    database: Database
    clock: Clock
    compute: Compute

    @asynccontextmanager
    async def step(
        self, *, done: int | None = None, total: int | None = None, unit: str | None = None
    ) -> AsyncIterator["Step"]:
        """One transaction of the job. Raises Cancelled or Superseded instead of beginning work nobody wants."""
        async with self.database.write() as session:
            step = Step(session, {})
            if await self._advance(session, {}):
                raise Cancelled()
            step.progress(done=done, total=total, unit=unit)
            yield step
            await self._advance(session, step.values)

    async def _advance(self, session: Session, values: dict[str, Any]) -> bool:
        asked = await repository.advance(session, self.job_id, attempt=self.attempt, values=values)
        if asked is None:
            raise Superseded()
        return asked


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction inside a job: its session, and what it will say of the job when it commits."""

    session: Session
    values: dict[str, Any]

    def progress(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None:
        said = {"progress_done": done, "progress_total": total, "progress_unit": unit, "checkpoint": checkpoint}
        self.values.update({name: value for name, value in said.items() if value is not None})


Handler = Callable[[JobContext], Awaitable[Mapping[str, Any] | None]]


class Runner:
    """Runs one job at a time by its kind."""

    def __init__(self, database: Database, *, clock: Clock, compute: Compute, handlers: Mapping[str, Handler]) -> None:
        self._database, self._clock, self._compute, self._handlers = database, clock, compute, handlers

    async def run(self, job_id: UUID) -> None:
        """Run a job to its end. Raises only Unavailable, which means: try again later."""
        async with self._database.write() as session:
            job = await repository.start(session, job_id, now=self._clock.now())
        if job is None:
            return
        context = JobContext(
            job_id,
            job["attempts"],
            job["arguments"],
            job["checkpoint"],
            self._database,
            self._clock,
            self._compute,
        )
        log.info("job started", job_id=str(job_id), kind=job["kind"], attempt=context.attempt)
        values = await self._outcome(context, job["kind"])
        if values is not None:
            async with self._database.write() as session:
                await repository.advance(session, job_id, attempt=context.attempt, values=values)
                await repository.drop_uploads(session, job_id)
            log.info("job over", job_id=str(job_id), kind=job["kind"], status=values["status"])

    async def _outcome(self, context: JobContext, kind: str) -> dict[str, Any] | None:
        """How the job ended, as values of its record; null when another attempt has it."""
        try:
            if context.attempt > MAX_ATTEMPTS:
                raise Fault(f"Given up after {MAX_ATTEMPTS} attempts: the worker ended each time")
            result = await self._handlers[kind](context)
            return {"status": "succeeded", "result": dict(result or {}), "finished_at": self._clock.now()}
        except Superseded:
            return None
        except Cancelled:
            return {"status": "cancelled", "finished_at": self._clock.now()}
        except TesseraError as error:
            return self._failed(error)
        except Exception as error:  # the last handler of a job, as the edge is of a request
            if is_database_away(error):
                raise Unavailable("The database went away during a job") from error
            log.error("job failed", job_id=str(context.job_id), error=type(error).__qualname__, at=places(error))
            return self._failed(Fault(f"The job failed; its id {context.job_id} helps to find out why"))

    def _failed(self, error: TesseraError) -> dict[str, Any]:
        found = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors]
        shown = {"code": error.code, "detail": error.detail, "errors": found}
        return {"status": "failed", "error": shown, "finished_at": self._clock.now()}
