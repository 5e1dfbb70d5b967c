"""A window cut into days, weeks, months, quarters or years of the reporting time zone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from app.clock import Window, start_of_day

Interval = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class Period:
    """One stretch of the window from `start` to the start of the next; label null: the window as a whole."""

    label: str | None
    start: datetime


@dataclass(frozen=True, slots=True)
class _Calendar:
    """How one interval is cut: its first day, its name, and the days of the longest one."""

    first_day: Callable[[date], date]
    label: Callable[[date], str]
    longest_days: int


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


_CALENDARS: dict[Interval, _Calendar] = {
    "day": _Calendar(lambda day: day, date.isoformat, 1),
    "week": _Calendar(lambda day: day - timedelta(days=day.weekday()), _week, 7),
    "month": _Calendar(lambda day: day.replace(day=1), lambda day: f"{day:%Y-%m}", 31),
    "quarter": _Calendar(
        lambda day: day.replace(month=day.month - (day.month - 1) % 3, day=1),
        lambda day: f"{day.year}-Q{(day.month + 2) // 3}",
        92,
    ),
    "year": _Calendar(lambda day: day.replace(month=1, day=1), lambda day: f"{day.year}", 366),
}


def first_day_of(interval: Interval, day: date) -> date:
    """The first day of the calendar period that a day is in."""
    return _CALENDARS[interval].first_day(day)


def cut(window: Window, interval: Interval | None, zone: ZoneInfo, *, at_most: int) -> tuple[Period, ...] | None:
    """The periods that share an instant with the window, in order; null when there are more than `at_most`.

    The first may begin before the window and the last may end after it: only facts inside the window count.
    """
    if interval is None:
        return (Period(None, window.start),)
    found = tuple(islice(_periods(window, _CALENDARS[interval], zone), at_most + 1))
    return found if len(found) <= at_most else None


def _periods(window: Window, calendar: _Calendar, zone: ZoneInfo) -> Iterator[Period]:
    # A day earlier than the calendar says, lest a jump of the clocks swallowed the midnight that the day begins at.
    day = calendar.first_day(window.start.astimezone(zone).date() - timedelta(days=1))
    start = start_of_day(day, zone)
    while start < window.end:
        following = calendar.first_day(day + timedelta(days=calendar.longest_days))
        end = start_of_day(following, zone)
        # Also leaves out the day that a zone skipped when it moved across the date line.
        if max(start, window.start) < end:
            yield Period(calendar.label(day), start)
        day, start = following, end


def calendar_start_before(start: datetime, end: datetime, interval: Interval, zone: ZoneInfo) -> datetime | None:
    """Where the calendar period before the one [start, end) begins; null where that is not a whole one."""
    calendar, day = _CALENDARS[interval], start.astimezone(zone).date()
    following = calendar.first_day(day + timedelta(days=calendar.longest_days))
    whole = calendar.first_day(day) == day and start_of_day(day, zone) == start and start_of_day(following, zone) == end
    if not whole:
        return None
    before = calendar.first_day(day - timedelta(days=1))
    while start_of_day(before, zone) >= start:
        # The zone skipped that day.
        before = calendar.first_day(before - timedelta(days=1))
    return start_of_day(before, zone)


def calendar_end(start: datetime, interval: Interval, zone: ZoneInfo) -> datetime:
    """Where the calendar period that contains the start ends."""
    calendar = _CALENDARS[interval]
    day = calendar.first_day(start.astimezone(zone).date())
    return start_of_day(calendar.first_day(day + timedelta(days=calendar.longest_days)), zone)
