"""Cohorts on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.measurement.cohorts.service import Metric
from app.measurement.periods import Interval
from app.measurement.spreadsheet import AnswerFormat

Bound = Annotated[str, StringConstraints(max_length=64)]


class CohortQuery(BaseModel):
    """The parameters; one that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid")

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
        examples=["2027-01-01"],
    )
    interval: Interval = Field("month", description="Length of cohorts and of the periods they are followed through.")
    metric: Metric = Field(
        "retention",
        description="What `value` is: the share of the cohort who bought, how many bought, or their gross revenue.",
    )
    customers: Literal["known"] = Field("known", description="Guests cannot be told apart and are in no cohort.")
    format: AnswerFormat | None = Field(
        None, description="csv for spreadsheets, also by `Accept: text/csv`; json otherwise."
    )


class Cell(BaseModel):
    """A cohort in one period. Null with `not_begun` where that period has not begun or lies after the window."""

    age: int = Field(description="Periods since that of the first purchase, which is 0.")
    period: str | None = Field(description="Such as 2026-01; null after the window.")
    complete: bool = Field(description="Whether the whole period is over and in the window; else the value may grow.")
    buyers: int | None = Field(description="Customers of the cohort with a purchase in the period.")
    value: int | float | None = Field(description="By the metric; money in major units of the reporting currency.")
    low: float | None = Field(description="Lower end of Wilson's interval of the retention; null for other metrics.")
    high: float | None
    level: float | None
    n: int = Field(description="Customers of the cohort; for revenue those who bought.")
    reason: str | None = Field(None, description="Why there is no value; absent where there is one.")


class Cohort(BaseModel):
    """Customers whose first purchase ever lies in one period of the window."""

    cohort: str
    customers: int
    complete: bool = Field(description="Whether the cohort's own period is over, so that nobody can join it.")
    cells: list[Cell]


class Triangle(BaseModel):
    """Cohorts in order of time; each has as many cells as there are cohorts."""

    from_: datetime = Field(alias="from")
    to: datetime
    interval: Interval
    metric: Metric
    currency: str
    timezone: str
    data: list[Cohort]
    data_as_of: datetime | None = Field(description="When the newest transaction came in; null before the first.")
