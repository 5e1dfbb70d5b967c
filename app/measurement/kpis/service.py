"""Answers about key figures: settles what was asked, has the facts counted, refuses what would be wrong."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from anyio import to_thread

from app.clock import InvalidInstant, Window, format_instant, parse_window, start_of_day
from app.db.engine import Session
from app.errors import BadWindow, FieldError, InvalidInput, MissingRates, SegmentationNotFound
from app.measurement.kpis import repository
from app.measurement.kpis.definitions import TRANSACTION_KINDS, Kind, named
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.grid import Cells, Group, groups_of, rows_of
from app.measurement.kpis.periods import Period, cut
from app.measurement.kpis.question import Question, Reporting, Sent
from app.measurement.kpis.repository import Counted

# Ten years of days for ten groups and one metric fit in one answer; a century of days for all of them does not.
MAX_POINTS = 50_000
# More rows than this have more groups and periods than fit, for a group and period has a row for each kind.
MAX_ROWS = len(TRANSACTION_KINDS) * MAX_POINTS + 1
# Nothing lies before it: instants are refused that do.
EARLIEST = "1900-01-01"


async def answer(session: Session, *, sent: Sent, reporting: Reporting) -> dict[str, Any]:
    """Every asked key figure by group and period, and up to when data had come in.

    Raises UnknownMetric, BadWindow, InvalidInput, SegmentationNotFound, MissingRates.
    """
    kpis = named(sent.metrics)
    await repository.plan_for_these_values(session)
    first_fact_at, data_as_of = await repository.horizon(session)
    window = _window(sent, reporting, first_fact_at)
    question = Question(
        kpis=kpis,
        window=window,
        periods=_periods(sent, window, reporting, metrics=len(kpis)),
        group_by=sent.group_by,
        segmentation_id=await _segmentation(session, sent),
        customers=sent.customers,
        reporting=reporting,
    )
    return {
        "from": format_instant(window.start),
        "to": format_instant(window.end),
        "currency": reporting.currency,
        "timezone": str(reporting.zone),
        "interval": sent.interval,
        "data": await _data(session, question),
        "data_as_of": data_as_of and format_instant(data_as_of),
    }


def _window(sent: Sent, reporting: Reporting, first_fact_at: datetime | None) -> Window:
    """The asked window; without `from` it begins with the day of the first transaction, without `to` it ends now."""
    zone = reporting.zone
    to = format_instant(reporting.now) if sent.to is None else sent.to
    try:
        window = parse_window(EARLIEST if sent.from_ is None else sent.from_, to, zone)
    except InvalidInstant as error:
        raise BadWindow(str(error), errors=[FieldError(error.field or "from", error.code, error.detail)]) from None
    if sent.from_ is not None:
        return window
    # Where there is no fact to begin with, the window is the day that it ends in.
    first = first_fact_at if first_fact_at and first_fact_at < window.end else window.end - timedelta(microseconds=1)
    return Window(start_of_day(first.astimezone(zone).date(), zone), window.end)


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
        if not await repository.segmentation_exists(session, sent.segmentation_id):
            raise SegmentationNotFound()
        return sent.segmentation_id
    active = await repository.active_segmentations(session)
    if len(active) == 1:
        return active[0][0]
    names = ", ".join(f"{segmentation_id} ({name})" for segmentation_id, name in active) or "none"
    raise _unusable_segmentation(
        "ambiguous", f"segmentation_id is needed unless exactly one segmentation is active; active: {names}"
    )


async def _data(session: Session, question: Question) -> list[dict[str, Any]]:
    segments = []
    if question.segmentation_id is not None:
        segments = await repository.segments_of(session, question.segmentation_id)
    cells = _by_cell(await _counted(session, question))
    groups = groups_of(question, cells, segments)
    if len(groups) * len(question.periods) * len(question.kpis) > MAX_POINTS:
        raise _too_many_points()
    # Some 20 us for each figure: too long for the event loop when there are many.
    return await to_thread.run_sync(lambda: list(rows_of(question, cells, segments, groups)))


async def _counted(session: Session, question: Question) -> list[Counted]:
    found: list[Counted] = []
    if question.kinds & TRANSACTION_KINDS:
        found += await _transaction_sums(session, question)
    if question.customers != "guest":
        if "buyer" in question.kinds:
            found += await repository.buyers(session, question, at_most=MAX_ROWS)
        if "new_customer" in question.kinds:
            found += await repository.new_customers(session, question, at_most=MAX_ROWS)
    return found


async def _transaction_sums(session: Session, question: Question) -> list[Counted]:
    priced = question.priced_kinds
    # Where no rate was ever given nothing can be converted: a shop of one currency does not pay for looking.
    converted = bool(priced) and await repository.has_rates(session, question.reporting.currency)
    found = await repository.transaction_sums(session, question, converted=converted, at_most=MAX_ROWS)
    if any(each.unconverted for each in found if each.kind in priced):
        missing = await repository.missing_rates(session, question, converted=converted)
        raise _missing_rates(missing, to=question.reporting.currency)
    return found


def _by_cell(found: Sequence[Counted]) -> Cells:
    cells: defaultdict[tuple[Group, int], dict[Kind, Sums]] = defaultdict(dict)
    for each in found:
        cells[each.group, each.period][each.kind] = each.sums
    return cells


def _too_many_points() -> InvalidInput:
    hint = "ask for a shorter window, a longer interval, fewer metrics or fewer groups"
    return InvalidInput(
        f"One answer holds at most {MAX_POINTS} figures",
        errors=[FieldError("interval", "too_many_points", f"more than {MAX_POINTS} figures; {hint}")],
    )


def _unusable_segmentation(code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError("segmentation_id", code, detail)])


def _missing_rates(missing: Sequence[tuple[str, int, list[date]]], *, to: str) -> MissingRates:
    detail = "no rate from {} to {} for {} day(s) with transactions; first {}"
    return MissingRates(
        f"Amounts in {', '.join(currency for currency, _, _ in missing)} have no rate to {to} on some days",
        errors=[
            FieldError(
                "currency", "missing_exchange_rate", detail.format(currency, to, days, ", ".join(map(str, first)))
            )
            for currency, days, first in missing
        ],
    )
