"""Initiatives and their return on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.clock import parse_instant
from app.measurement.roi.definitions import Grade, Method, Value

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("an instant is RFC 3339 text such as 2026-01-31T12:00:00Z")
    return parse_instant(value)


def _amount(value: object) -> object:
    if isinstance(value, str) and len(value) <= 40:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError('an amount is decimal text such as "12.34" or a number that is exact in the currency')


Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Amount = Annotated[
    str | int | float,
    BeforeValidator(_amount),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 40}, {"type": "number"}]}),
]
Currency = Annotated[str, Field(min_length=3, max_length=3)]
Rate = Annotated[float, Field(gt=0, le=1)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Money(BaseModel):
    """An amount as exact decimal text, with its currency."""

    amount: str
    currency: str


class ScenarioIn(_Asked):
    """A plan's figures, of which revenue must be the product of the others."""

    visitors: int = Field(ge=0, le=10**12)
    conversion_rate: float = Field(ge=0, le=1)
    average_order_value: Amount
    revenue: Amount | None = None


class CalculateIn(BaseModel):
    """Amounts of one currency."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"gain": "540000.00", "cost": "120000.00", "margin_rate": 0.4, "currency": "EUR"}]
        },
    )

    gain: Amount = Field(description="What came in because of it, before the cost is taken off.")
    cost: Amount
    margin_rate: Rate | None = Field(None, description="Share of the gain that is margin; null: the gain is margin.")
    currency: Currency
    scenario: ScenarioIn | None = None


class ScenarioOut(BaseModel):
    implied_revenue: Money = Field(description="Visitors x conversion rate x average order value.")
    consistent: bool | None = Field(description="Whether the stated revenue is that, to half a per cent; null: none.")
    difference: Money | None = Field(None, description="Stated less implied.")
    detail: str | None = Field(None, description="What contradicts what.")


class CalculateOut(BaseModel):
    """The arithmetic of a return; what cannot be computed is null, with the reason under its name."""

    currency: str
    gain: Money
    margin_rate: float | None
    cost: Money
    net_gain: Money = Field(description="Gain x margin_rate less cost.")
    roi: float | None = Field(description="(Gain x margin_rate - cost) / cost: 3.5 is 350 %.")
    break_even_gain: Money = Field(description="The gain at which it pays for itself, rounded up.")
    break_even_margin: float | None = Field(description="The margin rate at which this gain pays for it.")
    reasons: dict[str, str]
    scenario: ScenarioOut | None = None


class TargetIn(_Asked):
    """What the initiative is to reach."""

    metric: Annotated[str, Field(min_length=1, max_length=100)]
    value: float


class SpanIn(_Asked):
    """A half-open stretch of time."""

    from_: Instant = Field(alias="from")
    to: Instant


class DeclaredIn(_Asked):
    """A gain that somebody vouches for, such as hours saved: evidence D."""

    amount: Amount
    currency: Currency
    by: Name = Field(description="Who vouches for it.")
    why: Annotated[str, Field(min_length=1, max_length=2_000)]


INITIATIVE: dict[str, Any] = {
    "initiative_id": "personalisation",
    "name": "Personalised mailings",
    "objective": "more revenue from customers about to leave",
    "target": {"metric": "revenue_per_customer", "value": 1.5},
    "starts_at": "2026-10-01T00:00:00Z",
    "ends_at": "2027-01-01T00:00:00Z",
    "baseline": {"from": "2026-07-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"},
    "value": "margin",
    "margin_rate": 0.4,
}


class InitiativeIn(BaseModel):
    """A piece of work whose return will be asked for."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [INITIATIVE]})

    initiative_id: Identifier | None = Field(None, description="Yours, as in costs and campaigns; made up if absent.")
    name: Name
    objective: Annotated[str, Field(max_length=1_000)]
    target: TargetIn | None = None
    starts_at: Instant
    ends_at: Instant
    baseline: SpanIn | None = Field(None, description="Ordinary days to compare with, before the start.")
    value: Value = Field("revenue", description="Whether the gain is revenue or contribution margin.")
    margin_rate: Rate | None = Field(
        None, description="Share of revenue that is margin, where transactions carry none; only with value `margin`."
    )
    declared: DeclaredIn | None = None


class SpanOut(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    from_: datetime = Field(alias="from")
    to: datetime


class DeclaredOut(BaseModel):
    amount: str
    currency: str
    by: str
    why: str


class InitiativeOut(BaseModel):
    """An initiative as planned."""

    initiative_id: str
    name: str
    objective: str
    target: dict[str, Any]
    starts_at: datetime
    ends_at: datetime
    baseline: SpanOut | None
    value: Value
    margin_rate: float | None
    declared: DeclaredOut | None
    created_at: datetime


class InitiativePage(BaseModel):
    data: list[InitiativeOut]
    next_cursor: str | None


class RoiQuery(_Asked):
    """The parameters; one that is not listed here is refused."""

    method: Method | Literal["auto"] = Field("auto", description="`auto` takes the best evidence there is.")
    confidence: float = Field(0.95, ge=0.5, le=0.9999, description="Level of all intervals.")
    by_segment: UUID | None = Field(
        None, description="A segmentation: the gain in each segment too, by membership when assigned; needs a holdout."
    )


class EstimateOut(BaseModel):
    """A value with its interval, or null with a reason; money in major units of the reporting currency."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    n: int
    reason: str | None = Field(None, description="Why there is no value or no interval; absent where there is.")


class CostOut(BaseModel):
    total: Money
    by_category: dict[str, Money]


class WarnedOut(BaseModel):
    code: str
    detail: str


class TriedOut(BaseModel):
    """A way to know the gain that was looked at."""

    method: Method
    evidence: Grade
    gain: EstimateOut
    chosen: bool


class SegmentReturn(BaseModel):
    """The gain in one segment; its cost is the share of the whole that its treated customers are."""

    segment_id: UUID | None = Field(description="Null: in no segment when assigned.")
    segment_key: str | None
    segment_name: str | None
    treated: int
    gain: EstimateOut
    cost_allocated: Money
    roi: EstimateOut


class ArmReturn(BaseModel):
    """The gain of one arm of one campaign; its cost is the share of what is booked that its customers are."""

    campaign_id: str
    arm: str
    treated: int
    gain: EstimateOut
    cost_allocated: Money
    roi: EstimateOut


class ChannelReturn(BaseModel):
    """The campaigns of one channel, with what was booked on them."""

    channel: str | None
    campaign_ids: list[str]
    gain: EstimateOut
    cost: Money
    roi: EstimateOut


class RoiOut(BaseModel):
    """What an initiative was worth, and how well that is known."""

    initiative_id: str
    as_of: datetime
    window: SpanOut
    currency: str
    value: Value = Field(description="Whether the gain is revenue or contribution margin.")
    margin_rate: float | None
    method: Method
    evidence: Grade
    evidence_meaning: str
    better_evidence: str | None = Field(description="What would raise the grade; null at A.")
    treated: int = Field(description="Customers whose gain this is; 0 where nobody was told apart.")
    gain: EstimateOut
    cost: CostOut
    net_gain: EstimateOut
    roi: EstimateOut = Field(description="(gain - cost) / cost: 3.5 is 350 %.")
    probability_positive: float | None = Field(description="That the gain exceeds the cost; null where not measured.")
    payback_days: float | None = Field(description="If the gain comes in evenly; null where nothing is gained.")
    break_even_gain: Money
    break_even_margin: float | None = Field(description="Where the gain is revenue: the margin that pays for it.")
    parallel_trends: bool | None = Field(description="With difference_in_differences: whether the trends were alike.")
    customer_equity: EstimateOut = Field(
        description="Change of predicted lifetime value by the holdout; shown apart, never part of the gain."
    )
    tried: list[TriedOut]
    by_arm: list[ArmReturn] = Field(description="Of campaigns with a holdout.")
    by_channel: list[ChannelReturn]
    by_segment: list[SegmentReturn] | None = Field(None, description="Absent unless asked for.")
    warnings: list[WarnedOut]
    summary: str
