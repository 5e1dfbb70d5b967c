"""How busy the shop is: a yearly peak before Christmas, a weekly rhythm, and the hours of a day."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from app.cli.demo.draws import Floats, Instants, Integers

# Monday to Sunday; the mean is 1.
WEEKDAYS = np.array([1.02, 0.94, 0.92, 0.96, 1.02, 1.02, 1.12])
# Relative activity in each hour of the day.
_HOURS = np.array([1, 0.5, 0.3, 0.2, 0.3, 0.8, 2, 4, 6, 7, 8, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12, 7, 3], float)
_HOUR_ENDS = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
PEAK_DAY, PEAK_WIDTH, PEAK_HEIGHT = 340, 15.0, 1.3
LULL_DAY, LULL_WIDTH, LULL_DEPTH = 208, 28.0, 0.18
YEAR, DAY = 365, 86_400


@dataclass(frozen=True, slots=True)
class Season:
    """The shop's calendar. Times are days since `first`; busy time runs at 1 per day on a day like the average.

    `clock[d]` is the busy time when day d begins, from `clock[0] = 0`.
    """

    first: np.datetime64
    clock: Floats

    @property
    def days(self) -> int:
        return self.clock.size - 1

    @property
    def busy_until_end(self) -> float:
        return float(self.clock[-1])

    def busy(self, days: Floats | float) -> Floats:
        """Busy time at these times."""
        return np.asarray(np.interp(days, np.arange(self.clock.size), self.clock))

    def calendar(self, busy: Floats) -> Floats:
        """The times at which so much busy time has passed."""
        return np.asarray(np.interp(busy, self.clock, np.arange(self.clock.size)))

    def seconds(self, days: Floats) -> Integers:
        """Times as whole seconds since `first`. The day stays, the hour follows the rhythm of a day; order is kept."""
        whole = np.floor(days)
        within = np.interp(days - whole, _HOUR_ENDS, np.arange(_HOUR_ENDS.size) / 24)
        return np.asarray(whole * DAY + np.minimum(np.floor(within * DAY), DAY - 1), np.int64)

    def instants(self, seconds: Integers) -> Instants:
        return np.asarray(self.first.astype("datetime64[s]") + seconds.astype("timedelta64[s]"))

    def day_of(self, on: date) -> int:
        return int((np.datetime64(on) - self.first).astype(int))


def season(first: date, end: date) -> Season:
    """The calendar from a day until, and without, another."""
    days = np.arange(np.datetime64(first), np.datetime64(end))
    # 1970-01-01 was a Thursday.
    weekday = (days.astype(int) + 3) % 7
    day_of_year = (days - days.astype("datetime64[Y]")).astype(int)
    factor = yearly(day_of_year) * WEEKDAYS[weekday]
    return Season(np.datetime64(first), np.concatenate([[0.0], np.cumsum(factor)]))


def yearly(day_of_year: Integers) -> Floats:
    """The season's factor on each day of the year; its mean over 365 days is 1."""
    shape = _shape(day_of_year)
    return np.asarray(shape / _shape(np.arange(YEAR)).mean())


def _shape(day: Integers) -> Floats:
    def bump(centre: int, width: float) -> Floats:
        apart = np.abs(day - centre)
        apart = np.minimum(apart, YEAR - apart)
        return np.asarray(np.exp(-0.5 * (apart / width) ** 2))

    return 1 + PEAK_HEIGHT * bump(PEAK_DAY, PEAK_WIDTH) - LULL_DEPTH * bump(LULL_DAY, LULL_WIDTH)
