"""The answer as a grid: every asked metric, for every group, in every period of the window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.measurement.kpis.definitions import Dimension, Kind
from app.measurement.kpis.estimates import GUESTS_ARE_ANONYMOUS, Sums, figure, unknowable
from app.measurement.kpis.question import Question

# One value for each dimension that is grouped by, in that order; null where facts have none.
Group = tuple[Any, ...]
Cells = Mapping[tuple[Group, int], Mapping[Kind, Sums]]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it is shown."""

    segment_id: UUID
    key: str
    name: str


def groups_of(question: Question, cells: Cells, segments: Sequence[Segment]) -> list[Group]:
    """The groups to show: those with facts, and by segment alone every segment; segments in their own order."""
    if not question.group_by:
        return [()]
    groups = {group for group, _ in cells}
    if question.group_by == ("segment",):
        groups |= {(segment.segment_id,) for segment in segments}
    place = {segment.segment_id: position for position, segment in enumerate(segments)}

    def order(group: Group) -> list[tuple[bool, Any]]:
        return [(value is None, place.get(value, value or "")) for value in group]

    return sorted(groups, key=order)


def rows_of(
    question: Question, cells: Cells, segments: Sequence[Segment], groups: Sequence[Group]
) -> Iterator[dict[str, Any]]:
    """One row per metric, group and period, in this order; where there are no facts sums are 0, for none is none."""
    shown = {segment.segment_id: segment for segment in segments}
    labels = [_label(question.group_by, group, shown) for group in groups]
    for kpi in question.kpis:
        unknown = question.customers == "guest" and kpi.needs_customers
        for group, label in zip(groups, labels, strict=True):
            for index, period in enumerate(question.periods, start=1):
                found = (
                    unknowable(GUESTS_ARE_ANONYMOUS)
                    if unknown
                    else figure(kpi, cells.get((group, index), {}), question.reporting.currency)
                )
                yield {"metric": kpi.name, "group": label, "period": period.label, **found}


def _label(group_by: Sequence[Dimension], group: Group, segments: Mapping[UUID, Segment]) -> dict[str, Any]:
    label: dict[str, Any] = {}
    for dimension, value in zip(group_by, group, strict=True):
        label[dimension] = value
        if dimension == "segment":
            segment = segments.get(value)
            label |= {"segment_key": segment and segment.key, "segment_name": segment and segment.name}
    return label
