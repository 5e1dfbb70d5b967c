"""Segmentations on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.modelling.features.schemas import Instant

Name = Annotated[str, Field(min_length=1, max_length=255)]


class SegmentationIn(BaseModel):
    """What to learn. Fields that mean nothing to the method are refused."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"name": "RFM", "method": "rfm", "as_of": "2026-11-01T00:00:00Z"}]},
    )

    name: Name = Field(description="Unique among segmentations.")
    method: Literal["rfm", "kmeans", "gaussian_mixture", "hierarchical", "dbscan", "rules"] = Field(
        description="Available today: `rfm`. The others are answered with 422 `method_not_available`."
    )
    features: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None, max_length=200, description="Names of the feature registry; a method with fixed features takes none."
    )
    k: Annotated[int, Field(ge=2, le=1_000)] | Literal["auto"] | None = None
    k_range: Annotated[list[Annotated[int, Field(ge=2, le=1_000)]], Field(min_length=2, max_length=2)] | None = None
    params: dict[str, Any] | None = Field(None, description="Settings of the method; `rfm` has none.")
    rules: list[dict[str, Any]] | None = Field(None, max_length=10_000)
    min_segment_share: float = Field(
        0.02, ge=0, le=1, description="Evaluation says whether every segment holds at least this share of customers."
    )
    as_of: Instant | None = Field(
        None, description="Learn from facts strictly before this instant; default now, never later."
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="Makes methods that draw at random repeatable.")


class JobStarted(BaseModel):
    """The work goes on as a job: follow `Location`."""

    id: UUID = Field(description="The job's id.")
    kind: str
    status: Literal["queued"]
    segmentation_id: UUID


class Persona(BaseModel):
    """A segment in words and medians, from its members at one evaluation of everybody."""

    description: str
    medians: dict[str, float | None]
    as_of: datetime


class Masda(BaseModel):
    """Measurable, accessible, substantial, differentiable, actionable: null with a reason until computed."""

    measurable: float | None
    accessible: float | None
    substantial: float | None
    differentiable: float | None
    actionable: float | None
    reason: str | None


class SegmentOut(BaseModel):
    """One segment of a segmentation."""

    segment_id: UUID
    key: str = Field(description="Stable across versions.")
    name: str
    size: int = Field(description="Members now; before activation, customers of the training in it.")
    share: float | None = Field(description="Of the members of all segments; null when there are none.")
    revenue_share: float | None = Field(
        description="Of the total_spend of all members when everybody was last evaluated; null when nobody spent."
    )
    persona: Persona
    masda: Masda


class Evaluation(BaseModel):
    """How good a version is; `reasons` says why a measure is null."""

    silhouette: float | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    stability: float | None
    sizes_ok: bool
    k_table: list[dict[str, Any]]
    reasons: dict[str, str]


class SegmentationOut(BaseModel):
    """A segmentation by its active version, or by its newest where none is active."""

    segmentation_id: UUID
    name: str
    method: str
    version: int
    status: Literal["candidate", "active", "archived"]
    trained_at: datetime
    as_of: datetime = Field(description="The version learned from facts before this instant.")
    features: list[str]
    params: dict[str, Any] = Field(description="Settings, and what was learned; for `rfm` the quintile edges.")
    evaluation: Evaluation
    segments: list[SegmentOut]


class SegmentationPage(BaseModel):
    data: list[SegmentationOut]
    next_cursor: str | None


class SegmentDetail(SegmentOut):
    """One segment with the segmentation it belongs to."""

    segmentation_id: UUID
    segmentation: str
    version: int
    status: Literal["candidate", "active", "archived"]
