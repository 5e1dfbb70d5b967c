"""The data-quality report: counts become shares, silence becomes a judgement where there is enough to judge by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.clock import InvalidInstant, Window, format_instant, parse_window
from app.db.engine import Session
from app.errors import BadWindow, FieldError
from app.operations.quality import repository
from app.operations.quality.definitions import CUSTOMERS, EVENTS, LATENESS, TRANSACTIONS, Records
from app.operations.quality.repository import SHOWN_SOURCES, Counts, FactCounts, Feed

DEFAULT_DAYS, MOST_DAYS = 30, 400
# A pause is told from two days with rows: fewer than three days show one pause at most, which is no habit.
LEAST_DAYS = 3
# Silent for more than so many times its longest pause, a feed has stopped rather than paused.
PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Reporting:
    """What the report is cut and converted by, and when it is made."""

    currency: str
    zone: ZoneInfo
    now: datetime


async def report(session: Session, *, from_: str | None, to: str | None, reporting: Reporting) -> dict[str, Any]:
    """Everything that came in over a window, the last 30 days unless told otherwise. Raises BadWindow."""
    window = _window(from_, to, reporting)
    transactions = await _facts(session, TRANSACTIONS, window, reporting)
    unrated = await repository.unrated(session, window, currency=reporting.currency, zone=reporting.zone)
    return {
        "from": format_instant(window.start),
        "to": format_instant(window.end),
        "currency": reporting.currency,
        "timezone": str(reporting.zone),
        "customers": _counted(await repository.counts(session, CUSTOMERS, window)),
        "transactions": {**transactions, "without_exchange_rate": unrated},
        "events": await _facts(session, EVENTS, window, reporting),
        "rejections": await repository.refused(session, window),
    }


def _window(from_: str | None, to: str | None, reporting: Reporting) -> Window:
    try:
        end = format_instant(reporting.now) if to is None else to
        earliest = parse_window("1900-01-01", end, reporting.zone)
        start = format_instant(earliest.end - timedelta(days=DEFAULT_DAYS)) if from_ is None else from_
        window = parse_window(start, end, reporting.zone)
    except InvalidInstant as error:
        raise BadWindow(str(error), errors=[FieldError(error.field or "from", error.code, error.detail)]) from None
    if window.end - window.start > timedelta(days=MOST_DAYS):
        detail = f"one report looks at {MOST_DAYS} days at most"
        raise BadWindow(detail, errors=[FieldError("from", "window_too_long", detail)])
    return window


def _counted(found: Counts) -> dict[str, Any]:
    missing = [
        {"field": field, "rows": rows, "of": of, **_share(rows, of)} for field, (rows, of) in found.missing.items()
    ]
    return {"received": found.received, "missing": missing}


def _share(part: int, whole: int) -> dict[str, Any]:
    return {"share": part / whole} if whole else {"share": None, "reason": "zero_denominator"}


async def _facts(session: Session, records: Records, window: Window, reporting: Reporting) -> dict[str, Any]:
    found = await repository.fact_counts(session, records, window, zone=reporting.zone)
    known = await repository.sources(session, records)
    return {
        **_counted(found.counts),
        "lateness": _lateness(found),
        "possible_duplicates": await repository.possible_duplicates(session, records, window),
        "sources": _feeds(found, known, seen_at=min(window.end, reporting.now), zone=reporting.zone),
    }


def _lateness(found: FactCounts) -> dict[str, Any]:
    received = found.counts.received
    classes = [
        {"within_seconds": upto and int(upto.total_seconds()), "rows": rows, **_share(rows, received)}
        for upto, rows in zip(LATENESS, found.late, strict=True)
    ]
    return {"classes": classes, "ahead": found.ahead}


def _feeds(found: FactCounts, known: Sequence[str], *, seen_at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    shown = [_feed(each, seen_at=seen_at, zone=zone) for each in found.feeds]
    heard = {each.source for each in found.feeds}
    # Where there are more than are shown, who is silent cannot be told from who is left out.
    complete = max(len(known), found.sources) <= SHOWN_SOURCES
    silent = [_silent(source) for source in known if source not in heard] if complete else []
    return {"complete": complete, "data": [*shown, *silent]}


def _feed(feed: Feed, *, seen_at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    judged: dict[str, Any] = {"stale": None, "reason": "too_few"}
    if feed.longest_pause is not None and feed.days >= LEAST_DAYS:
        pause = (seen_at.astimezone(zone).date() - feed.last_day).days
        judged = {"stale": pause > PATIENCE * feed.longest_pause}
    return {
        "source": feed.source,
        "received": feed.received,
        "newest_occurred_at": format_instant(feed.newest_occurred_at),
        "newest_received_at": format_instant(feed.newest_received_at),
        "silent_seconds": max(0, int((seen_at - feed.newest_received_at).total_seconds())),
        "days_with_rows": feed.days,
        "longest_pause_days": feed.longest_pause,
        **judged,
    }


def _silent(source: str) -> dict[str, Any]:
    """A source that has sent nothing in the window: longer ago than that nobody looked."""
    unknown = ("newest_occurred_at", "newest_received_at", "silent_seconds", "longest_pause_days", "stale")
    return {
        "source": source,
        "received": 0,
        "days_with_rows": 0,
        **dict.fromkeys(unknown),
        "reason": "nothing_in_window",
    }
