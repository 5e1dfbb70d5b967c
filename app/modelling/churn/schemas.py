"""Churn on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from app.modelling.features.schemas import Instant

MAX_SCORES = 10_000
LONGEST_HORIZON = 3_650
Algorithm = Literal["auto", "btyd", "logistic", "gradient_boosting", "random_forest"]
FeatureName = Annotated[str, Field(min_length=1, max_length=300)]
FeatureNames = Annotated[list[FeatureName], Field(max_length=200)]
Rate = Annotated[float, Field(gt=0, le=1)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class InactivityIn(_In):
    """Leaving is not buying: no purchase in the next horizon_days, one of amount 0 included."""

    kind: Literal["inactivity"]
    horizon_days: int = Field(ge=1, le=LONGEST_HORIZON, description="The history must reach back further than this.")


class LabelIn(_In):
    """Leaving is what an attribute of customers says, as with contracts."""

    kind: Literal["label"]
    attribute: str = Field(min_length=1, max_length=255, description="Name of the customer attribute.")
    positive: StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=255)] | None = Field(
        None, description="The value that means having left; without it yes, true, 1, y or churned."
    )


DefinitionIn = Annotated[InactivityIn | LabelIn, Field(discriminator="kind")]


class MoneyIn(_In):
    """An amount that is exact in the reporting currency."""

    amount: Annotated[str, Field(max_length=40)] | int | float
    currency: str = Field(min_length=3, max_length=3)


class InterventionIn(_In):
    """What is done about somebody who may leave. Risk is high where it pays at worst, medium where it pays at best."""

    cost: MoneyIn = Field(description="Of reaching one customer.")
    success_rate: Rate | Annotated[list[Rate], Field(min_length=2, max_length=2)] = Field(
        description="Share of those who would leave whom it keeps; or the lowest and the highest that it may be."
    )
    value_saved: MoneyIn | None = Field(
        None, description="What keeping one is worth; default the value each is expected to have over the horizon."
    )


class RetrainIn(_In):
    """Learning anew by itself."""

    every_days: int = Field(ge=1, le=LONGEST_HORIZON)
    activate: Literal["never", "if_better"] = Field(
        "never",
        description="`if_better`: only where its log loss on the newest out-of-time customers is the lower one.",
    )


class ChurnModelIn(_In):
    """What to learn."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"definition": {"kind": "inactivity", "horizon_days": 90}, "algorithm": "auto"},
                {
                    "name": "Contracts",
                    "definition": {"kind": "label", "attribute": "churned", "positive": "Yes"},
                    "protected_attribute": "attributes.gender",
                    "intervention": {"cost": {"amount": "5.00", "currency": "EUR"}, "success_rate": [0.1, 0.3]},
                    "retrain": {"every_days": 30, "activate": "if_better"},
                },
            ]
        },
    )

    name: str | None = Field(None, min_length=1, max_length=255)
    definition: DefinitionIn
    algorithm: Algorithm = Field(
        "auto",
        description="`auto` takes the one of the lowest log loss out of time; `logistic` where it cannot be told from it.",
    )
    features: Annotated[FeatureNames, Field(min_length=1)] | None = Field(
        None, description="Features of the registry, or `attributes.<name>`; see docs/churn.md for the default."
    )
    as_of: Instant | None = Field(
        None, description="Learn from facts strictly before this instant; default now, never later."
    )
    seed: int | None = Field(None, ge=0, lt=2**32, description="Same seed and data: the same model, to the byte.")
    insist_on: FeatureNames | None = Field(
        None, description="Features to keep although they alone tell the outcome, which looks like a leak."
    )
    protected_attribute: FeatureName | None = Field(
        None, description="`attributes.<name>` by whose values rates are compared; learned from only if among features."
    )
    intervention: InterventionIn | None = None
    retrain: RetrainIn | None = None


class ModelStarted(BaseModel):
    """The job, and the model it works on."""

    id: UUID
    kind: str
    status: Literal["queued"]
    model_id: UUID


class MoneyOut(BaseModel):
    """An amount as exact decimal text, with its currency."""

    amount: str
    currency: str


Figure = Annotated[
    dict[str, Any], Field(description="value, low, high, level, method, n; value null: the reason says why.")
]


class MetricsOut(BaseModel):
    """How good the model is on customers and times it had not seen."""

    roc_auc: Figure
    pr_auc: Figure
    brier: Figure
    log_loss: Figure
    calibration_error: Figure
    lift: Figure
    calibration: list[dict[str, Any]] = Field(description="Reliability: mean probability and observed share by tenth.")
    baseline: dict[str, Any] | None = Field(description="What the simplest rule gets on the same customers.")
    base_rate: dict[str, Any] | float | None


class ChurnModelOut(BaseModel):
    """A model, what it learned from, and how it is judged."""

    model_config = ConfigDict(extra="allow")

    model_id: UUID
    name: str | None
    status: Literal["training", "failed", "candidate", "active", "archived"]
    algorithm: str = Field(description="The one that was chosen, once it has been.")
    definition: dict[str, Any]
    horizon_days: int | None
    as_of: datetime
    created_at: datetime
    trained_at: datetime | None
    scored_at: datetime | None = Field(description="When everybody was last scored by it.")
    continues: UUID | None = Field(description="The model whose training this repeats.")
    job_id: UUID | None
    error: dict[str, Any] | None
    features: list[str] | None
    metrics: MetricsOut | None = Field(description="Null until it was learned.")
    candidates: list[dict[str, Any]]
    importances: list[dict[str, Any]]
    partial_dependence: list[dict[str, Any]]
    leakage: list[dict[str, Any]] = Field(description="Features that alone tell the outcome, and what was done about.")
    fairness: dict[str, Any] | None
    bands: dict[str, Any] = Field(description="Where risk is called medium and high.")
    drift: dict[str, Any] | None = Field(description="How it has fared since; null: nobody has looked yet.")
    warnings: list[dict[str, Any]]
    retrain: dict[str, Any] | None
    champion: dict[str, Any] | None = Field(description="A challenger beside the model that served, on one cohort.")


class ChurnModelPage(BaseModel):
    data: list[ChurnModelOut]
    next_cursor: str | None


class Contribution(BaseModel):
    """What a feature adds to the log odds of leaving."""

    feature: str
    value: float | str | None
    contribution: float


class ScoreOut(BaseModel):
    """How likely one customer is to leave."""

    customer_id: str
    churn_probability: float | None = Field(description="Null: `reason` says why.")
    horizon_days: int | None = Field(description="Null: the model tells a label.")
    risk: Literal["low", "medium", "high"] | None
    expected_value: MoneyOut | None = Field(description="What the customer would spend in expected_value_days.")
    value_at_risk: MoneyOut | None = Field(description="churn_probability x expected_value.")
    expected_value_source: Literal["clv", "mean_spend"] | None
    expected_value_days: int
    model_id: UUID
    as_of: datetime
    reason: Literal["no_purchases", "missing_exchange_rates"] | None = None


class ScoreWithReasons(ScoreOut):
    reasons: list[Contribution] = Field(description="Strongest first; with base they add up to the log odds.")
    base: float | None = Field(description="The log odds of the mean customer learned from.")


class ScoresIn(_In):
    """Whom to score."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"customer_ids": ["C-17", "C-18"]}]})

    customer_ids: list[Annotated[str, Field(max_length=255)]] = Field(max_length=MAX_SCORES)


class ScoresOut(BaseModel):
    """Each identifier once, in the order asked."""

    data: list[ScoreOut]
    unknown: list[str]


class AtRiskOut(BaseModel):
    customer_id: str
    churn_probability: float
    risk: Literal["low", "medium", "high"]
    expected_value: MoneyOut | None
    value_at_risk: MoneyOut | None
    scored_at: datetime


class AtRiskPage(BaseModel):
    model_id: UUID
    horizon_days: int | None
    expected_value_source: Literal["clv", "mean_spend"]
    expected_value_days: int
    scored_at: datetime | None
    data: list[AtRiskOut]
    next_cursor: str | None


class SegmentChurn(BaseModel):
    """The customers of a segment by their last nightly score."""

    segment_id: UUID
    segment_key: str
    segment_name: str
    customers: int
    scored: int
    mean_probability: float | None
    bands: dict[str, int]
    expected_value: MoneyOut
    value_at_risk: MoneyOut


class SegmentsChurnOut(BaseModel):
    segmentation_id: UUID
    model_id: UUID
    horizon_days: int | None
    scored_at: datetime | None
    data: list[SegmentChurn]
