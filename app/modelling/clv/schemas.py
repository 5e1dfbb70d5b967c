"""Lifetime value on the wire."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.clock import parse_day
from app.modelling.clv.task import TimeUnit, ValueKind
from app.modelling.features.schemas import Instant

MAX_SCORED = 10_000
# Ten years.
LONGEST_HORIZON = 3_650


def _read_day(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a day is text such as 2026-01-31")
    return parse_day(value)


Day = Annotated[date, BeforeValidator(_read_day), WithJsonSchema({"type": "string", "format": "date"})]


class ClvModelIn(BaseModel):
    """What to learn."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "model": "bg_nbd",
                    "calibration_end": "2026-06-30",
                    "time_unit": "week",
                    "horizon_days": 273,
                    "discount_rate_annual": 0.1,
                    "value": "revenue",
                },
                {"name": "Margin", "model": "auto", "value": "margin"},
            ]
        },
    )

    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    model: Literal["auto", "bg_nbd", "mbg_nbd", "pareto_nbd"] = Field(
        description="`auto` fits all three and takes the one under which what happened after `calibration_end` is most "
        "likely; where nothing is known of that, the one under which what it learned from is."
    )
    calibration_end: Day | None = Field(
        None,
        description="The last day that is learned from, in the reporting time zone; default the last complete one.",
    )
    time_unit: TimeUnit = Field("week", description="Unit of time of the parameters; weeks are days / 7.")
    horizon_days: int = Field(
        365, ge=1, le=LONGEST_HORIZON, description="Lifetime value is that of so many days ahead."
    )
    discount_rate_annual: float = Field(
        0.0, ge=0, le=10, description="0.1: what is earned in a year counts 1 / 1.1. Default: nothing is discounted."
    )
    value: ValueKind = Field("revenue", description="What a purchase is worth; both net of refunds.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the draws behind intervals, and of the starts of the fit.")


class ClvJobStarted(BaseModel):
    """The work goes on as a job: follow `Location`."""

    id: UUID = Field(description="The job's id.")
    kind: str
    status: Literal["queued"]
    model_id: UUID


class Estimated(BaseModel):
    """A figure with its interval, or null with the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    n: int
    reason: str | None = None


class Convergence(BaseModel):
    """How the fit ended."""

    converged: bool
    reason: str | None = Field(description="Why it did not, or what is odd about it.")
    iterations: int
    starts: int
    agreeing_starts: int = Field(description="How many starts led to the same maximum.")
    gradient_norm: float
    at_bounds: list[str] = Field(description="Parameters that ran to a bound: the data do not tell their value.")


class GammaGamma(BaseModel):
    """The model of what a purchase is worth; all null with a reason where there is none."""

    p: float | None
    q: float | None
    v: float | None
    log_likelihood: float | None
    reason: str | None = None
    parameter_intervals: dict[str, Estimated] | None = None
    standard_errors: dict[str, float] | None = None
    convergence: Convergence | None = None
    customers: int = Field(description="With a repeat purchase worth more than 0: these it learned from.")
    left_out: int = Field(description="With repeat purchases whose worth is unknown, 0 or negative.")
    frequency_value_correlation: float | None = Field(description="The model assumes 0.")


class Period(BaseModel):
    """A stretch of the days held out, that last day included."""

    from_day: int
    to_day: int
    actual: int
    expected: float


class HeldOutValue(BaseModel):
    """Money in the days held out, in units of the currency."""

    currency: str
    actual: float
    expected: float | None
    top_decile_share: float | None = Field(
        description="Share of what was really spent by the tenth of customers with the highest predicted value."
    )
    best_possible_share: float | None = Field(description="The same by the tenth who really spent most.")


class Holdout(BaseModel):
    """What was expected for the days after `calibration_end` that are over, and what happened: purchases."""

    from_: date = Field(alias="from")
    to: date = Field(description="The last day, that one included.")
    days: int
    customers: int
    actual: int
    expected: float
    low: float | None
    high: float | None
    level: float | None
    method: str | None
    covered: bool | None = Field(description="Whether what happened lies in the interval.")
    ratio: float | None = Field(description="expected / actual.")
    mae: float = Field(description="Mean absolute error per customer.")
    log_likelihood: float = Field(description="Of what happened, given what was known before.")
    by_time: list[Period]
    value: HeldOutValue
    seasonal: dict[str, Any]
    statement: str


class ClvModelOut(BaseModel):
    """A lifetime value model: how it was asked for, what it learned and how good that is."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: UUID
    name: str | None
    status: Literal["training", "candidate", "active", "archived", "failed"]
    algorithm: str
    model: str = Field(description="The family: chosen, or asked for.")
    as_of: datetime = Field(description="It learned from facts before this instant.")
    calibration_end: date
    time_unit: TimeUnit
    horizon_days: int
    discount_rate_annual: float
    value: ValueKind
    currency: str
    seed: int
    created_at: datetime
    trained_at: datetime | None
    scored_at: datetime | None = Field(description="Everybody was scored as of then; null: nobody yet.")
    continues: UUID | None
    job_id: UUID | None
    error: dict[str, Any] | None = Field(description="Why the training failed.")
    customers: int | None
    repeating_customers: int | None
    repeat_purchases: int | None
    parameters: dict[str, float] | None = Field(description="By name, in the unit of time asked for.")
    parameter_intervals: dict[str, Estimated] | None
    standard_errors: dict[str, float] | None = Field(description="Null where the curvature gives none.")
    log_likelihood: float | None
    gamma_gamma: GammaGamma | None
    convergence: Convergence | None
    holdout: Holdout | None = Field(description="Null where no day after `calibration_end` with facts is over.")
    candidates: list[dict[str, Any]] | None
    forecast: dict[str, Any] | None = Field(
        description="All customers together over the horizon, from calibration_end on."
    )
    warnings: list[dict[str, str]] | None


class ClvModelPage(BaseModel):
    data: list[ClvModelOut]
    next_cursor: str | None


class Money(BaseModel):
    amount: str
    currency: str


class CustomerClv(BaseModel):
    """What a customer is expected to do and to be worth; null with `reason` where that cannot be told."""

    model_config = ConfigDict(protected_namespaces=())

    customer_id: str
    p_alive: float | None = Field(description="That the customer has not left for good. Not a churn score.")
    expected_purchases: float | None = Field(description="Purchase days within the horizon.")
    expected_value: Money | None = Field(description="Of one purchase day.")
    clv: Money | None = Field(description="Of all expected purchases within the horizon, discounted.")
    clv_low: Money | None = Field(description="With clv_high: what the uncertainty of the parameters leaves open.")
    clv_high: Money | None
    level: float | None
    method: str | None
    reason: str | None = Field(None, description="Why something is null, e.g. no_purchases.")
    purchase_days: int
    age_days: int | None = Field(description="Days since the first purchase day.")
    age_at_last_purchase_days: int | None
    horizon_days: int
    model_id: UUID
    as_of: datetime


class ScoresIn(BaseModel):
    """Whom to look at."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"customer_ids": ["C-17", "C-18"]}]})

    customer_ids: list[Annotated[str, Field(max_length=255)]] = Field(max_length=MAX_SCORED)
    as_of: Instant | None = Field(None, description="What was known then; default now.")


class ScoresOut(BaseModel):
    """Each identifier once, in the order asked."""

    data: list[CustomerClv]
    unknown: list[str]


class StoredClv(BaseModel):
    """A customer's forecast when everybody was last scored."""

    customer_id: str
    p_alive: float
    expected_purchases: float
    expected_value: Money | None
    clv: Money | None
    scored_at: datetime


class StoredClvPage(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    data: list[StoredClv]
    next_cursor: str | None
    model_id: UUID
    horizon_days: int


class Measured(BaseModel):
    """Customer equity when everybody was scored."""

    model_config = ConfigDict(protected_namespaces=())

    measured_at: datetime
    model_id: UUID
    customers: int
    equity: Money
    low: Money | None
    high: Money | None


class Equity(BaseModel):
    """Customer equity: the lifetime values of these customers together."""

    customers: int = Field(description="In it now; of everybody, those who ever bought.")
    valued: int = Field(description="Of these, with a lifetime value.")
    equity: Money
    low: Money | None = Field(description="With high: what the uncertainty of the parameters leaves open.")
    high: Money | None
    level: float | None
    mean: Money | None = Field(description="Per customer valued.")
    share: float | None = Field(description="Of the equity of everybody.")
    history: list[Measured] = Field(description="Newest first.")


class SegmentEquity(Equity):
    segmentation_id: UUID
    segment_id: UUID
    key: str
    name: str


class EquityOut(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_id: UUID
    horizon_days: int
    currency: str
    as_of: datetime | None = Field(description="Everybody was scored as of then.")
    total: Equity
    segments: list[SegmentEquity] = Field(description="Empty unless grouped by segment.")
