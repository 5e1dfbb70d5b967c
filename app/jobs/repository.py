"""The public record of jobs in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, func, insert, select, tuple_, update

from app.db.engine import Session
from app.tables.jobs import job_uploads, jobs

OVER = ("succeeded", "failed", "cancelled")


async def create(
    session: Session, *, kind: str, arguments: dict[str, Any], key_id: UUID | None, job_id: UUID | None
) -> UUID:
    values: dict[str, Any] = {"kind": kind, "status": "queued", "arguments": arguments, "key_id": key_id}
    if job_id is not None:
        values["job_id"] = job_id
    created: UUID = (await session.execute(insert(jobs).values(**values).returning(jobs.c.job_id))).scalar_one()
    return created


async def find(session: Session, job_id: UUID) -> dict[str, Any] | None:
    """One job, or null when there is none."""
    row = (await session.execute(select(jobs).where(jobs.c.job_id == job_id))).mappings().one_or_none()
    return dict(row) if row else None


async def newest(session: Session, *, limit: int, before: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Jobs, newest first, after the given (created_at, job_id); at most limit + 1."""
    query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.job_id.desc()).limit(limit + 1)
    if before is not None:
        position = (datetime.fromisoformat(before[0]), UUID(before[1]))
        query = query.where(tuple_(jobs.c.created_at, jobs.c.job_id) < position)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def start(session: Session, job_id: UUID, *, now: datetime) -> dict[str, Any] | None:
    """Take a job: it runs, under a new attempt number; null when it is over or unknown."""
    statement = (
        update(jobs)
        .where(jobs.c.job_id == job_id, jobs.c.status.not_in(OVER))
        .values(status="running", started_at=func.coalesce(jobs.c.started_at, now), attempts=jobs.c.attempts + 1)
        .returning(jobs)
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return dict(row) if row else None


async def advance(session: Session, job_id: UUID, *, attempt: int, values: dict[str, Any]) -> bool | None:
    """Write progress for one attempt; true when cancelling was asked for, null when the attempt was superseded."""
    statement = (
        update(jobs)
        .where(jobs.c.job_id == job_id, jobs.c.attempts == attempt, jobs.c.status == "running")
        .values(**values or {"attempts": jobs.c.attempts})
        .returning(jobs.c.cancel_requested)
    )
    asked: bool | None = (await session.execute(statement)).scalar_one_or_none()
    return asked


async def ask_to_cancel(session: Session, job_id: UUID, *, now: datetime) -> dict[str, Any] | None:
    """Cancel what waits at once, ask what runs to stop, leave what is over; null when there is no such job."""
    waiting = jobs.c.status == "queued"
    statement = (
        update(jobs)
        .where(jobs.c.job_id == job_id)
        .values(
            cancel_requested=case((jobs.c.status.in_(OVER), jobs.c.cancel_requested), else_=True),
            status=case((waiting, "cancelled"), else_=jobs.c.status),
            finished_at=case((waiting, now), else_=jobs.c.finished_at),
        )
        .returning(jobs)
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return dict(row) if row else None


async def add_upload_piece(session: Session, job_id: UUID, *, piece: int, content: bytes) -> None:
    await session.execute(insert(job_uploads).values(job_id=job_id, piece=piece, content=content))


async def upload_piece(session: Session, job_id: UUID, *, piece: int) -> bytes | None:
    """One piece of an uploaded file; null after the last."""
    query = select(job_uploads.c.content).where(job_uploads.c.job_id == job_id, job_uploads.c.piece == piece)
    content: bytes | None = (await session.execute(query)).scalar_one_or_none()
    return content


async def drop_uploads(session: Session, job_id: UUID) -> None:
    await session.execute(delete(job_uploads).where(job_uploads.c.job_id == job_id))
