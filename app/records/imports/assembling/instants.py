"""Times as files write them: with an offset or without, then read in the zone that the caller names."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from app.clock import FIRST_ABSURD_YEAR, FIRST_YEAR, format_instant
from app.records.imports.reading.table import Integers, arrow
from app.records.intake.instants import EARLIEST, LATEST

Reason = tuple[str, str]

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
_WRITTEN = re.compile(rf"{_DAY}(?:[T ]{_TIME}(?: ?(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?))?)?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_SHOWN = 40


def instants_of(texts: Sequence[str], zone: ZoneInfo) -> tuple[Integers, dict[int, Reason]]:
    """Microseconds since 1970 of each text, and why some are none; an empty text is 0 and no flaw."""
    micros = _all_alike(texts, zone)
    if micros is not None:
        return micros, {}
    micros = np.zeros(len(texts), np.int64)
    flaws: dict[int, Reason] = {}
    for place, text in enumerate(texts):
        if text:
            read = instant_of(text, zone)
            if isinstance(read, datetime):
                micros[place] = (read - _EPOCH) // _MICROSECOND
            else:
                flaws[place] = read
    return micros, flaws


def instant_of(text: str, zone: ZoneInfo) -> datetime | Reason:
    """The UTC instant that a text says, or why it says none.

    A local time that the clocks passed twice is the first of the two; one that they skipped is read with the offset
    from before the jump, which moves it forward by the jump (PEP 495, fold 0).
    """
    written = text.strip()
    if len(written) > _LONGEST_SHOWN or _WRITTEN.fullmatch(written) is None:
        return "invalid_instant", f"{_shown(text)} is not a time such as 2026-01-31 12:00:00 or 2026-01-31T12:00:00Z"
    try:
        read = datetime.fromisoformat(written.upper().replace(" ", "T", 1).replace(" ", "").replace(",", "."))
    except ValueError:
        return "invalid_instant", f"{_shown(text)} is a time that no calendar has"
    # At the ends of the calendar a change of zone would leave it.
    if FIRST_YEAR <= read.year <= FIRST_ABSURD_YEAR:
        instant = (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
        if FIRST_YEAR <= instant.year < FIRST_ABSURD_YEAR:
            return instant
    return "absurd_instant", f"{_shown(text)} lies outside the years {FIRST_YEAR} to {FIRST_ABSURD_YEAR - 1}"


def written(micros: int) -> str:
    """Microseconds since 1970 as they are sent over the wire."""
    return format_instant(_EPOCH + timedelta(microseconds=micros))


def _all_alike(texts: Sequence[str], zone: ZoneInfo) -> Integers | None:
    """All at once, when all are written without an offset, or all with one, and lie in usual years."""
    column = arrow.array(texts, arrow.string())
    try:
        local: Integers = column.cast(arrow.timestamp("us")).cast(arrow.int64()).to_numpy()
        if _is_unusual(local):
            return None
        micros = local if zone.key == "UTC" else _localised(local, zone)
    except arrow.ArrowInvalid:
        try:
            micros = column.cast(arrow.timestamp("us", "UTC")).cast(arrow.int64()).to_numpy()
        except arrow.ArrowInvalid:
            return None
    return None if _is_unusual(micros) else micros


def _is_unusual(micros: Integers) -> bool:
    return bool((micros < EARLIEST).any() or (micros >= LATEST).any())


def _localised(local: Integers, zone: ZoneInfo) -> Integers:
    naive = (_LOCAL_EPOCH + timedelta(microseconds=each) for each in local.tolist())
    aware = (each.replace(tzinfo=zone) for each in naive)
    return np.fromiter(((each - _EPOCH) // _MICROSECOND for each in aware), np.int64, len(local))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
