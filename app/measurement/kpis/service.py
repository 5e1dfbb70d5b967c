"""Answers about key figures: settles what was asked, has the facts counted, refuses what would be wrong."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from anyio import to_thread

from app.clock import Window, format_instant
from app.db.engine import Session
from app.errors import FieldError, InvalidInput, SegmentationNotFound
from app.measurement.kpis import repository, valuation
from app.measurement.kpis.counting import cells_of
from app.measurement.kpis.definitions import named
from app.measurement.kpis.grid import Found, Side, groups_of, rows_of
from app.measurement.kpis.kinds import EVENT_KINDS, TRANSACTION_KINDS, Kpi
from app.measurement.kpis.question import Question, Reporting, Sent
from app.measurement.kpis.reasons import (
    PERIOD_HAS_NO_MEANING,
    needs_whole_days,
    reason_against,
    reason_against_baseline,
)
from app.measurement.kpis.spending import periods_without_a_day
from app.measurement.kpis.windows import compared_window, window_of
from app.measurement.periods import Period, cut
from app.measurement.rollups import ledger
from app.measurement.rollups.concerned import Basis, Horizon
from app.measurement.spells import segmentation_exists

# Ten years of days for ten groups and one metric fit in one answer; a century of days for all of them does not.
MAX_POINTS = 50_000
# More rows than this have more groups and periods than fit, for a group and period has a row for each kind.
MAX_ROWS = len(TRANSACTION_KINDS) * MAX_POINTS + 1


async def answer(session: Session, *, sent: Sent, reporting: Reporting) -> dict[str, Any]:
    """Every asked key figure by group and period, and up to when data had come in.

    Raises UnknownMetric, BadWindow, InvalidInput, SegmentationNotFound, MissingRates.
    """
    kpis = named(sent.metrics)
    await repository.plan_for_these_values(session)
    horizon = await ledger.horizon(session, Basis(reporting.currency, reporting.zone))
    first_fact_at, data_as_of = await _horizon(session, () if sent.from_ else kpis, horizon)
    window = window_of(sent.from_, sent.to, reporting, first_fact_at=first_fact_at)
    compared = compared_window(sent.compare_from, sent.compare_to, window, reporting)
    question = Question(
        kpis=kpis,
        window=window,
        periods=_periods(sent, window, reporting, metrics=len(kpis)),
        group_by=sent.group_by,
        segmentation_id=await _segmentation(session, sent),
        customers=sent.customers,
        reporting=reporting,
        interval=sent.interval,
        horizon=horizon,
    )
    return {
        "from": format_instant(window.start),
        "to": format_instant(window.end),
        **_shown(compared),
        "currency": reporting.currency,
        "timezone": str(reporting.zone),
        "interval": sent.interval,
        "data": await _data(session, question, _baseline(sent, question, compared)),
        "data_as_of": data_as_of and format_instant(data_as_of),
    }


def _shown(compared: Window | None) -> dict[str, Any]:
    if compared is None:
        return {}
    return {"compared": {"from": format_instant(compared.start), "to": format_instant(compared.end)}}


async def _horizon(
    session: Session, kpis: Sequence[Kpi], known: Horizon | None
) -> tuple[datetime | None, datetime | None]:
    """When the first fact happened that one of these can be about, and when the newest transaction came in."""
    # No index knows the first event: it is looked for only where the window begins with it.
    first, newest = (known.first_fact_at, known.received_at) if known else await repository.horizon(session)
    if any(kpi.kinds & EVENT_KINDS for kpi in kpis):
        event = await repository.first_event_at(session)
        first = min(filter(None, (first, event)), default=None)
    return first, newest


def _baseline(sent: Sent, question: Question, compared: Window | None) -> Question | None:
    """The same question about the window compared with; its periods stand beside those asked for, by their order."""
    if compared is None:
        return None
    periods = _periods(sent, compared, question.reporting, metrics=len(question.kpis))
    return replace(question, window=compared, periods=periods)


def _periods(sent: Sent, window: Window, reporting: Reporting, *, metrics: int) -> tuple[Period, ...]:
    periods = cut(window, sent.interval, reporting.zone, at_most=MAX_POINTS // metrics)
    if periods is None:
        raise _too_many_points()
    return periods


async def _segmentation(session: Session, sent: Sent) -> UUID | None:
    """The segmentation to group by: the one named, else the only active one; null when not grouped by segment."""
    if "segment" not in sent.group_by:
        if sent.segmentation_id is not None:
            raise _unusable_segmentation(
                "without_group_by", "segmentation_id says something with group_by=segment only"
            )
        return None
    if sent.segmentation_id is not None:
        if not await segmentation_exists(session, sent.segmentation_id):
            raise SegmentationNotFound()
        return sent.segmentation_id
    active = await repository.active_segmentations(session)
    if len(active) == 1:
        return active[0][0]
    names = ", ".join(f"{segmentation_id} ({name})" for segmentation_id, name in active) or "none"
    raise _unusable_segmentation(
        "ambiguous", f"segmentation_id is needed unless exactly one segmentation is active; active: {names}"
    )


async def _data(session: Session, question: Question, baseline: Question | None) -> list[dict[str, Any]]:
    segments = []
    if question.segmentation_id is not None:
        segments = await repository.segments_of(session, question.segmentation_id)
    found = await _found(session, question, baseline)
    groups = groups_of(question, found, segments)
    if len(groups) * len(question.periods) * len(question.kpis) > MAX_POINTS:
        raise _too_many_points()
    # Some 20 us for each figure: too long for the event loop when there are many.
    return await to_thread.run_sync(lambda: list(rows_of(question, found, segments, groups)))


async def _found(session: Session, question: Question, baseline: Question | None) -> Found:
    has_model = any("valued_customer" in kpi.kinds for kpi in question.kpis)
    has_model = has_model and await valuation.has_active_model(session)
    reasons = {
        kpi.name: reason
        for kpi in question.kpis
        if (reason := reason_against(kpi, question, has_model=has_model, compared=baseline is not None))
    }
    asked = tuple(kpi for kpi in question.kpis if kpi.name not in reasons)
    now = await _side(session, replace(question, kpis=asked))
    if baseline is None:
        return Found(now, None, reasons)
    historical = tuple(kpi for kpi in asked if reason_against_baseline(kpi) != PERIOD_HAS_NO_MEANING)
    return Found(now, await _side(session, replace(baseline, kpis=historical)), reasons)


async def _side(session: Session, question: Question) -> Side:
    cells = await cells_of(session, question, at_most=MAX_ROWS)
    without = periods_without_a_day(question) if any(map(needs_whole_days, question.kpis)) else frozenset[int]()
    return Side(cells, len(question.periods), without)


def _too_many_points() -> InvalidInput:
    hint = "ask for a shorter window, a longer interval, fewer metrics or fewer groups"
    return InvalidInput(
        f"One answer holds at most {MAX_POINTS} figures",
        errors=[FieldError("interval", "too_many_points", f"more than {MAX_POINTS} figures; {hint}")],
    )


def _unusable_segmentation(code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError("segmentation_id", code, detail)])
