"""What facts add up to in `kpi_days` and `cohort_periods`: pure arithmetic over columns, exact to the last cent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from app.measurement.periods import Interval, first_day_of
from app.measurement.rollups.grouping import Group, Grouped
from app.measurement.rollups.packed import Integers
from app.tables.rollups import COHORT_INTERVALS, INTERVALS, kpi_days

GROUP = ("segmentation_id", "of_members", "segment_id", "of_guests", "day")
COUNTED = tuple(each.name for each in kpi_days.c if each.name not in GROUP)
# Before every day.
NEVER = -1

Flags = npt.NDArray[np.bool_]
# By name: a column of as many values as there are rows.
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Days:
    """Rows of `kpi_days`: to which group and day how much is added. Rows that add nothing are left out."""

    groups: tuple[Group, ...]
    group: Integers
    day: Integers
    columns: Columns

    def __len__(self) -> int:
        return len(self.day)

    def rows(self) -> dict[str, list[Any]]:
        """As columns of `kpi_days`."""
        groups = [self.groups[number] for number in self.group.tolist()]
        return {
            "segmentation_id": [each.segmentation_id for each in groups],
            "of_members": [each.of_members for each in groups],
            "segment_id": [each.segment_id for each in groups],
            "of_guests": [False] * len(groups),
            "day": _dates(self.day),
            **{name: column.tolist() for name, column in self.columns.items()},
        }


@dataclass(frozen=True, slots=True)
class Cohorts:
    """Rows of `cohort_periods`, the same way; interval by its number among COHORT_INTERVALS."""

    interval: Integers
    cohort: Integers
    period: Integers
    columns: Columns

    def rows(self) -> dict[str, list[Any]]:
        """As columns of `cohort_periods`."""
        return {
            "interval": [COHORT_INTERVALS[number] for number in self.interval.tolist()],
            "cohort": _dates(self.cohort),
            "period": _dates(self.period),
            **{name: column.tolist() for name, column in self.columns.items()},
        }


def _dates(ordinals: Integers) -> list[date]:
    return [date.fromordinal(each) for each in ordinals.tolist()]


def added(rows: Grouped) -> tuple[Days, Cohorts]:
    """What the rows add to the sums, each with its sign; days as ordinals."""
    days = np.unique(rows.day)
    where = np.searchsorted(days, rows.day)
    each = _by_customer_and_day(rows, where, len(days))
    starts = {interval: _starts(interval, days) for interval in INTERVALS}
    return _days(rows, each, days, starts), _cohorts(rows, each, days, starts)


@dataclass(frozen=True, slots=True)
class _Each:
    """One row per group, customer, kind and day: in that order; days by their number."""

    first_row: Integers
    group: Integers
    customer: Integers
    sign: Integers
    is_refund: Flags
    day: Integers
    n: Integers
    # The same customer and kind in the same group: the day before, how much on it, and the day before that.
    before: Integers
    n_before: Integers
    before_that: Integers
    # Which row of these each row of the facts is part of.
    of_row: Integers


def _by_customer_and_day(rows: Grouped, where: Integers, days: int) -> _Each:
    customers = int(rows.customer.max(initial=0)) + 1
    series = (rows.group * customers + rows.customer) * 2 + rows.is_refund
    key, first_row, of_row, n = np.unique(
        series * days + where, return_index=True, return_inverse=True, return_counts=True
    )
    series, day = np.divmod(key, max(days, 1))
    one_back, two_back = _same_as(series, 1), _same_as(series, 2)
    return _Each(
        first_row=first_row,
        group=rows.group[first_row],
        customer=rows.customer[first_row],
        sign=rows.sign[first_row],
        is_refund=rows.is_refund[first_row],
        day=day,
        n=n,
        before=np.where(one_back, np.roll(day, 1), NEVER),
        n_before=np.where(one_back, np.roll(n, 1), 0),
        before_that=np.where(two_back, np.roll(day, 2), NEVER),
        of_row=of_row,
    )


def _same_as(series: Integers, back: int) -> Flags:
    """Whether the row so many before is of the same series."""
    found = np.zeros(len(series), np.bool_)
    found[back:] = series[back:] == series[:-back]
    return found


def _starts(interval: str, days: Integers) -> Integers:
    """For each day the number of the first day that is not before the interval it is in; `ever` has no beginning."""
    if interval == "ever":
        return np.zeros(len(days), np.int64)
    firsts = [first_day_of(cast(Interval, interval), date.fromordinal(day)).toordinal() for day in days.tolist()]
    return np.searchsorted(days, np.array(firsts, np.int64))


def _days(rows: Grouped, each: _Each, days: Integers, starts: Mapping[str, Integers]) -> Days:
    # Both kinds count in one cell.
    cells, cell = np.unique(each.group * len(days) + each.day, return_inverse=True)
    columns = _sums(rows, cell[each.of_row], len(cells))
    # What has no sign is only there for what comes after it.
    bought = np.flatnonzero(~each.is_refund & (each.sign != 0))
    day_, n, before, n_before, before_that = (
        column[bought] for column in (each.day, each.n, each.before, each.n_before, each.before_that)
    )
    for interval in INTERVALS:
        start = starts[interval][day_]
        first = before < start
        second = np.where(first, n >= 2, (n_before == 1) & (before_that < start))
        columns[f"buyers_{interval}"] = _summed(cell[bought], each.sign[bought], first, len(cells))
        columns[f"repeat_buyers_{interval}"] = _summed(cell[bought], each.sign[bought], second, len(cells))
    columns["new_customers"] = _summed(cell, each.sign, _is_new(rows, each), len(cells))
    changed = np.any([column != 0 for column in columns.values()], axis=0).astype(np.bool_)
    group, day = np.divmod(cells[changed], max(len(days), 1))
    kept = {name: columns[name][changed] for name in COUNTED}
    return Days(rows.groups, group, days[day], kept)


def _sums(rows: Grouped, cell: Integers, cells: int) -> Columns:
    """Numbers and amounts of facts by cell, of both kinds at once."""
    live = np.flatnonzero(rows.sign)
    of_kind, sign, minor, unrated = (
        cell[live] * 2 + rows.is_refund[live],
        rows.sign[live],
        rows.minor[live],
        rows.is_unrated[live],
    )
    rated = None if not unrated.any() else ~unrated
    found = {
        "{plural}": _summed(of_kind, sign, None, cells * 2),
        "{singular}_minor": _summed(of_kind, sign * minor, rated, cells * 2),
        "{singular}_squares": _summed(of_kind, sign * _squares(minor), rated, cells * 2),
        "{plural}_unrated": _summed(of_kind, sign, unrated, cells * 2),
    }
    return {
        name.format(plural=f"{singular}s", singular=singular): column[number::2]
        for number, singular in enumerate(("purchase", "refund"))
        for name, column in found.items()
    }


def _is_new(rows: Grouped, each: _Each) -> Flags:
    """On which of the rows by customer and day the customer bought for the first time ever, in that group."""
    firsts = _first_purchases(rows)
    found = np.zeros(len(each.day), np.bool_)
    found[each.of_row[~rows.is_refund & (rows.at == firsts[rows.customer])]] = True
    return found


def _first_purchases(rows: Grouped) -> Integers:
    """By customer the instant of the first purchase."""
    firsts = np.full(int(rows.customer.max(initial=0)) + 1, np.iinfo(np.int64).max)
    bought = ~rows.is_refund
    np.minimum.at(firsts, rows.customer[bought], rows.at[bought])
    return firsts


def _cohorts(rows: Grouped, each: _Each, days: Integers, starts: Mapping[str, Integers]) -> Cohorts:
    """By all facts alone: a cohort knows no groups."""
    bought = ~each.is_refund & (each.group == 0)
    first_day = np.full(int(rows.customer.max(initial=0)) + 1, len(days), np.int64)
    np.minimum.at(first_day, each.customer[bought], each.day[bought])
    bought &= each.sign != 0
    live = np.flatnonzero(bought[each.of_row])
    of_row, is_unrated = each.of_row[live], rows.is_unrated[live]
    minor = _summed(of_row, rows.minor[live], ~is_unrated, len(each.day))
    unrated = _summed(of_row, np.ones(len(live), np.int64), is_unrated, len(each.day))
    parts: list[tuple[Integers, ...]] = []
    sums: list[Columns] = []
    sign, day, cohort_day = each.sign[bought], each.day[bought], first_day[each.customer[bought]]
    for number, interval in enumerate(COHORT_INTERVALS):
        firsts = np.array(
            [first_day_of(cast(Interval, interval), date.fromordinal(each)).toordinal() for each in days.tolist()],
            np.int64,
        )
        periods, at = np.unique(firsts, return_inverse=True)
        width = max(len(periods), 1)
        cells, cell = np.unique(at[cohort_day] * width + at[day], return_inverse=True)
        first = each.before[bought] < starts[interval][day]
        columns = {
            "buyers": _summed(cell, sign, first, len(cells)),
            "purchase_minor": _summed(cell, sign * minor[bought], None, len(cells)),
            "purchases_unrated": _summed(cell, sign * unrated[bought], None, len(cells)),
        }
        changed = np.any([column != 0 for column in columns.values()], axis=0).astype(np.bool_)
        cohort, period = np.divmod(cells[changed], width)
        parts.append((np.full(len(cohort), number), periods[cohort], periods[period]))
        sums.append({name: column[changed] for name, column in columns.items()})
    interval_, cohort_, period_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    together = {name: np.concatenate([each[name] for each in sums]) for name in sums[0]}
    return Cohorts(interval_, cohort_, period_, together)


def _squares(minor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = _roomy(minor, minor) * minor
    return found


def _roomy(values: npt.NDArray[Any], factors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values as Python's own integers where products with the factors do not fit 64 bits."""
    if values.dtype == object or not len(values):
        return values
    largest = int(np.abs(values).max()) * int(np.abs(factors).max())
    return values.astype(object) if largest * len(values) >= 2**62 else values


def _summed(cell: Integers, values: npt.NDArray[Any], of: Flags | None, cells: int) -> npt.NDArray[Any]:
    """The values by cell, only those of some rows; in Python's own integers where the sums may not fit 64 bits."""
    values = _roomy(values, np.ones(1, np.int64))
    found = np.zeros(cells, values.dtype)
    if of is None:
        np.add.at(found, cell, values)
    else:
        np.add.at(found, cell[of], values[of])
    return found
