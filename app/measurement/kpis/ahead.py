"""Answers from the sums: what was added up ahead, and on top of it whatever waits in the ledger.

So an answer is that of the facts themselves, at any moment; how far folding lags behind decides only how long it takes.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import cast
from uuid import UUID

from app.clock import start_of_day
from app.db.engine import Session
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.kinds import TRANSACTION_KINDS, Kind
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted
from app.measurement.periods import Interval, first_day_of
from app.measurement.rollups import ledger, repository
from app.measurement.rollups.adding import Days
from app.measurement.rollups.concerned import Asked, Basis, Bought, Entry, concerned_by, guest_days
from app.measurement.rollups.contributions import contributions
from app.tables.rollups import COHORT_INTERVALS, INTERVALS

PEOPLE: frozenset[Kind] = frozenset({"buyer", "repeat_buyer", "new_customer"})
# To count a customer again who waits takes about as long as to count so many facts from nothing.
FACTS_PER_CUSTOMER, ALWAYS_COUNTED = 100, 500


async def counted(session: Session, question: Question) -> tuple[frozenset[Kind], list[Counted]]:
    """The kinds that the sums answer, and one per kind, group and period with a fact; no order."""
    asked = _asked(question)
    if asked is None:
        return frozenset(), []
    kinds = question.kinds & (TRANSACTION_KINDS | (PEOPLE if asked.people_by else frozenset[Kind]()))
    entries = await _waiting(session, asked.segmentation_id) if kinds else None
    if entries is None:
        return frozenset(), []
    cells = await _cells(session, question, asked, entries, counters=_counters(kinds, asked.people_by))
    return kinds, list(_counted(kinds, asked, cells, grouped=bool(question.group_by)))


async def _waiting(session: Session, segmentation_id: UUID | None) -> list[Entry] | None:
    """What waits in the ledger; null where it is quicker to count everything from nothing."""
    at_most = max(ALWAYS_COUNTED, await ledger.facts_about(session) // FACTS_PER_CUSTOMER)
    return await ledger.pending(session, segmentation_id=segmentation_id, at_most=at_most)


def _asked(question: Question) -> Asked | None:
    """Null where the sums cannot answer: they know whole days, no channels and no campaigns."""
    days = _whole_days(question)
    if question.horizon is None or days is None or not {"segment"}.issuperset(question.group_by):
        return None
    zone = question.reporting.zone
    starts = [max(period.start, question.window.start).astimezone(zone).date() for period in question.periods]
    of_guests = {"all": None, "known": False, "guest": True}[question.customers]
    return Asked(*days, starts, _people_by(question, *days), question.segmentation_id, of_guests)


def _whole_days(question: Question) -> tuple[date, date] | None:
    """The reporting days [first, end) of the window; null where it cuts one that has facts on both sides."""
    zone, window, horizon = question.reporting.zone, question.window, question.horizon
    first, end = (edge.astimezone(zone).date() for edge in (window.start, window.end))
    if start_of_day(first, zone) != window.start:
        return None
    if start_of_day(end, zone) == window.end:
        return first, end
    newest = horizon.newest_fact_at if horizon else None
    return None if newest is not None and newest >= window.end else (first, end + timedelta(days=1))


def _people_by(question: Question, first: date, end: date) -> str | None:
    """The interval of which each period has the beginning, so that who bought in it counts once; null: none has."""
    horizon = question.horizon
    nothing_before = horizon is None or horizon.first_fact_at is None or horizon.first_fact_at >= question.window.start
    if question.interval is not None:
        whole = question.periods[0].start >= question.window.start
        return question.interval if whole or nothing_before else None
    last = end - timedelta(days=1)
    for interval in INTERVALS:
        if interval == "ever":
            return interval if nothing_before else None
        calendar = cast(Interval, interval)
        if first_day_of(calendar, first) == first == first_day_of(calendar, last):
            return interval
    return None


def _counters(kinds: frozenset[Kind], people_by: str | None) -> list[str]:
    found = []
    for kind in sorted(kinds & TRANSACTION_KINDS):
        found += [f"{kind}s", f"{kind}_minor", f"{kind}_squares", f"{kind}s_unrated"]
    found += [f"{kind}s_{people_by}" for kind in ("buyer", "repeat_buyer") if kinds & {"buyer", "repeat_buyer"}]
    return [*found, "new_customers"] if "new_customer" in kinds else found


# By period and segment.
_Cells = dict[tuple[int, UUID | None], dict[str, int]]


async def _cells(
    session: Session, question: Question, asked: Asked, entries: Sequence[Entry], *, counters: Sequence[str]
) -> _Cells:
    """The counters as the sums hold them, and what waits on top."""
    basis, by_segment = Basis(question.reporting.currency, question.reporting.zone), asked.segmentation_id is not None
    days = [day for day in guest_days(entries, basis.zone) if asked.first <= day < asked.end]
    folded = await repository.days(session, asked, counters, but_guests_on=days)
    cells: _Cells = defaultdict(lambda: dict.fromkeys(counters, 0))
    for period, segment_id, sums in folded:
        _add(cells[period, segment_id], sums)
    concerned = concerned_by(entries)
    if concerned.everybody and asked.of_guests is not True:
        found = await contributions(session, concerned, basis, only=asked.segmentation_id, by_segment=by_segment)
        for day, segment_id, sums in _waiting_rows(found.days, counters):
            if asked.first <= day < asked.end:
                _add(cells[bisect_right(asked.starts, day), segment_id], sums)
    if days and asked.of_guests is not False:
        for row in await repository.guests(session, days, basis):
            _add(
                cells[bisect_right(asked.starts, row["day"]), None], {name: int(row.get(name, 0)) for name in counters}
            )
    return cells


def _waiting_rows(days: Days, counters: Sequence[str]) -> Iterator[tuple[date, UUID | None, dict[str, int]]]:
    rows = days.rows()
    columns = [rows[name] for name in counters]
    for day, segment_id, of_members, *values in zip(
        rows["day"], rows["segment_id"], rows["of_members"], *columns, strict=True
    ):
        weight = -1 if of_members else 1
        yield day, segment_id, {name: weight * value for name, value in zip(counters, values, strict=True)}


def _add(cell: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        cell[name] += value


def _counted(kinds: frozenset[Kind], asked: Asked, cells: _Cells, *, grouped: bool) -> Iterator[Counted]:
    for (period, segment_id), cell in cells.items():
        group = (segment_id,) if grouped else ()
        for kind in kinds:
            if kind in TRANSACTION_KINDS:
                sums = Sums(cell[f"{kind}s"], cell[f"{kind}_minor"], cell[f"{kind}_squares"])
                unrated = cell[f"{kind}s_unrated"]
            else:
                name = "new_customers" if kind == "new_customer" else f"{kind}s_{asked.people_by}"
                sums, unrated = Sums(*[cell[name]] * 3), 0
            if sums.n:
                yield Counted(kind, period, group, sums, unrated)


async def cohorts(session: Session, question: Question) -> list[Bought] | None:
    """One per cohort and period with a purchase, in no order; null where the sums cannot answer.

    They know whole periods only, so that a member of a cohort bought nothing before it, and the last is over or full.
    """
    asked = _asked(question)
    if asked is None or asked.people_by not in COHORT_INTERVALS:
        return None
    entries = await _waiting(session, None)
    if entries is None or not _ends_whole(question, asked):
        return None
    basis = Basis(question.reporting.currency, question.reporting.zone)
    first = first_day_of(cast(Interval, asked.people_by), asked.first)
    rows = await repository.cohorts(session, asked.people_by, first, asked.end)
    concerned = concerned_by(entries)
    if concerned.by_facts:
        found = (await contributions(session, concerned, basis, by_segment=False)).cohorts.rows()
        of_interval = [place for place, name in enumerate(found["interval"]) if name == asked.people_by]
        columns = [found[name] for name in ("cohort", "period", "buyers", "purchase_minor", "purchases_unrated")]
        rows += [tuple(column[place] for column in columns) for place in of_interval]
    return _triangle(asked, first, rows)


def _ends_whole(question: Question, asked: Asked) -> bool:
    """Whether no fact lies in the last period but after the window."""
    following = asked.end
    newest = question.horizon.newest_fact_at if question.horizon else None
    if newest is None or newest < question.window.end:
        return True
    return first_day_of(cast(Interval, asked.people_by), following) == following


def _triangle(asked: Asked, first: date, rows: Iterable[tuple[date, date, int, int, int]]) -> list[Bought]:
    cells: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for cohort, period, *sums in rows:
        if first <= cohort and period < asked.end:
            cell = cells[bisect_right(asked.starts, cohort) or 1, bisect_right(asked.starts, period) or 1]
            for place, value in enumerate(sums):
                cell[place] += value
    return [Bought(*key, *cell) for key, cell in cells.items() if any(cell)]
