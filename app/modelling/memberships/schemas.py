"""Memberships on the wire."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MAX_LOOKUP = 10_000

Reason = Annotated[dict[str, Any], Field(description="Why, in the method's own terms; for `rfm` the three scores.")]
Since = Annotated[datetime, Field(description="When the customer entered this segment, without leaving it since.")]
EvaluatedAt = Annotated[datetime, Field(description="When this was last found to be so.")]
FreshnessSeconds = Annotated[
    float, Field(description="Age of the oldest push whose customers were not evaluated yet; 0: nobody waits.")
]
Confidence = Annotated[float | None, Field(description="0..1; absent where the method is certain.")]


class Membership(BaseModel):
    """That a customer is in a segment."""

    segmentation_id: UUID
    segmentation: str
    version: int
    segment_id: UUID
    segment_key: str
    segment_name: str
    since: Since
    evaluated_at: EvaluatedAt
    confidence: Confidence = None
    reason: Reason


class CustomerMemberships(BaseModel):
    """The segments of one customer at one instant: at most one of each segmentation."""

    customer_id: str = Field(description="The customer that the identifier means today, through merges.")
    as_of: datetime
    memberships: list[Membership]
    freshness_seconds: FreshnessSeconds


class LookupIn(BaseModel):
    """Whose memberships to look up."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"customer_ids": ["C-17", "C-18"]}]})

    customer_ids: list[Annotated[str, Field(max_length=255)]] = Field(max_length=MAX_LOOKUP)


class LookedUp(BaseModel):
    customer_id: str = Field(description="As asked, also where it was merged into another.")
    memberships: list[Membership]


class LookupOut(BaseModel):
    """Each identifier once, in the order asked."""

    data: list[LookedUp]
    unknown: list[str]
    freshness_seconds: FreshnessSeconds


class Member(BaseModel):
    """A customer in a segment."""

    customer_id: str
    version: int
    since: Since
    evaluated_at: EvaluatedAt
    confidence: Confidence = None
    reason: Reason


class MemberPage(BaseModel):
    data: list[Member]
    next_cursor: str | None


class Stretch(BaseModel):
    """A time range [valid_from, valid_to) in which segment, version and reason stayed the same."""

    segmentation_id: UUID
    segmentation: str
    version: int
    segment_id: UUID
    segment_key: str
    segment_name: str
    valid_from: datetime
    valid_to: datetime | None = Field(description="Null: it lasts.")
    since: Since
    confidence: Confidence = None
    reason: Reason


class HistoryPage(BaseModel):
    data: list[Stretch]
    next_cursor: str | None


class Explanation(BaseModel):
    """Why a customer is where a version put them."""

    segmentation_id: UUID
    version: int
    segment_key: str | None = Field(description="Null: in no segment of it.")
    method: str
    explanation: dict[str, Any] = Field(description="In the method's own terms.")


class ExplanationOut(BaseModel):
    customer_id: str
    as_of: datetime
    data: list[Explanation]


class Transition(BaseModel):
    """How many customers were here and are there."""

    from_segment_id: UUID | None
    from_key: str | None
    to_segment_id: UUID | None
    to_key: str | None
    customers: int


class TransitionsOut(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    segmentation_id: UUID
    from_: datetime = Field(alias="from")
    to: datetime
    data: list[Transition]
