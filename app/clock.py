"""Time as the whole service means it: an injected present, aware UTC instants, half-open windows."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

FIRST_YEAR, FIRST_ABSURD_YEAR = 1900, 2200

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR, _SIXTIETH = r"(?:[01][0-9]|2[0-3])", r"[0-5][0-9]"
_FRACTION, _OFFSET = r"(?:\.[0-9]+)?", rf"(?:Z|[+-]{_HOUR}:{_SIXTIETH})"
_A_DAY = re.compile(_DAY)
_INSTANT = re.compile(rf"{_DAY}T{_HOUR}:{_SIXTIETH}:{_SIXTIETH}{_FRACTION}{_OFFSET}", re.IGNORECASE)
_NAIVE = re.compile(rf"{_DAY}[T ]{_HOUR}:{_SIXTIETH}(?::{_SIXTIETH}{_FRACTION})?", re.IGNORECASE)
_LONGEST_TEXT = 64


class Clock(Protocol):
    """Whoever needs the present asks a clock that was handed in, so that a test can hold the time still."""

    def now(self) -> datetime:
        """Give the present as an aware UTC instant."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FrozenClock:
    """A clock that stands still until it is told to advance."""

    def __init__(self, at: datetime) -> None:
        self._at = as_utc(at)

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> None:
        self._at += by


# As often as pauses double; by then any longest pause is reached, and no number has outgrown a double.
MOST_DOUBLINGS = 60


def growing_pause(first: float, failures: int, *, longest: float) -> float:
    """Seconds to wait after so many failures in a row, twice as long after each, for however many days they go on."""
    return min(first * 2.0 ** min(failures, MOST_DOUBLINGS), longest)


class InvalidInstant(ValueError):
    """A time that cannot be used: `code` is stable, the text is for a person, `field` says which bound of a window.

    Codes: invalid_instant, naive_instant, absurd_instant, invalid_day, absurd_day, bad_window.
    """

    def __init__(self, code: str, detail: str, *, field: str | None = None) -> None:
        self.code, self.detail, self.field = code, detail, field
        super().__init__(detail if field is None else f"{field}: {detail}")


def as_utc(instant: datetime) -> datetime:
    """Turn an aware instant into UTC; a naive one is refused."""
    if instant.utcoffset() is None:
        raise InvalidInstant("naive_instant", f"{instant.isoformat()} has no UTC offset")
    return instant.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 date-time with its offset as UTC; digits past the microsecond are cut off."""
    if len(text) > _LONGEST_TEXT or _INSTANT.fullmatch(text) is None:
        raise _why_no_instant(text)
    if text[:4] in ("0000", "0001", "9999"):
        # At the ends of the calendar a change of offset would leave it.
        raise _absurd("absurd_instant", text)
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except ValueError:
        raise InvalidInstant("invalid_instant", f"{text} is a day that no calendar has") from None
    if not FIRST_YEAR <= instant.year < FIRST_ABSURD_YEAR:
        raise _absurd("absurd_instant", text)
    return instant


def parse_day(text: str) -> date:
    """Read a date written YYYY-MM-DD."""
    if _A_DAY.fullmatch(text) is None:
        raise InvalidInstant("invalid_day", f"{_shown(text)} is not a date such as 2026-01-31")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInstant("invalid_day", f"{text} is a day that no calendar has") from None
    if not FIRST_YEAR <= day.year < FIRST_ABSURD_YEAR:
        raise _absurd("absurd_day", text)
    return day


def format_instant(instant: datetime) -> str:
    """Write an aware instant in UTC as 2026-01-31T12:00:00Z, with microseconds only when there are any."""
    return as_utc(instant).replace(tzinfo=None).isoformat() + "Z"


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Give the UTC instant at which the day begins in the zone, also where clocks skip or repeat midnight."""
    # fold=0 reads a skipped midnight by the offset before the jump, which is the jump itself, and a repeated
    # midnight as the first of the two (PEP 495).
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open time range [start, end) in UTC: never empty, never reversed."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.start >= self.end:
            bounds = f"[{format_instant(self.start)}, {format_instant(self.end)})"
            problem = "is empty" if self.start == self.end else "ends before it starts"
            raise InvalidInstant("bad_window", f"the window {bounds} {problem}; its end is not part of it")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


def parse_window(from_: str, to: str, zone: tzinfo) -> Window:
    """Read a window from dates or instants; a date, also as `to`, means the instant at which that day starts."""
    return Window(_bound(from_, zone, field="from"), _bound(to, zone, field="to"))


def _bound(text: str, zone: tzinfo, *, field: str) -> datetime:
    try:
        return start_of_day(parse_day(text), zone) if _A_DAY.fullmatch(text) else parse_instant(text)
    except InvalidInstant as error:
        raise InvalidInstant(error.code, error.detail, field=field) from None


def _why_no_instant(text: str) -> InvalidInstant:
    shown, time = _shown(text), text[11:]
    if _NAIVE.fullmatch(text):
        return InvalidInstant("naive_instant", f"{shown} has no UTC offset; add Z or an offset such as +02:00")
    if time.startswith("24:"):
        return InvalidInstant("invalid_instant", f"{shown}: hours run 00 to 23; midnight is 00:00 of the next day")
    if time[5:8] == ":60":
        return InvalidInstant("invalid_instant", f"{shown}: leap seconds cannot be stored; send second 59")
    hint = "; in a URL a + is written %2B" if time[8:9] == " " else ""
    return InvalidInstant("invalid_instant", f"{shown} is not an RFC 3339 instant such as 2026-01-31T12:00:00Z{hint}")


def _absurd(code: str, text: str) -> InvalidInstant:
    return InvalidInstant(code, f"{text} lies outside the years {FIRST_YEAR} to {FIRST_ABSURD_YEAR - 1}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "...")
