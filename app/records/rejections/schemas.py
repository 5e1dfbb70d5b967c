"""Refused rows on the wire."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

RecordKind = Literal["customers", "transactions", "events", "costs", "exchange_rates", "exposures"]
Status = Literal["open", "resolved"]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which refused rows are asked for."""

    kind: Annotated[RecordKind | None, Query(description="Only rows of this kind of record.")] = None
    code: Annotated[
        str | None, Query(pattern="^[a-z0-9_]{1,100}$", description="Only rows refused with this code.")
    ] = None
    status: Annotated[Status, Query(description="Rows still to be mended, or those that were.")] = "open"


NO_ROW = msgspec.Raw(b"null")


class RetryIn(msgspec.Struct, forbid_unknown_fields=True):
    """The mended row, byte for byte."""

    payload: msgspec.Raw = NO_ROW


RETRY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "payload": {
                            "anyOf": [{"type": "object"}, {"type": "null"}],
                            "description": "The row as it should have been; without it the kept row is tried again.",
                        }
                    },
                    "additionalProperties": False,
                },
                "examples": {
                    "mended": {
                        "value": {
                            "payload": {
                                "transaction_id": "T-1001",
                                "customer_id": "C-17",
                                "occurred_at": "2026-11-01T10:15:00Z",
                                "amount": "59.90",
                                "currency": "EUR",
                            }
                        }
                    },
                    "as it is": {"value": {}},
                },
            }
        },
    }
}


class RejectionOut(BaseModel):
    """A row that was refused, and why."""

    rejection_id: int
    kind: RecordKind
    source: str | None = Field(description="Of exposures: their campaign.")
    index: int = Field(description="Where the row stood in what was sent, from 0.")
    code: str
    pointer: str
    detail: str
    customer_id: str | None = Field(description="The customer that the row names, where one could be read.")
    payload: Any = Field(description="The row: JSON when it is JSON, else text; null when it may not be kept.")
    status: Status
    received_at: datetime
    retried_at: datetime | None


class RejectionPage(BaseModel):
    data: list[RejectionOut]
    next_cursor: str | None
