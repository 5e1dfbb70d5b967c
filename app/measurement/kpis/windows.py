"""The windows that a question is about: the one asked for, and the one compared with."""

from datetime import datetime, timedelta

from app.clock import InvalidInstant, Window, format_instant, parse_window, start_of_day
from app.errors import BadWindow, FieldError
from app.measurement.kpis.question import Reporting

# Nothing lies before it: instants are refused that do.
EARLIEST = "1900-01-01"


def window_of(from_: str | None, to: str | None, reporting: Reporting, *, first_fact_at: datetime | None) -> Window:
    """The asked window; without `from` it begins with the day of the first transaction, without `to` it ends now."""
    zone = reporting.zone
    until = format_instant(reporting.now) if to is None else to
    try:
        window = parse_window(EARLIEST if from_ is None else from_, until, zone)
    except InvalidInstant as error:
        raise BadWindow(str(error), errors=[FieldError(error.field or "from", error.code, error.detail)]) from None
    if from_ is not None:
        return window
    # Where there is no fact to begin with, the window is the day that it ends in.
    first = first_fact_at if first_fact_at and first_fact_at < window.end else window.end - timedelta(microseconds=1)
    return Window(start_of_day(first.astimezone(zone).date(), zone), window.end)


def compared_window(from_: str | None, to: str | None, window: Window, reporting: Reporting) -> Window | None:
    """The window compared with; null when none is. It lies before the other or after it, wholly."""
    bounds = {"compare_from": from_, "compare_to": to}
    missing = [name for name, bound in bounds.items() if bound is None]
    if len(missing) == len(bounds):
        return None
    if missing:
        detail = "compare_from and compare_to make the window to compare with only together"
        raise BadWindow(detail, errors=[FieldError(missing[0], "missing", detail)])
    try:
        found = parse_window(from_ or "", to or "", reporting.zone)
    except InvalidInstant as error:
        raise BadWindow(
            str(error), errors=[FieldError(f"compare_{error.field or 'from'}", error.code, error.detail)]
        ) from None
    if found.start < window.end and window.start < found.end:
        detail = "the window to compare with shares time with the window asked for: no fact may count in both"
        raise BadWindow(detail, errors=[FieldError("compare_from", "overlapping_windows", detail)])
    return found
