"""Jobs over HTTP."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from app.db.engine import Session
from app.errors import Forbidden, JobNotFound
from app.jobs import repository
from app.web.answers import JSONAnswer, tagged
from app.web.auth import Require, authenticate, principal_of
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.problems import declared
from app.web.routing import router_for
from app.web.sessions import ReadSession, WriteSession
from app.web.state import state_of

router = router_for("/v1/jobs", tag="Jobs")


class Progress(BaseModel):
    done: int
    total: int | None = Field(description="Null while it is not known.")
    unit: str | None


class JobError(BaseModel):
    code: str
    detail: str
    errors: list[dict[str, str]]


class JobOut(BaseModel):
    """A piece of long work."""

    id: UUID
    kind: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: Progress
    result: dict[str, Any] | None
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(BaseModel):
    data: list[JobOut]
    next_cursor: str | None


def shown(job: dict[str, Any]) -> dict[str, Any]:
    progress = {name: job[f"progress_{name}"] for name in ("done", "total", "unit")}
    same = ("kind", "status", "result", "error", "created_at", "started_at", "finished_at")
    return {"id": job["job_id"], **{name: job[name] for name in same}, "progress": progress}


async def existing(session: Session, job_id: UUID) -> dict[str, Any]:
    job = await repository.find(session, job_id)
    if job is None:
        raise JobNotFound()
    return job


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    response_model=JobPage,
    dependencies=[Depends(Require("admin"))],
)
async def list_jobs(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    secret = state_of(request).secret
    rows = await repository.newest(session, limit=limit, before=read_cursor(secret, "jobs", cursor))
    listed = page(rows, limit=limit, secret=secret, listing="jobs", key=("created_at", "job_id"))
    return JSONAnswer({**listed, "data": [shown(row) for row in listed["data"]]})


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Follow a job",
    response_model=JobOut,
    responses=declared(404),
    dependencies=[Depends(authenticate)],
)
async def get_job(job_id: UUID, request: Request, session: ReadSession) -> Response:
    """Any valid key may follow a job whose id it knows."""
    return tagged(request, shown(await existing(session, job_id)))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=JobOut,
    responses=declared(404),
    dependencies=[Depends(authenticate)],
)
async def cancel_job(job_id: UUID, request: Request, session: WriteSession) -> Response:
    """What waits is cancelled at once; what runs stops after its current step. What is over stays as it is.

    Only the key that started the job, or an admin key, may cancel it.
    """
    caller = principal_of(request)
    if not (caller.may("admin") or (await existing(session, job_id))["key_id"] == caller.key_id):
        raise Forbidden("Only the key that started this job, or an admin key, may cancel it")
    job = await repository.ask_to_cancel(session, job_id, now=state_of(request).clock.now())
    if job is None:
        raise JobNotFound()
    return JSONAnswer(shown(job))
