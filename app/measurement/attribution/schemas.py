"""Attribution on the wire."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.measurement.attribution.definitions import (
    DEFAULT_WINDOW_DAYS,
    HALF_LIFE_DAYS,
    LOOK_BACK_DAYS,
    MAX_HALF_LIFE_DAYS,
    MAX_LOOK_BACK_DAYS,
    MAX_ORDER,
    MEANINGS,
    MIN_HALF_LIFE_DAYS,
    By,
    Model,
    Outcome,
)
from app.measurement.spreadsheet import AnswerFormat
from app.stats.attribution.journeys import Game

Bound = Annotated[str, StringConstraints(max_length=64)]


class AttributionQuery(BaseModel):
    """The parameters; one that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Model = Field(
        description="\n".join(f"- `{each.model}`: {each.meaning}" for each in MEANINGS), examples=["markov"]
    )
    order: int | None = Field(
        None, ge=1, le=MAX_ORDER, description="Of markov only: how many touches decide what comes next; 1 if left out."
    )
    game: Game | None = Field(
        None,
        description="Of shapley only. `conversions`, the default: a coalition of channels earns the outcomes of journeys "
        "that met no other. `rate`: it earns their conversion rate; credit is scaled to the totals and may be negative.",
    )
    half_life_days: float | None = Field(
        None,
        ge=MIN_HALF_LIFE_DAYS,
        le=MAX_HALF_LIFE_DAYS,
        description=f"Of time_decay only; {HALF_LIFE_DAYS:g} if left out.",
    )
    from_: Bound | None = Field(
        None,
        alias="from",
        description="First day or instant of the outcomes; a day begins at midnight in the reporting time zone. "
        f"Without it {DEFAULT_WINDOW_DAYS} days before the end.",
        examples=["2026-01-01"],
    )
    to: Bound | None = Field(
        None,
        description="Day or instant that ends the window and is not part of it. Without it the window ends now.",
        examples=["2026-04-01"],
    )
    look_back_days: int = Field(
        LOOK_BACK_DAYS, ge=1, le=MAX_LOOK_BACK_DAYS, description="How long before an outcome touches count."
    )
    outcome: Outcome = Field(
        "purchase",
        description="`purchase`: purchases above 0, with their amounts. `conversion`: events conversion and sign_up.",
    )
    by: By = Field("channel", description="What gets the credit.")
    group_by: Literal["segment"] | None = Field(
        None, description="Journeys of each segment by themselves: the segment a customer was in at the outcome."
    )
    segmentation_id: UUID | None = Field(
        None, description="Which segmentation, when grouped by segment; not needed while exactly one is active."
    )
    format: AnswerFormat | None = Field(
        None, description="csv for spreadsheets, also by `Accept: text/csv`; json otherwise."
    )


class Money(BaseModel):
    """An amount as exact decimal text, with its currency."""

    amount: str
    currency: str


class Segment(BaseModel):
    """The segment of the customers; null for those who were in none."""

    segment: UUID | None
    segment_key: str | None
    segment_name: str | None


class Gain(BaseModel):
    """What campaigns brought beyond their holdouts, in major units; null with a reason where it cannot be said."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    n: int
    reason: str | None = None


class Factor(BaseModel):
    """Credit divided by gain: 2 says that the model credits twice what was caused."""

    value: float | None
    low: float | None = None
    high: float | None = Field(None, description="Null with reason gain_may_be_zero: there is no upper end.")
    level: float | None = None
    n: int
    verdict: Literal["over_credited", "under_credited", "not_conclusive"] | None = None
    reason: str | None = None


class Incrementality(BaseModel):
    """The model against the holdouts of the channel's finished campaigns inside the window."""

    campaigns: list[str]
    credited: Money = Field(
        description="What the model credits to the channel among those treated, over the campaigns' time, net of refunds."
    )
    gain: Gain
    factor: Factor


class CreditRow(BaseModel):
    """One channel or campaign, in one group."""

    channel: str | None = Field(None, description="There with by=channel.")
    campaign: str | None = Field(None, description="There with by=campaign.")
    group: Segment | None = Field(None, description="There with group_by=segment.")
    conversions: float = Field(description="Credited outcomes, to four digits, adding up to attributed_conversions.")
    share: float | None = Field(description="Of the outcomes attributed in this group; null where there are none.")
    revenue: Money | None = Field(description="Credited amounts before refunds; null with outcome=conversion.")
    cost: Money | None = Field(description="All costs booked on it, pro rata by day.")
    media_cost: Money | None
    roas: float | None = Field(description="Credited revenue divided by media cost.")
    cost_per_acquisition: float | None = Field(description="All costs by credited outcome, in major units.")
    reasons: dict[str, str] | None = Field(None, description="Why fields of this row are null.")
    incrementality: Incrementality | None = Field(
        description="Null where no campaign inside the window is over and has a holdout."
    )
    standard_error: float | None = Field(None, description="Of conversions, where orders of joining were sampled.")


class UnattributedGroup(BaseModel):
    group: Segment
    conversions: int
    revenue: Money | None


class Unattributed(BaseModel):
    """Outcomes without any touchpoint within the look-back, never spread over channels."""

    conversions: int
    revenue: Money | None
    without_customer: int = Field(description="How many of them are of guests or of customers who were erased.")
    cost: Money | None = Field(description="Costs that are booked on no channel, or no campaign.")
    groups: list[UnattributedGroup] | None = Field(None, description="There with group_by=segment.")


class Totals(BaseModel):
    """Everything together: the credits and what is unattributed."""

    conversions: int
    revenue: Money | None
    attributed_conversions: int
    attributed_revenue: Money | None
    journeys_without_outcome: int | None = Field(
        description="Customers with touchpoints and no outcome in the window; null where the model does not need them."
    )
    cost: Money | None


class AttributionAnswer(BaseModel):
    """Credit by group, then name."""

    model: Model
    order: int | None
    game: Game | None
    half_life_days: float | None
    outcome: Outcome
    by: By
    from_: datetime = Field(alias="from")
    to: datetime
    look_back_days: int
    currency: str
    data: list[CreditRow]
    unattributed: Unattributed
    totals: Totals
    reason: Literal["no_outcomes", "no_touchpoints"] | None = Field(None, description="Why nothing is credited.")
    data_as_of: datetime | None = Field(description="When the newest transaction or event came in.")
