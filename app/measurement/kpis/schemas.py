"""Key figures on the wire."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.measurement.kpis.definitions import BY_NAME
from app.measurement.kpis.kinds import Customers, Direction, IntervalMethod, Unit
from app.measurement.periods import Interval
from app.measurement.spreadsheet import AnswerFormat

Bound = Annotated[str, StringConstraints(max_length=64)]


def _apart(values: list[str]) -> list[str]:
    """A list may be sent as repeated parameters, as words with commas between, or as both."""
    return list(dict.fromkeys(word.strip() for value in values for word in value.split(",")))


Words = Annotated[list[Annotated[str, StringConstraints(max_length=255)]], Field(max_length=50), AfterValidator(_apart)]


class KpiQuery(BaseModel):
    """The parameters; one that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid")

    metric: Words = Field(
        min_length=1,
        description=f"Names of metrics, repeated or with commas between: {', '.join(BY_NAME)}.",
        examples=[["revenue_net", "average_order_value"]],
    )
    from_: Bound | None = Field(
        None,
        alias="from",
        description="First day or instant of the window; a day begins at midnight in the reporting time zone. "
        "Without it the window begins with the day of the first transaction.",
        examples=["2026-01-01"],
    )
    to: Bound | None = Field(
        None,
        description="Day or instant that ends the window and is not part of it. Without it the window ends now.",
        examples=["2026-04-01"],
    )
    group_by: Words = Field(
        [],
        description="Any of segment, channel, campaign, repeated or with commas between.",
        examples=[["segment"]],
    )
    segmentation_id: UUID | None = Field(
        None, description="Which segmentation, when grouped by segment; not needed while exactly one is active."
    )
    interval: Interval | None = Field(
        None, description="Cut the window into these, in the reporting time zone; without it one figure for all of it."
    )
    customers: Customers = Field(
        "all", description="All transactions, those of known customers, or those of guests (no customer_id)."
    )
    compare_from: Bound | None = Field(
        None,
        description="First day or instant of a window to compare with, wholly before or after the other; with it every "
        "figure has a `baseline` and a `change`, period by period in their order.",
        examples=["2025-01-01"],
    )
    compare_to: Bound | None = Field(
        None, description="Day or instant that ends the window to compare with.", examples=["2025-04-01"]
    )
    format: AnswerFormat | None = Field(
        None, description="csv for spreadsheets, also by `Accept: text/csv`; json otherwise."
    )


class KpiValue(BaseModel):
    """A figure of one window. Null with a reason is not 0: it cannot be computed."""

    value: int | float | None = Field(description="Money in major units of the reporting currency.")
    low: float | None = Field(description="Lower end of the interval; null where the figure has none.")
    high: float | None = Field(description="Upper end of the interval.")
    level: float | None = Field(description="Confidence of the interval, such as 0.95.")
    n: int = Field(description="Observations behind the value.")
    numerator: int | float | None
    denominator: int | float | None = Field(description="Null where the figure is no quotient.")
    reason: str | None = Field(None, description="Why there is no value or no interval; absent where there is.")


class Change(BaseModel):
    """A difference. Null with a reason where there is none; without low, high and level where it has no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = Field(None, description="welch, delta, newcombe or koopman; null without an interval.")
    n: int = Field(description="Observations behind both figures together.")
    reason: str | None = None


class Changes(BaseModel):
    """How a figure differs from its baseline."""

    absolute: Change = Field(description="In the unit of the figure.")
    relative: Change = Field(description="As a share of the baseline; .05 is 5 % more.")


class KpiRow(KpiValue):
    """One figure, of one group and period."""

    metric: str
    group: dict[str, UUID | str | None] = Field(
        description="One entry for each dimension grouped by (segment with segment_key and segment_name); "
        "null where the facts have none."
    )
    period: str | None = Field(
        description="2010-12-01, 2010-W48, 2010-12, 2010-Q4 or 2010 by the interval; null for the whole window."
    )
    baseline: KpiValue | None = Field(None, description="The figure of the window compared with; absent without one.")
    change: Changes | None = Field(None, description="How the figure differs from it; absent without one.")


class ComparedWindow(BaseModel):
    """The window compared with."""

    from_: datetime = Field(alias="from")
    to: datetime


class KpiAnswer(BaseModel):
    """Key figures over a window, by metric, then group, then period."""

    from_: datetime = Field(alias="from")
    to: datetime
    compared: ComparedWindow | None = Field(None, description="The window compared with; absent without one.")
    currency: str
    timezone: str
    interval: Interval | None
    data: list[KpiRow]
    data_as_of: datetime | None = Field(description="When the newest transaction came in; null before the first.")


class Definition(BaseModel):
    """What a metric means."""

    name: str
    unit: Unit
    direction: Direction
    numerator: str = Field(description="The measure that is the value, or that is divided.")
    denominator: str | None = Field(description="The measure to divide by; null where the figure is no quotient.")
    interval: IntervalMethod | None = Field(description="How its interval is made; null where it has none.")
    has_no_meaning_by: list[Literal["segment", "channel", "campaign", "period"]] = Field(
        description="Groupings by which it is null, with grouping_has_no_meaning or period_has_no_meaning."
    )
    meaning: str


class DefinitionList(BaseModel):
    data: list[Definition]
