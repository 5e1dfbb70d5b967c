"""Results of campaigns on the wire."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.measurement.campaigns.definitions import NAMES
from app.stats.comparison.sequential import TUNING


def _apart(values: list[str]) -> list[str]:
    """A list may be sent as repeated parameters, as words with commas between, or as both."""
    return list(dict.fromkeys(word.strip() for value in values for word in value.split(",")))


Words = Annotated[list[Annotated[str, StringConstraints(max_length=255)]], Field(max_length=20), AfterValidator(_apart)]


class ResultsQuery(BaseModel):
    """The parameters; one that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    metric: Words = Field(
        [],
        description=f"Of {NAMES}, repeated or with commas between; default: those the campaign was planned with. "
        "The summary speaks of the first.",
        examples=[["revenue_per_customer", "conversion_rate"]],
    )
    confidence: float = Field(0.95, ge=0.5, le=0.9999, description="Level of all intervals.")
    tuning: float = Field(
        TUNING,
        ge=1,
        le=1e12,
        description="Number of customers at which the always-valid interval is about as narrow as it can be; to be "
        "chosen before the first look.",
    )
    winsorize: float | None = Field(
        None,
        ge=0.5,
        lt=1,
        description="This part of the customers' amounts other than 0 stays, larger ones are cut back.",
    )
    by_segment: UUID | None = Field(
        None, description="A segmentation: every comparison in each segment too, by membership when assigned."
    )


class Money(BaseModel):
    amount: str
    currency: str


class Estimate(BaseModel):
    """A value with its interval, or null with a reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    n: int
    reason: str | None = Field(None, description="Why there is no value or no interval; absent where there is.")
    p_value: float | None = Field(None, description="Two-sided, of no difference; null where nothing can be tested.")


class SegmentEstimate(Estimate):
    p_value_adjusted: float | None = Field(
        None, description="For looking at all segments (Benjamini-Hochberg); absent where nothing can be tested."
    )


class CupedEstimate(Estimate):
    """The effect with what customers did before taken out."""

    variance_explained: float = Field(description="Part of the variance that the past explains.")
    theta: float
    lift: Estimate


class Believed(Estimate):
    """A flat prior's posterior."""

    chance_to_win: float | None = None
    loss_if_chosen: float | None = Field(None, description="Lost on average by choosing the arm where it is worse.")
    loss_if_rejected: float | None = None


class Power(BaseModel):
    """What could be found with the customers so far."""

    power: float = Field(description="Chance to find a true effect of the size seen; says no more than its p-value.")
    minimum_detectable_effect: float = Field(description="Found with probability 0.8 at this confidence.")
    minimum_detectable_lift: float | None = Field(description="The same as a part of the holdout's mean.")
    growth_needed: float | None = Field(
        description="Times as many customers to find an effect of the size seen with probability 0.8; null beyond 100."
    )
    days_needed: int | None = Field(description="More days at this traffic; null where nobody new comes or it is over.")


class SegmentComparison(BaseModel):
    segment_id: UUID | None = Field(description="Null: in no segment when assigned.")
    segment_key: str | None
    segment_name: str | None
    n_treated: int
    n_control: int
    effect: SegmentEstimate
    lift: Estimate
    shrunk: Estimate | None = Field(
        None, description="The effect drawn to the mean of the segments as far as chance made them differ."
    )


class Comparison(BaseModel):
    """An arm against the holdout by one metric."""

    arm: str
    metric: str
    treated: float | None = Field(None, description="The metric in the arm.")
    control: float | None = Field(None, description="The metric in the holdout.")
    effect: Estimate = Field(description="Difference; money in major units. Valid for one look at the end.")
    lift: Estimate = Field(description="The same as a part of the holdout's value.")
    always_valid: Estimate = Field(description="The effect, right however often one looks.")
    always_valid_lift: Estimate
    cuped: CupedEstimate | None = Field(None, description="Absent where the past explains nothing.")
    bayesian: Believed | None = None
    power: Power | None = None
    by_segment: list[SegmentComparison] | None = None


class ArmOut(BaseModel):
    arm: str
    n: int = Field(description="Assigned customers whose time is over, each person once.")
    buyers: int
    conversions: int
    revenue_net: Money


class SampleRatioOut(BaseModel):
    """Whether the arms are as large as planned; results of arms that are not cannot be trusted."""

    p_value: float | None
    ok: bool | None = Field(description="False below p = 0.01; null where it cannot be said.")
    reason: str | None = None
    chi_square: float | None = None
    expected: dict[str, float]
    observed: dict[str, int]


class Maturity(BaseModel):
    mature: int
    pending: int
    share: float | None
    complete_at: str = Field(description="When the last of those assigned so far is over.")
    window_days: int | None
    pending_count_so_far: bool = Field(
        description="Whether those whose time is not over count with what they did so far: without a window of their own."
    )


class Excluded(BaseModel):
    erased: int
    cross_overs: int = Field(description="Persons of whom names in several arms were merged: in no arm.")
    refused_cross_overs: int = Field(description="Customers of whom another arm was pushed later: in their first.")
    duplicates: int = Field(description="Names merged into a person of the same arm: counted once.")


class Overlap(BaseModel):
    campaign_id: str
    customers: int = Field(description="Customers of this campaign in a treated arm of that one.")


class Warned(BaseModel):
    code: str
    detail: str


class ResultsOut(BaseModel):
    """What a campaign changed, and how sure that is."""

    campaign_id: str
    as_of: str
    currency: str
    arms: list[ArmOut]
    sample_ratio: SampleRatioOut
    comparisons: list[Comparison]
    maturity: Maturity
    excluded: Excluded
    overlaps: list[Overlap]
    warnings: list[Warned]
    summary: str
