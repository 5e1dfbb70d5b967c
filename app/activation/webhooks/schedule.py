"""When a message that was not taken is tried again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# After the first failed attempt, the second, ...; about 31 hours in all. After the last one there is no other.
DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
ATTEMPTS = len(DELAYS) + 1
# Each delay is up to this share longer, so that what failed together does not come back together.
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=24)


def next_attempt(
    attempts: int, *, now: datetime, retry_after: timedelta | None, draw: Callable[[], float]
) -> datetime | None:
    """When to try again after so many failed attempts; null: never.

    A receiver may ask for more time than planned, up to a bound, and not for less. draw gives a number in [0, 1).
    """
    if attempts >= ATTEMPTS:
        return None
    delay = DELAYS[attempts - 1] * (1 + JITTER * draw())
    asked = min(retry_after or timedelta(0), LONGEST_RETRY_AFTER)
    return now + max(delay, asked)


def read_retry_after(text: str | None, *, now: datetime) -> timedelta | None:
    """The Retry-After header, in seconds or as a date; null when there is none that can be read."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
