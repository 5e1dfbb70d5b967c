"""Putting work into the queue, in the transaction that asks for it: a rollback drops it."""

from typing import Any
from uuid import UUID

import procrastinate

from app.db.engine import Session, driver
from app.jobs import repository

TASK_NAME = "tessera.run"
QUEUE_NAME = "tessera"

# Only writes the library's own insert; the connection always comes from the caller.
_sender = procrastinate.App(connector=procrastinate.PsycopgConnector())


async def enqueue(
    session: Session, kind: str, *, arguments: dict[str, Any], key_id: UUID | None = None, job_id: UUID | None = None
) -> UUID:
    """Record a job and queue it; returns the id by which everybody may follow it."""
    created = await repository.create(session, kind=kind, arguments=arguments, key_id=key_id, job_id=job_id)
    await send(session, created)
    return created


async def send(session: Session, job_id: UUID) -> None:
    """Queue a job that is recorded already."""
    connection = await driver(session)
    task = _sender.configure_task(TASK_NAME, queue=QUEUE_NAME, connection=connection)
    await task.defer_async(job_id=str(job_id))
