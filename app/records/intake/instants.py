"""Columns of RFC 3339 texts as microseconds, all at once where they look alike."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from app.clock import InvalidInstant, parse_instant

Integers = npt.NDArray[np.int64]

# On the wire an instant is text; it is read here and not by the decoder, whose objects would cost more than
# everything else of a row.
InstantText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

# Outside of these no shop ever sold anything: a wrong unit, or a default value of some program.
EARLIEST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATEST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

# Up to here each is read by itself sooner than columns are laid out.
FEW = 32

# 2026-11-01T10:15:00Z
_WIDTH = 20
_DIGITS = np.array([i for i, mark in enumerate("0000-00-00T00:00:00Z") if mark == "0"])
_MARKS = np.array([i for i, mark in enumerate("0000-00-00T00:00:00Z") if mark != "0"])
_MARKED = ("-", "-", "T", ":", ":", "Z")
_EXPECTED_MARKS = np.frombuffer(b"--T::Z", np.uint8)

# By month, from 1; index 0 is never asked.
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAYS_BEFORE_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
_LEAP_DAYS_BEFORE_1970 = 1969 // 4 - 1969 // 100 + 1969 // 400


def micros_of(texts: Sequence[str]) -> tuple[Integers, list[tuple[int, str, str]]]:
    """Microseconds since 1970, and for texts that are no instant: position, code, sentence. Those read 0."""
    few = len(texts) <= FEW
    alike = None if few else _whole_seconds_in_utc(texts)
    if alike is not None:
        return alike, []
    micros = np.zeros(len(texts), np.int64)
    wrong: list[tuple[int, str, str]] = []
    for position, text in enumerate(texts):
        try:
            known = _whole_second_in_utc(text) if few else None
            micros[position] = round(parse_instant(text).timestamp() * 1_000_000) if known is None else known
        except InvalidInstant as error:
            wrong.append((position, error.code, str(error)))
    return micros, wrong


def _whole_second_in_utc(text: str) -> int | None:
    """One, when it is written like 2026-11-01T10:15:00Z and is a real and usual instant."""
    if len(text) != _WIDTH or (text[4], text[7], text[10], text[13], text[16], text[19]) != _MARKED:
        return None
    try:
        micros = int(datetime.fromisoformat(text).timestamp()) * 1_000_000
    except ValueError:
        return None
    return micros if EARLIEST <= micros < LATEST else None


def _whole_seconds_in_utc(texts: Sequence[str]) -> Integers | None:
    """All of them at once, when every one is written like 2026-11-01T10:15:00Z and is a real and usual instant."""
    joined = "".join(texts)
    if not texts or len(joined) != _WIDTH * len(texts) or not joined.isascii():
        return None
    # Equal widths on average are not yet equal widths: the marks must stand where they should in every row.
    letters = np.frombuffer(joined.encode(), np.uint8).reshape(-1, _WIDTH)
    digits = letters[:, _DIGITS]
    if (letters[:, _MARKS] != _EXPECTED_MARKS).any() or (digits < 48).any() or (digits > 57).any():
        return None
    seconds = _seconds(letters.astype(np.int64) - 48)
    if seconds is None:
        return None
    micros: Integers = seconds * 1_000_000
    return None if (micros < EARLIEST).any() or (micros >= LATEST).any() else micros


def _seconds(digits: Integers) -> Integers | None:
    """Seconds since 1970 from the digits in their places; null when one of them names no real instant.

    Counted here because NumPy's own reading of texts crashes on a day that does not exist.
    """

    def number(first: int, last: int) -> Integers:
        value: Integers = digits[:, first]
        for place in range(first + 1, last):
            value = value * 10 + digits[:, place]
        return value

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    if ((month < 1) | (month > 12) | (hour > 23) | (minute > 59) | (second > 59)).any():
        return None
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = _DAYS_IN_MONTH[month] + (is_leap & (month == 2))
    if ((day < 1) | (day > longest)).any():
        return None
    # Days since 1970-01-01: whole years with their leap days, the months before this one, the days of this month.
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400
    days = 365 * (year - 1970) + leap_days - _LEAP_DAYS_BEFORE_1970
    days = days + _DAYS_BEFORE_MONTH[month] + (is_leap & (month > 2)) + day - 1
    seconds: Integers = days * 86_400 + hour * 3_600 + minute * 60 + second
    return seconds
