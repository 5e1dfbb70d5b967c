"""Journeys, campaigns and segments, read for attribution."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Date, DateTime, exists, func, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.engine import Session
from app.measurement.attribution.journeys import distinct_paths, is_outcome, priced
from app.measurement.attribution.question import Question
from app.measurement.kpis.question import Reporting
from app.measurement.rollups import ledger
from app.measurement.rollups.concerned import Basis
from app.tables.campaigns import HOLDOUT, campaign_assignments, campaigns
from app.tables.conversion import reporting_day
from app.tables.events import events
from app.tables.segments import segmentation_versions, segmentations, segments
from app.tables.transactions import transactions

SHOWN_DAYS, SHOWN_CURRENCIES, SHOWN_SEGMENTATIONS = 5, 20, 10
LATELY = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=30))
_c = campaigns.c


@dataclass(frozen=True, slots=True)
class Path:
    """Journeys along one path: codes of channels from the last touch back, null for none at all."""

    segment_id: UUID | None
    codes: Sequence[int] | None
    ages: Sequence[int] | None
    converted: int
    amount_minor: int
    nulls: int
    unconverted: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A campaign that is over and has a holdout."""

    campaign_id: str
    channel: str | None


async def prepare(session: Session) -> None:
    """Have statements planned for their own window, and sets meet in hash tables: right after a first load the planner
    knows no sizes and would look through all touches once for each customer."""
    await session.execute(text("set local plan_cache_mode = force_custom_plan"))
    await session.execute(text("set local enable_nestloop = off"))
    await session.execute(text("set local work_mem = '64MB'"))


async def journeys(
    session: Session, question: Question, *, names_at_most: int, paths_at_most: int
) -> tuple[list[str], list[Path]]:
    """What was touched in the time of the question, by name, and the distinct paths; no order; at most so many."""
    query = distinct_paths(question, names_at_most=names_at_most, paths_at_most=paths_at_most)
    names, paths = [], []
    for name, segment_id, codes, ages, converted, amount, unconverted, open_ in await session.execute(query):
        if name is not None:
            names.append(name)
        else:
            paths.append(Path(segment_id, codes, ages, converted, int(amount or 0), open_, unconverted))
    return sorted(names), paths


async def of_nobody(session: Session, question: Question) -> Path:
    """Outcomes in the window of guests and of customers who were erased."""
    joined: Any = events
    c, amount = events.c, 0 * func.count()
    missing: Any = 0 * func.count()
    if question.has_money:
        joined, price = priced(question)
        c, amount, missing = transactions.c, func.sum(price), func.count().filter(price.is_(None))
    window = question.window
    query = select(func.count(), amount, missing).select_from(joined)
    query = query.where(
        is_outcome(question), c.customer_id.is_(None), c.occurred_at >= window.start, c.occurred_at < window.end
    )
    n, total, unpriced = (await session.execute(query)).one()
    return Path(None, None, None, n, int(total or 0), 0, unpriced)


async def missing_rates(session: Session, question: Question) -> list[tuple[str, int, list[date]]]:
    """Per currency, in order: how many days of the window have purchases but no rate, and the first of these days."""
    t, window = transactions.c, question.window
    joined, amount = priced(question)
    day = reporting_day(t.occurred_at, question.reporting.zone).label("day")
    in_window = (t.occurred_at >= window.start, t.occurred_at < window.end)
    days = (
        select(t.currency, day)
        .select_from(joined)
        .where(is_outcome(question), *in_window, amount.is_(None))
        .distinct()
        .subquery()
        .c
    )
    in_order = func.array_agg(aggregate_order_by(days.day, days.day), type_=ARRAY(Date))
    query = select(days.currency, func.count(), in_order[1:SHOWN_DAYS]).group_by(days.currency).order_by(days.currency)
    return [(row[0], row[1], row[2]) for row in await session.execute(query.limit(SHOWN_CURRENCIES))]


async def data_as_of(session: Session, reporting: Reporting) -> datetime | None:
    """When the newest transaction or event came in; null before the first."""
    known = await ledger.horizon(session, Basis(reporting.currency, reporting.zone))
    bought: Any = select(func.max(transactions.c.received_at)).scalar_subquery()
    if known is not None:
        bought = literal(known.received_at, DateTime(timezone=True))
    found: datetime | None = await session.scalar(select(func.greatest(bought, _newest_event())))
    return found


def _newest_event() -> ColumnElement[Any]:
    """Looked for among the latest first: the index leads to those that came in since an instant, but not to the last."""
    at = events.c.received_at
    newest = select(func.max(at))
    lately = [newest.where(at > func.now() - since).scalar_subquery() for since in LATELY]
    return func.coalesce(*lately, newest.scalar_subquery())


async def judged(session: Session, question: Question, *, at_most: int) -> list[Judged]:
    """Campaigns inside the window that are over and held somebody out, the newest first; at most `at_most`."""
    window, a = question.window, campaign_assignments.c
    held_out = exists().where(a.campaign_id == _c.campaign_id, a.arm == HOLDOUT, a.customer_id.is_not(None))
    query = select(_c.campaign_id, _c.channel).where(
        _c.starts_at >= window.start,
        _c.ends_at <= window.end,
        _c.ends_at <= question.reporting.now,
        held_out,
    )
    rows = await session.execute(query.order_by(_c.ends_at.desc(), _c.campaign_id).limit(at_most))
    return [Judged(*row) for row in rows]


async def active_segmentations(session: Session) -> list[tuple[UUID, str]]:
    """Identifier and name of segmentations with an active version, by name; at most SHOWN_SEGMENTATIONS + 1."""
    s, v = segmentations.c, segmentation_versions.c
    active = exists().where(v.segmentation_id == s.segmentation_id, v.status == "active")
    query = select(s.segmentation_id, s.name).where(active).order_by(s.name).limit(SHOWN_SEGMENTATIONS + 1)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def segments_of(session: Session, segmentation_id: UUID) -> dict[UUID, dict[str, Any]]:
    """How segments are shown, by identifier, in their order."""
    s = segments.c
    query = select(s.segment_id, s.key, s.name).where(s.segmentation_id == segmentation_id).order_by(s.position, s.key)
    return {
        row[0]: {"segment": row[0], "segment_key": row[1], "segment_name": row[2]}
        for row in await session.execute(query)
    }
