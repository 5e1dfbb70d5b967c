"""A question about key figures: as it was sent, and as it stands once window, periods and segmentation are known."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from app.clock import Window
from app.measurement.kpis.kinds import TRANSACTION_KINDS, Customers, Dimension, Kind, Kpi
from app.measurement.periods import Interval, Period
from app.measurement.rollups.concerned import Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a caller asks for; null where the caller leaves the choice to the service."""

    metrics: tuple[str, ...]
    from_: str | None = None
    to: str | None = None
    group_by: tuple[Dimension, ...] = ()
    segmentation_id: UUID | None = None
    interval: Interval | None = None
    customers: Customers = "all"
    compare_from: str | None = None
    compare_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How the service reports: in which currency, by whose days, at what time it is."""

    currency: str
    zone: ZoneInfo
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything the facts are asked for. `segmentation_id` is null exactly when it is not grouped by segment.

    `interval` is how the periods were cut; null: not at all. `horizon`: of the facts that are added up ahead of the
    question, for this currency and zone; null: none are.
    """

    kpis: tuple[Kpi, ...]
    window: Window
    periods: tuple[Period, ...]
    group_by: tuple[Dimension, ...]
    segmentation_id: UUID | None
    customers: Customers
    reporting: Reporting
    interval: Interval | None = None
    horizon: Horizon | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset().union(*(kpi.kinds for kpi in self.kpis))

    @property
    def priced_kinds(self) -> frozenset[Kind]:
        """Kinds of transactions whose amounts are added up, which takes a rate for each foreign one."""
        measures = (measure for kpi in self.kpis for measure in kpi.measures if measure.money)
        return TRANSACTION_KINDS & frozenset(kind for measure in measures for kind in measure.signs)

    @property
    def needs_squares(self) -> bool:
        return any(kpi.interval == "student_t" for kpi in self.kpis)
