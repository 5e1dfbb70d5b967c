"""What assigned customers did: exact sums by arm, from one statement for who counts and one for their deeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select, text

from app.db.engine import Session
from app.measurement.campaigns import deeds, service
from app.measurement.campaigns.definitions import Metric, named
from app.measurement.campaigns.service import Campaign
from app.measurement.campaigns.units import Span, has_merged, units
from app.stats.comparison.sums import Sums
from app.tables.campaigns import campaign_assignments

# Plans for the very values, so that what is the same for all is compared once.
BY_VALUES = {"plan_cache_mode": "force_custom_plan"}
# From so many on customers meet their deeds in the order of both indexes, or else in hash tables: right after a first
# load the planner knows no sizes and would look up the deeds of each customer by themselves. Several processes would
# take longer: what each adds up has to be brought together by customer again.
MANY = 20_000
IN_ORDER = {
    "enable_nestloop": "off",
    "enable_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "work_mem": "128MB",
    # An index read from end to end is read page after page, not here and there.
    "random_page_cost": "0.5",
}
NO_SUMS = Sums(0, 0, 0)


class Reporting(Protocol):
    """In which currency and by whose days amounts are converted."""

    @property
    def currency(self) -> str: ...

    @property
    def zone(self) -> tzinfo: ...


@dataclass(frozen=True, slots=True)
class ArmSums:
    """One arm, or its part in one segment: customers who count, and sums of what was asked by name of metric.

    Money is in minor units of the reporting currency. Beside revenue and margin stands the net revenue of an equally
    long time before the assignment; beside the value of purchases their number. without_margin: how many customers
    have transactions that do not say their margin; where there are any, sums of margin are too small.
    """

    arm: str
    segment_id: UUID | None
    n: int
    buyers: int
    conversions: int
    revenue_minor: int
    without_margin: int
    sums: Mapping[str, Sums]


@dataclass(frozen=True, slots=True)
class Headcount:
    """Who counts, who does not yet, and who never will."""

    mature: int
    pending: int
    assigned_by_arm: Mapping[str, int]
    first_at: datetime | None
    last_at: datetime | None
    erased: int
    duplicates: int
    merged_cross_overs: int
    refused_cross_overs: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a campaign's arms did as of an instant; arms in their order, the holdout first, empty ones too."""

    campaign: Campaign
    as_of: datetime
    arms: tuple[ArmSums, ...]
    by_segment: tuple[ArmSums, ...]
    people: Headcount

    def arm(self, name: str) -> ArmSums:
        return next(each for each in self.arms if each.arm == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Of which metrics, as of when; winsorize: the part of values other than 0 that stay as they are; null: all."""

    metrics: tuple[Metric, ...]
    as_of: datetime
    by_segment: UUID | None = None
    winsorize: float | None = None


async def arm_statistics(
    session: Session,
    campaign_id: str,
    *,
    metric: str | Sequence[str],
    reporting: Reporting,
    as_of: datetime,
    by_segment: UUID | None = None,
) -> Outcomes:
    """The sums of each arm of a campaign, and of each segment of a segmentation in each arm where one is named.

    Raises CampaignNotFound, UnknownMetric, MissingRates.
    """
    campaign = await service.found(session, campaign_id)
    metrics = named([metric] if isinstance(metric, str) else metric)
    asked = Asked(metrics=metrics, as_of=as_of, by_segment=by_segment)
    return await outcomes(session, campaign, asked=asked, reporting=reporting)


async def outcomes(session: Session, campaign: Campaign, *, asked: Asked, reporting: Reporting) -> Outcomes:
    """The same for a campaign at hand."""
    span = Span(
        campaign_id=campaign.campaign_id,
        arms=campaign.arms,
        ends_at=campaign.ends_at,
        window_days=campaign.outcome_window_days,
        as_of=asked.as_of,
        segmentation_id=asked.by_segment,
    )
    await _set(session, BY_VALUES)
    span = replace(span, merged=await has_merged(session, campaign.campaign_id))
    counted, headcount = await _counted(session, span)
    if headcount.first_at == headcount.last_at:
        span = replace(span, since=headcount.first_at)
    if sum(headcount.assigned_by_arm.values()) >= MANY:
        await _set(session, IN_ORDER)
    done = await deeds.sums(
        session, span, asked=frozenset(metric.figure for metric in asked.metrics), reporting=reporting,
        earliest=_earliest(span, headcount), winsorize=asked.winsorize,
    )  # fmt: skip
    pieces = [
        _arm_sums(arm, segment_id, n, done.get((place, segment_id), {}), asked.metrics)
        for place, arm in enumerate(span.arms)
        for segment_id, n in counted.get(place, {}).items()
    ]
    whole = tuple(_added(arm, [each for each in pieces if each.arm == arm], asked.metrics) for arm in span.arms)
    return Outcomes(campaign, asked.as_of, whole, tuple(pieces) if asked.by_segment else (), headcount)


async def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Settings for the rest of the transaction."""
    named = (func.set_config(name, value, text("true")) for name, value in settings.items())
    await session.execute(select(*named))


def _earliest(span: Span, headcount: Headcount) -> datetime | None:
    """Before this nothing counts, not even as somebody's past; null: nobody is assigned."""
    first = headcount.first_at
    if first is None:
        return None
    longest = max(span.ends_at - first, timedelta(0))
    if span.window_days is not None:
        longest = min(longest, timedelta(days=span.window_days))
    return first - longest


async def _counted(session: Session, span: Span) -> tuple[dict[int, dict[UUID | None, int]], Headcount]:
    """Customers who count, by arm and segment, and the rest of them."""
    u = units(span).c
    keys = [u.arm] if span.segmentation_id is None else [u.arm, u.segment_id]
    counted_in = [] if not span.merged else [~u.mixed]
    query = select(
        func.count().filter(u.mature, *counted_in).label("mature"),
        func.count().filter(*counted_in).label("counted") if counted_in else func.count().label("counted"),
        func.min(u.since).label("first_at"),
        func.max(u.since).label("last_at"),
        *_of_merged(u, merged=span.merged),
        func.count().filter(u.crossed_over).label("crossed_over"),
        *keys,
    )
    rows = [dict(row) for row in (await session.execute(query.group_by(*keys))).mappings()]
    counted: dict[int, dict[UUID | None, int]] = {}
    by_arm: dict[str, int] = dict.fromkeys(span.arms, 0)
    for row in rows:
        counted.setdefault(row["arm"], {})[row.get("segment_id")] = row["mature"]
        by_arm[span.arms[row["arm"]]] += row["counted"]
    found = Headcount(
        mature=sum(row["mature"] for row in rows),
        pending=sum(row["counted"] - row["mature"] for row in rows),
        assigned_by_arm=by_arm,
        first_at=min((row["first_at"] for row in rows), default=None),
        last_at=max((row["last_at"] for row in rows), default=None),
        erased=await _erased(session, span.campaign_id),
        duplicates=int(sum(row["duplicates"] for row in rows)),
        merged_cross_overs=sum(row["mixed"] for row in rows),
        refused_cross_overs=sum(row["crossed_over"] for row in rows),
    )
    return counted, found


def _of_merged(u: Any, *, merged: bool) -> list[ColumnElement[Any]]:
    """How many names count as further ones of their person, and how many persons count nowhere."""
    if not merged:
        return [literal(0).label("duplicates"), literal(0).label("mixed")]
    further = func.coalesce(func.sum(u.further).filter(~u.mixed), 0)
    return [further.label("duplicates"), func.count().filter(u.mixed).label("mixed")]


async def _erased(session: Session, campaign_id: str) -> int:
    """How many of those assigned were erased since."""
    a = campaign_assignments.c
    query = select(func.count()).where(a.campaign_id == campaign_id, a.customer_id.is_(None))
    return int((await session.execute(query)).scalar_one())


def _arm_sums(arm: str, segment_id: UUID | None, n: int, row: Mapping[str, Any], metrics: Sequence[Metric]) -> ArmSums:
    return ArmSums(
        arm=arm,
        segment_id=segment_id,
        n=n,
        buyers=int(row.get("buyers", 0)),
        conversions=int(row.get("conversions", 0)),
        revenue_minor=int(row.get("revenue_all", 0)),
        without_margin=int(row.get("without_margin", 0)),
        sums={metric.name: deeds.sums_of(metric, row, n) for metric in metrics},
    )


def _added(arm: str, pieces: Sequence[ArmSums], metrics: Sequence[Metric]) -> ArmSums:
    """The pieces of one arm together."""
    sums = {metric.name: sum((each.sums[metric.name] for each in pieces), NO_SUMS) for metric in metrics}
    whole = ArmSums(arm, None, 0, 0, 0, 0, 0, sums)
    names = ("n", "buyers", "conversions", "revenue_minor", "without_margin")
    return replace(whole, **{name: sum(getattr(each, name) for each in pieces) for name in names})
