"""The answer as a grid: every asked metric, for every group, in every period of the window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.measurement.kpis.changes import change, nothing
from app.measurement.kpis.estimates import Sums, figure, parts_of, unknowable
from app.measurement.kpis.kinds import Dimension, Kind, Kpi
from app.measurement.kpis.question import Question
from app.measurement.kpis.reasons import (
    BASELINE_MISSING,
    SHORTER_THAN_A_DAY,
    UNTAGGED,
    needs_whole_days,
    reason_against_baseline,
)

# One value for each dimension that is grouped by, in that order; null where facts have none.
Group = tuple[Any, ...]
Cells = Mapping[tuple[Group, int], Mapping[Kind, Sums]]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it is shown."""

    segment_id: UUID
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Side:
    """A window's facts: of the one asked for, or of the one compared with. Periods without a whole day have no costs."""

    cells: Cells
    periods: int
    without_a_day: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """All that was counted for a question. `reasons` names the metrics that no facts could answer."""

    now: Side
    before: Side | None
    reasons: Mapping[str, str]


def groups_of(question: Question, found: Found, segments: Sequence[Segment]) -> list[Group]:
    """The groups to show: those with facts, and by segment alone every segment; segments in their own order."""
    if not question.group_by:
        return [()]
    sides = [found.now] if found.before is None else [found.now, found.before]
    groups = {group for side in sides for group, _ in side.cells}
    if question.group_by == ("segment",):
        groups |= {(segment.segment_id,) for segment in segments}
    if not groups and len(found.reasons) == len(question.kpis):
        # Nothing was counted, since nothing can be answered: one row says so.
        groups = {(None,) * len(question.group_by)}
    place = {segment.segment_id: position for position, segment in enumerate(segments)}

    def order(group: Group) -> list[tuple[bool, Any]]:
        return [(value is None, place.get(value, value or "")) for value in group]

    return sorted(groups, key=order)


def rows_of(
    question: Question, found: Found, segments: Sequence[Segment], groups: Sequence[Group]
) -> Iterator[dict[str, Any]]:
    """One row per metric, group and period, in this order; where there are no facts sums are 0, for none is none."""
    shown = {segment.segment_id: segment for segment in segments}
    labels = [_label(question.group_by, group, shown) for group in groups]
    for kpi in question.kpis:
        for group, label in zip(groups, labels, strict=True):
            for number, period in enumerate(question.periods, start=1):
                known = {"metric": kpi.name, "group": label, "period": period.label}
                yield known | _answered(kpi, question, found, group=group, number=number)


def _answered(kpi: Kpi, question: Question, found: Found, *, group: Group, number: int) -> dict[str, Any]:
    reason = found.reasons.get(kpi.name)
    if reason is not None:
        none = {name: nothing(reason) for name in ("absolute", "relative")}
        compared = {} if found.before is None else {"baseline": unknowable(reason), "change": none}
        return unknowable(reason) | compared
    currency = question.reporting.currency
    before = None if found.before is None else found.before.cells.get((group, number), {})
    parts = parts_of(kpi, found.now.cells.get((group, number), {}), before)
    problem = _problem(kpi, found.now, group=group, number=number)
    if kpi.of_baseline and problem is None and found.before is not None and number > found.before.periods:
        problem = BASELINE_MISSING
    answer = _with_reason(figure(kpi, parts, currency), problem)
    if found.before is None:
        return answer
    earlier = reason_against_baseline(kpi) or _problem(kpi, found.before, group=group, number=number)
    base = parts_of(kpi, before or {})
    if earlier is not None:
        withheld = unknowable(earlier) if earlier != UNTAGGED else _with_reason(figure(kpi, base, currency), earlier)
        return answer | {"baseline": withheld, "change": _unchanged(earlier)}
    if problem is not None:
        return answer | {"baseline": figure(kpi, base, currency), "change": _unchanged(problem)}
    return answer | {"baseline": figure(kpi, base, currency), "change": change(kpi, parts, base, currency)}


def _problem(kpi: Kpi, side: Side, *, group: Group, number: int) -> str | None:
    """Why there is no figure for this group or period, though there is for others."""
    if number > side.periods:
        return BASELINE_MISSING
    if kpi.of_tags and group and all(value is None for value in group):
        return UNTAGGED
    return SHORTER_THAN_A_DAY if needs_whole_days(kpi) and number in side.without_a_day else None


def _with_reason(row: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """Numerator and denominator stay, so that groups add up; there is no value to make of them."""
    return row if reason is None else row | {"value": None, "low": None, "high": None, "level": None, "reason": reason}


def _unchanged(reason: str) -> dict[str, Any]:
    return {name: nothing(reason) for name in ("absolute", "relative")}


def _label(group_by: Sequence[Dimension], group: Group, segments: Mapping[UUID, Segment]) -> dict[str, Any]:
    label: dict[str, Any] = {}
    for dimension, value in zip(group_by, group, strict=True):
        label[dimension] = value
        if dimension == "segment":
            segment = segments.get(value)
            label |= {"segment_key": segment and segment.key, "segment_name": segment and segment.name}
    return label
