"""One transaction per request, committed before the answer leaves."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import orjson
from fastapi import Depends, Request
from sqlalchemy import insert

from app.db.batch import Parameter, Statement
from app.db.engine import Session
from app.privacy import customer_hash
from app.tables.operations import audit_log
from app.web.auth import principal_of
from app.web.paths import identifier
from app.web.state import state_of


async def _read(request: Request) -> AsyncIterator[Session]:
    async with state_of(request).database.read() as session:
        yield session


async def _write(request: Request) -> AsyncIterator[Session]:
    async with written(request) as session:
        yield session


@asynccontextmanager
async def written(request: Request) -> AsyncIterator[Session]:
    """One write transaction with its audit entry."""
    async with state_of(request).database.write() as session:
        yield session
        await session.execute(insert(audit_log).values(**audit_entry(request)))


_AUDIT = Statement(
    """
    insert into audit_log (key_id, action, object, request_id)
      select key_id, action, object, request_id
        from json_to_recordset($1) as entry (key_id uuid, action text, object text, request_id text)
    """
)


def audit(entries: Sequence[Mapping[str, object]]) -> tuple[Statement, list[Parameter]]:
    """What writes entries, to be run in the transaction of the changes they report."""
    return _AUDIT, [orjson.dumps(entries).decode()]


def audit_entry(request: Request) -> dict[str, object]:
    """Who changed what: the route and the thing in its path, a customer by keyed hash only."""
    names = dict(request.path_params)
    if "customer_id" in names:
        names["customer_id"] = customer_hash(state_of(request).secret, identifier(names["customer_id"])).hex()
    return {
        "key_id": principal_of(request).key_id,
        "action": f"{request.method} {request.scope['route'].path}",
        "object": ",".join(str(value) for value in names.values()) or None,
        "request_id": request.scope["request_id"],
    }


# scope="function": without it the commit would come after the answer had left.
ReadSession = Annotated[Session, Depends(_read, scope="function")]
WriteSession = Annotated[Session, Depends(_write, scope="function")]
