"""Whole segments as files, row by row from one snapshot, however many there are."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from app.clock import format_instant
from app.db.engine import Database
from app.modelling.memberships import repository
from app.web.answers import json_bytes

FileFormat = Literal["ndjson", "csv"]
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
COLUMNS = ("customer_id", "version", "since", "evaluated_at", "confidence", "reason")
# A spreadsheet takes a cell that begins so for a formula and runs it (CWE-1236).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def member(row: dict[str, Any]) -> dict[str, Any]:
    """A member as it is answered: without a confidence where the method is certain."""
    return row if row["confidence"] is not None else {name: row[name] for name in row if name != "confidence"}


async def lines(
    database: Database, segment_id: UUID, *, as_of: datetime | None, file_format: FileFormat
) -> AsyncIterator[bytes]:
    """The members of a segment as the bytes of a file."""
    if file_format == "csv":
        yield csv_lines([COLUMNS])
    async with database.read() as session:
        async for rows in repository.all_members(session, segment_id, as_of=as_of):
            if file_format == "csv":
                yield csv_lines([_cells(row) for row in rows])
            else:
                yield b"".join(json_bytes(member(row)) + b"\n" for row in rows)


def _cells(row: dict[str, Any]) -> list[Any]:
    instants = (format_instant(row["since"]), format_instant(row["evaluated_at"]))
    reason = orjson.dumps(row["reason"]).decode()
    return [safe(row["customer_id"]), row["version"], *instants, row["confidence"], reason]


def safe(cell: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
