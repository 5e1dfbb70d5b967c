"""A question about credit as it stands once window, segmentation and model are known."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.clock import Window, start_of_day
from app.measurement.attribution.definitions import By, Model, Outcome
from app.measurement.campaigns.units import Span
from app.measurement.kpis.question import Reporting
from app.stats.attribution.journeys import Game


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a caller asks for; null where the caller leaves the choice to the service."""

    model: Model
    order: int | None = None
    game: Game | None = None
    half_life_days: float | None = None
    from_: str | None = None
    to: str | None = None
    look_back_days: int
    outcome: Outcome
    by: By
    group_by: str | None = None
    segmentation_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything journeys are asked for.

    segmentation_id: null where it is not grouped by segment. treated: only those whom this campaign treats, each from
    their assignment on; null: everybody.
    """

    model: Model
    order: int | None
    game: Game | None
    half_life_days: float | None
    window: Window
    look_back: timedelta
    outcome: Outcome
    by: By
    segmentation_id: UUID | None
    reporting: Reporting
    treated: Span | None = None

    @property
    def needs_ages(self) -> bool:
        return self.model == "time_decay"

    @property
    def needs_nulls(self) -> bool:
        """Whether journeys without an outcome change the credit."""
        return self.model == "markov" or self.game == "rate"

    @property
    def has_money(self) -> bool:
        return self.outcome == "purchase"

    @property
    def days(self) -> tuple[date, date] | None:
        """The reporting days that begin in the window, as key figures count them; null where none does."""
        first, end = (_first_day(at, self.reporting.zone) for at in (self.window.start, self.window.end))
        return (first, end) if first < end else None

    def of_treated(self, span: Span, *, start: datetime, end: datetime) -> "Question":
        """The same question about those whom a campaign treated, over its time."""
        changed: dict[str, Any] = {"treated": span, "window": Window(start, end), "segmentation_id": None}
        return replace(self, **changed)


def _first_day(instant: datetime, zone: ZoneInfo) -> date:
    day = instant.astimezone(zone).date()
    return day if start_of_day(day, zone) >= instant else day + timedelta(days=1)
