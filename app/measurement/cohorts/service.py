"""Answers about cohorts: a row for each period of first purchases, a cell for each period since."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.clock import format_instant
from app.db.engine import Session
from app.errors import FieldError, InvalidInput
from app.measurement.cohorts import repository
from app.measurement.kpis import ahead
from app.measurement.kpis import repository as facts
from app.measurement.kpis.counting import missing_rates
from app.measurement.kpis.definitions import BY_NAME
from app.measurement.kpis.question import Question, Reporting
from app.measurement.kpis.windows import window_of
from app.measurement.periods import Interval, calendar_end, cut
from app.measurement.rates import has_rates
from app.measurement.rollups import ledger
from app.measurement.rollups.concerned import Basis, Bought
from app.money import from_minor
from app.stats.estimate import Estimate
from app.stats.proportion import proportion_interval

Metric = Literal["retention", "buyers", "revenue"]
# A century of quarters, 26 years of months or six of weeks: the triangle is as wide as it is high.
MAX_PERIODS = 320
NOT_BEGUN = "not_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which cohorts, followed how; null where the caller leaves the choice to the service."""

    metric: Metric = "retention"
    from_: str | None = None
    to: str | None = None
    interval: Interval = "month"


async def triangle(session: Session, *, asked: Asked, reporting: Reporting) -> dict[str, Any]:
    """Every cohort of the window with its size and a cell for each age.

    Raises BadWindow, InvalidInput, MissingRates.
    """
    await facts.plan_for_these_values(session)
    horizon = await ledger.horizon(session, Basis(reporting.currency, reporting.zone))
    first_fact_at, data_as_of = (
        (horizon.first_fact_at, horizon.received_at) if horizon else await facts.horizon(session)
    )
    window = window_of(asked.from_, asked.to, reporting, first_fact_at=first_fact_at)
    periods = cut(window, asked.interval, reporting.zone, at_most=MAX_PERIODS)
    if periods is None:
        raise _too_many_periods()
    question = Question(
        kpis=(BY_NAME["revenue_gross"],),
        window=window,
        periods=periods,
        group_by=(),
        segmentation_id=None,
        customers="known",
        reporting=reporting,
        interval=asked.interval,
        horizon=horizon,
    )
    return {
        "from": format_instant(window.start),
        "to": format_instant(window.end),
        "interval": asked.interval,
        "metric": asked.metric,
        "currency": reporting.currency,
        "timezone": str(reporting.zone),
        "data": list(_cohorts(question, asked, await _bought(session, question, asked.metric))),
        "data_as_of": data_as_of and format_instant(data_as_of),
    }


async def _bought(session: Session, question: Question, metric: Metric) -> dict[tuple[int, int], Bought]:
    priced = metric == "revenue"
    converted = priced and await has_rates(session, question.reporting.currency)
    found = await ahead.cohorts(session, question)
    if found is None:
        cells = MAX_PERIODS * MAX_PERIODS
        found = await repository.bought(session, question, priced=priced, converted=converted, at_most=cells)
    if priced and any(each.unconverted for each in found):
        raise await missing_rates(session, question, converted=converted)
    return {(each.cohort, each.period): each for each in found}


def _cohorts(question: Question, asked: Asked, found: Mapping[tuple[int, int], Bought]) -> Iterator[dict[str, Any]]:
    until = min(question.window.end, question.reporting.now)
    # Of each period whether it has begun and whether it is over.
    begun = [max(period.start, question.window.start) < until for period in question.periods]
    over = [end <= until for end in _ends(question, asked.interval)]
    for cohort, first in enumerate(question.periods, start=1):
        size = found[cohort, cohort].buyers if (cohort, cohort) in found else 0
        cells = []
        for age in range(len(question.periods)):
            number = cohort + age
            period = question.periods[number - 1].label if number <= len(question.periods) else None
            if period is None or not begun[number - 1]:
                cells.append(_empty(age, period))
                continue
            row = found.get((cohort, number), Bought(cohort, number, 0, 0, 0))
            shown = {"age": age, "period": period, "complete": over[number - 1], "buyers": row.buyers}
            cells.append(shown | _value(asked.metric, row, size, question.reporting.currency))
        yield {"cohort": first.label, "customers": size, "complete": over[cohort - 1], "cells": cells}


def _ends(question: Question, interval: Interval) -> list[datetime]:
    """Where each period ends by the calendar, the last one too: after the window where it is cut."""
    starts = [period.start for period in question.periods]
    return [*starts[1:], calendar_end(starts[-1], interval, question.reporting.zone)]


def _value(metric: Metric, row: Bought, size: int, currency: str) -> dict[str, Any]:
    bounds: dict[str, Any] = {"low": None, "high": None, "level": None}
    if metric == "buyers":
        return {"value": row.buyers, **bounds, "n": size}
    if metric == "revenue":
        return {"value": float(from_minor(row.revenue_minor, currency)), **bounds, "n": row.buyers}
    found = proportion_interval(row.buyers, size)
    if not isinstance(found, Estimate):
        return {"value": None, **bounds, "n": 0, "reason": found.reason}
    return {"value": found.value, "low": found.low, "high": found.high, "level": found.level, "n": size}


def _empty(age: int, period: str | None) -> dict[str, Any]:
    bounds: dict[str, Any] = {"value": None, "low": None, "high": None, "level": None}
    return {"age": age, "period": period, "complete": False, "buyers": None, **bounds, "n": 0, "reason": NOT_BEGUN}


def _too_many_periods() -> InvalidInput:
    hint = "ask for a shorter window or a longer interval"
    return InvalidInput(
        f"One triangle has at most {MAX_PERIODS} cohorts",
        errors=[FieldError("interval", "too_many_points", f"more than {MAX_PERIODS} cohorts; {hint}")],
    )
