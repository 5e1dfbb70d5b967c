"""Imports on the wire."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

Records = Literal["customers", "transactions", "events"]


class ImportAccepted(BaseModel):
    """The file is kept and will be imported; the job says what became of it."""

    job_id: UUID
    records: Records
    bytes: int = Field(description="Size of the file as it was sent.")


def _file(example: str | None) -> dict[str, Any]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return schema if example is None else {**schema, "examples": {"typical": {"value": example}}}


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file, as large as 2 GiB; with `Content-Encoding: gzip` as it is packed.",
        "content": {
            "text/csv": _file("transaction_id,customer_id,occurred_at,amount\nT-1,C-1,2026-10-01 10:00:00,10.00\n"),
            "application/x-ndjson": _file(None),
            "application/vnd.apache.parquet": _file(None),
        },
    }
}
