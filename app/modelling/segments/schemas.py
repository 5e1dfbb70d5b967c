"""Segmentations on the wire."""

import sys
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.modelling.features.schemas import Instant

Name = Annotated[str, Field(min_length=1, max_length=255)]

Names = Annotated[
    list[Annotated[str, Field(max_length=300)]],
    Field(min_length=1, max_length=200, description="Features of the registry, or `attributes.<name>`."),
]
MOST_SEGMENTS = 100


def _number_or_auto(value: object) -> object:
    """One refusal where it stands, instead of one for each thing that it could have been."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEGMENTS):
        return value
    raise ValueError(f'must be "auto" or a whole number from 1 to {MOST_SEGMENTS}')


def _number_or_text(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise ValueError("must be a finite number, text or null")


K = Annotated[Annotated[int, Field(ge=1, le=MOST_SEGMENTS)] | Literal["auto"], BeforeValidator(_number_or_auto)]
FeatureValue = Annotated[float | str | None, BeforeValidator(_number_or_text)]
KRange = Annotated[list[Annotated[int, Field(ge=2, le=MOST_SEGMENTS)]], Field(min_length=2, max_length=2)]
Rules = Annotated[
    list[dict[str, Any]],
    Field(min_length=1, max_length=1_000, description="In order: the first that matches wins. See docs/rules.md."),
]


class _Choices(BaseModel):
    """What a training may be told; what means nothing to the method is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    features: Names | None = None
    k: K | None = Field(
        None, description="Number of segments; `auto`, the default, weighs the candidates of `k_range`."
    )
    k_range: KRange | None = None
    params: dict[str, Any] | None = Field(None, description="Settings of the method; see docs/segments.md.")
    rules: Rules | None = None
    as_of: Instant | None = Field(
        None, description="Learn from facts strictly before this instant; default now, never later."
    )
    seed: int | None = Field(None, ge=0, lt=2**32, description="Same seed and data: the same segments, to the byte.")


class SegmentationIn(_Choices):
    """What to learn. Fields that mean nothing to the method are refused."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"name": "RFM", "method": "rfm", "as_of": "2026-11-01T00:00:00Z"},
                {"name": "Value", "method": "kmeans", "features": ["total_spend", "purchase_count"], "k": "auto"},
            ]
        },
    )

    name: Name = Field(description="Unique among segmentations.")
    method: Literal["rfm", "kmeans", "gaussian_mixture", "hierarchical", "dbscan", "decision_tree", "rules"]
    min_segment_share: float = Field(
        0.02, ge=0, le=0.5, description="`auto` chooses no k with a smaller segment, and evaluation says of all."
    )


class RefitIn(_Choices):
    """What to learn anew; what is not said is as it was asked for at first."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [{"as_of": "2026-11-01T00:00:00Z"}]}
    )

    min_segment_share: float | None = Field(None, ge=0, le=0.5)


class CompareIn(BaseModel):
    """Which versions to lay side by side."""

    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, json_schema_extra={"examples": [{"from": 1, "to": 2}]}
    )

    from_: int = Field(alias="from", ge=1, le=2**31 - 1)
    to: int = Field(ge=1, le=2**31 - 1)


class AssignIn(BaseModel):
    """Customers as their features, to be assigned without being stored."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"rows": [{"total_spend": 120.5, "purchase_count": 3}]}]},
    )

    rows: list[dict[Annotated[str, Field(max_length=300)], FeatureValue]] = Field(max_length=10_000)
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="Default: the active version, else the newest.")


class Assigned(BaseModel):
    """Where one row belongs; all null for one that qualifies for no segment."""

    segment_id: UUID | None
    segment_key: str | None
    segment_name: str | None
    confidence: float | None = None
    reason: dict[str, Any] | None


class AssignOut(BaseModel):
    segmentation_id: UUID
    version: int
    data: list[Assigned]


class JobStarted(BaseModel):
    """The work goes on as a job: follow `Location`."""

    id: UUID = Field(description="The job's id.")
    kind: str
    status: Literal["queued"]
    segmentation_id: UUID


class Persona(BaseModel):
    """A segment in words and figures, from its members at one evaluation of everybody."""

    name: str
    meaning: str
    description: str
    drivers: list[dict[str, Any]] = Field(description="What distinguishes the segment most, with effect sizes.")
    typical: dict[str, dict[str, Any]] = Field(description="The customer in the middle, feature by feature.")
    as_of: datetime


class Criterion(BaseModel):
    """One entry of the card; `reason` says why a value is null."""

    value: float | None
    reason: str | None = None
    detail: dict[str, Any] = {}


class Masda(BaseModel):
    """Measurable, accessible, substantial, differentiable, actionable. See docs/personas.md."""

    measurable: Criterion
    accessible: Criterion
    substantial: Criterion
    differentiable: Criterion
    actionable: Criterion


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
    warnings: list[dict[str, Any]] = Field([], description="What to mind: alike or small segments, features left out.")
    explained_by: dict[str, Any] | None = Field(
        None, description="Readable rules that imitate the segmentation, and how faithfully (`fidelity`)."
    )
    accuracy: float | None = Field(None, description="Of `decision_tree`: the share of labels it tells right.")


class Version(BaseModel):
    """One version and what stands beside it."""

    version: int
    status: Literal["candidate", "active", "archived"]
    trained_at: datetime
    as_of: datetime
    activated_at: datetime | None
    refreshed_at: datetime | None
    params: dict[str, Any]
    evaluation: Evaluation
    matching: dict[str, Any] = Field(description="How its segments continue those of the version before.")


class VersionList(BaseModel):
    data: list[Version]


class SegmentationOut(BaseModel):
    """A segmentation by its active version, or by its newest where none is active."""

    segmentation_id: UUID
    name: str
    method: str
    version: int
    status: Literal["candidate", "active", "archived"]
    trained_at: datetime
    as_of: datetime = Field(description="The version learned from facts before this instant.")
    refreshed_at: datetime | None = Field(description="Everybody was evaluated then or later; null: nobody yet.")
    features: list[str]
    currency: str = Field(description="Of every figure of money.")
    params: dict[str, Any] = Field(description="Settings, and what was learned; for `rfm` the quintile edges.")
    evaluation: Evaluation
    matching: dict[str, Any] = Field(description="How its segments continue those of the version before.")
    model: dict[str, Any] | None = Field(
        description="Where the fitted model comes from: libraries, fingerprint of the data, customers, window, seed."
    )
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
