"""Campaigns and holdouts on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.clock import parse_instant
from app.measurement.campaigns.definitions import NAMES

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
Arm = Annotated[
    str,
    Field(
        pattern="^[a-z0-9][a-z0-9_-]*$",
        max_length=100,
        description="Lower case letters, digits, - and _; not `holdout`.",
    ),
]


def _read(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("an instant is RFC 3339 text such as 2026-01-31T12:00:00Z")
    return parse_instant(value)


Instant = Annotated[datetime, BeforeValidator(_read), WithJsonSchema({"type": "string", "format": "date-time"})]


class Variant(BaseModel):
    """An arm besides the holdout."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    arm: Arm
    share: float = Field(gt=0, le=1, description="Part of those assigned.")


class FrequencyCap(BaseModel):
    """Nobody new who was handed out that often lately, in whichever campaigns."""

    model_config = ConfigDict(extra="forbid")

    exposures: int = Field(ge=1, le=1_000)
    days: int = Field(ge=1, le=365)


CAMPAIGN: dict[str, Any] = {
    "campaign_id": "autumn-mailing",
    "name": "Autumn mailing",
    "objective": "second purchase",
    "channel": "email",
    "segment_id": "6f1f8a52-5a3f-4a6e-9f0e-3a1f0c0b9d11",
    "starts_at": "2026-10-01T00:00:00Z",
    "ends_at": "2026-11-01T00:00:00Z",
    "holdout_share": 0.1,
    "variants": [{"arm": "discount", "share": 0.45}, {"arm": "gift", "share": 0.45}],
    "metrics": ["revenue_per_customer", "conversion_rate"],
    "outcome_window_days": 14,
    "frequency_cap": {"exposures": 2, "days": 30},
}


class CampaignIn(BaseModel):
    """A campaign to be planned."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [CAMPAIGN]})

    campaign_id: Identifier | None = Field(None, description="Yours, as in transactions and costs; made up if absent.")
    name: Annotated[str, Field(min_length=1, max_length=255)]
    objective: Annotated[str, Field(max_length=1_000)]
    channel: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    segment_id: UUID | None = Field(
        None, description="Whose members it is for; null: arms are assigned elsewhere and pushed."
    )
    starts_at: Instant
    ends_at: Instant
    holdout_share: float = Field(0.1, ge=0, lt=1, description="Kept out by lot, to compare with.")
    variants: list[Variant] | None = Field(
        None, min_length=1, max_length=20, description="Shares add up to 1 with the holdout; default: all `treated`."
    )
    metrics: list[Annotated[str, Field(max_length=100)]] = Field(
        ["revenue_per_customer"], min_length=1, max_length=20, description=f"Of {NAMES}; the first one decides."
    )
    outcome_window_days: int | None = Field(
        None, ge=1, le=3_650, description="How long after assignment deeds count; null: until the campaign ends."
    )
    initiative_id: Identifier | None = None
    frequency_cap: FrequencyCap | None = None
    excluded_segment_ids: list[UUID] = Field([], max_length=100, description="Members of these get no arm.")


class ArmShare(BaseModel):
    arm: str
    share: float


class CampaignOut(BaseModel):
    """A campaign as planned."""

    campaign_id: str
    name: str
    objective: str
    channel: str | None
    segment_id: UUID | None
    starts_at: datetime
    ends_at: datetime
    status: Literal["planned", "running", "over"]
    holdout_share: float
    variants: list[ArmShare]
    metrics: list[str]
    outcome_window_days: int | None
    initiative_id: str | None
    frequency_cap: FrequencyCap | None
    excluded_segment_ids: list[UUID]
    created_at: datetime


class CampaignPage(BaseModel):
    data: list[CampaignOut]
    next_cursor: str | None


class HoldoutIn(BaseModel):
    """Customers to be kept out of every campaign."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [{"share": 0.05}]})

    share: float = Field(gt=0, lt=1, description="Of all customers, chosen by lot.")
    starts_at: Instant | None = Field(None, description="Default now; not in the past.")


class HoldoutOut(BaseModel):
    holdout_id: UUID
    share: float
    starts_at: datetime
    ends_at: datetime | None = Field(description="Null: it lasts.")
    created_at: datetime


class HoldoutPage(BaseModel):
    data: list[HoldoutOut]
    next_cursor: str | None
