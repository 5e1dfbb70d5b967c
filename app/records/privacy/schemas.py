"""Merging, exporting and erasing on the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class MergeIn(BaseModel):
    """Which customer goes into which."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"from": "C-18", "into": "C-17"}]})

    source: str = Field(alias="from", min_length=1, max_length=255, description="The customer that goes.")
    target: str = Field(alias="into", min_length=1, max_length=255, description="The customer that stays.")


class MergeOut(BaseModel):
    """What a merge moved and removed, in rows by table: nothing, when it was done before."""

    customer_id: str = Field(description="The customer that stays; after further merges, whoever stays today.")
    merged_from: str
    merged_at: datetime
    moved: dict[str, int]
    removed: dict[str, int]


class ExportOut(BaseModel):
    """Everything known of a person: rows by table, as they are stored (money in minor units beside its currency)."""

    customer_id: str
    merged_from: str | None = Field(description="The identifier asked for, where it was merged into this customer.")
    exported_at: datetime
    tables: dict[str, list[dict[str, Any]]]


class ErasureReceipt(BaseModel):
    """What an erasure did, in rows by table. It names nobody and can be kept as evidence."""

    receipt_id: UUID
    erased_at: datetime
    removed: dict[str, int] = Field(description="Rows that are gone.")
    kept_anonymous: dict[str, int] = Field(description="Rows that stay for totals, with nothing that says whose.")
