"""The audit log over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from app.operations.audit import repository
from app.web.answers import JSONAnswer
from app.web.auth import Require
from app.web.paging import DEFAULT_LIMIT, CursorText, Limit, page, read_cursor
from app.web.routing import router_for
from app.web.sessions import ReadSession
from app.web.state import state_of

router = router_for("/v1/audit-log", tag="Operations")


class AuditEntry(BaseModel):
    """One change."""

    entry_id: int
    at: datetime
    key_id: UUID | None = Field(description="The key that made the change; null for the command line.")
    action: str
    object: str | None = Field(description="What was changed; a customer by keyed hash.")
    request_id: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    data: list[AuditEntry]
    next_cursor: str | None


@router.get(
    "",
    operation_id="list_audit_log",
    summary="Every change, newest first",
    response_model=AuditPage,
    dependencies=[Depends(Require("admin"))],
)
async def list_audit_log(
    request: Request, session: ReadSession, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """An entry is written in the transaction of the change it reports: neither exists without the other."""
    secret = state_of(request).secret
    position = read_cursor(secret, "audit-log", cursor)
    rows = await repository.page(session, limit=limit, before=position[0] if position else None)
    return JSONAnswer(page(rows, limit=limit, secret=secret, listing="audit-log", key=("entry_id",)))
