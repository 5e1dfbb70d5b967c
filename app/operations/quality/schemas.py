"""The data-quality report on the wire."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.operations.quality.service import DEFAULT_DAYS, MOST_DAYS

Bound = Annotated[str, StringConstraints(max_length=64)]


class QualityQuery(BaseModel):
    """The parameters; one that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid")

    from_: Bound | None = Field(
        None,
        alias="from",
        description="First day or instant of the window; a day begins at midnight in the reporting time zone. "
        f"Without it the window is of {DEFAULT_DAYS} days.",
        examples=["2026-10-01"],
    )
    to: Bound | None = Field(
        None,
        description="Day or instant that ends the window and is not part of it; at most "
        f"{MOST_DAYS} days after `from`. Without it the window ends now.",
        examples=["2026-11-01"],
    )


class MissingField(BaseModel):
    """How many rows lack a field."""

    field: str
    rows: int
    of: int = Field(description="Rows that should have it: of `refunds` the refunds, of any other field all.")
    share: float | None = Field(description="0..1; null where there are no such rows.")
    reason: str | None = Field(None, description="Why there is no share; absent where there is.")


class RecordQuality(BaseModel):
    """Records that came in during the window."""

    received: int
    missing: list[MissingField]


class LatenessClass(BaseModel):
    """Rows that came in so long after they happened, and longer than the class before."""

    within_seconds: int | None = Field(description="Null: later than all other classes.")
    rows: int
    share: float | None
    reason: str | None = None


class Lateness(BaseModel):
    classes: list[LatenessClass]
    ahead: int = Field(description="Rows that came in more than 5 minutes before they happened: in no class.")


class Feed(BaseModel):
    """What one source sent."""

    source: str
    received: int
    newest_occurred_at: datetime | None
    newest_received_at: datetime | None
    silent_seconds: int | None = Field(description="From newest_received_at to the end of the window, or until now.")
    days_with_rows: int
    longest_pause_days: int | None = Field(description="The most days from one day with rows to the next.")
    stale: bool | None = Field(description="Silent for more than twice its longest pause; null with a reason.")
    reason: Literal["too_few", "nothing_in_window"] | None = Field(
        None, description="`too_few`: fewer than 3 days with rows; `nothing_in_window`: it sent something before."
    )


class Feeds(BaseModel):
    complete: bool = Field(description="False where there are more than 200: those that sent most are shown.")
    data: list[Feed]


class FactQuality(RecordQuality):
    """Facts that came in during the window."""

    lateness: Lateness
    possible_duplicates: int = Field(
        description="Rows that say the same of the same customer at the same instant as another one under another "
        "identifier. The same identifier again is recognised when it comes in and leaves no row to count."
    )
    sources: Feeds


class Unrated(BaseModel):
    """Transactions whose amount cannot be converted."""

    currency: str
    rows: int
    days: int
    first_on: date
    last_on: date


class TransactionQuality(FactQuality):
    """Transactions that came in during the window."""

    without_exchange_rate: list[Unrated]


class Refused(BaseModel):
    """Refused rows of one kind for one reason."""

    kind: str
    code: str
    open: int
    resolved: int = Field(description="Stored since, by a retry.")


class QualityReport(BaseModel):
    """What came in over a window, and what is wrong with it."""

    from_: datetime = Field(alias="from")
    to: datetime
    currency: str
    timezone: str
    customers: RecordQuality = Field(description="Customers who were first heard of in the window.")
    transactions: TransactionQuality
    events: FactQuality
    rejections: list[Refused] = Field(description="Most rows first.")
