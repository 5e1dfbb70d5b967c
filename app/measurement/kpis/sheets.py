"""Key figures as CSV: one line per figure, always the same columns for the same groups."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import Response

from app.measurement.kpis.kinds import Dimension
from app.measurement.spreadsheet import csv_answer

VALUE = ("value", "low", "high", "level", "n", "numerator", "denominator", "reason")
CHANGE = ("value", "low", "high", "level", "method", "n", "reason")


def csv_of(answer: dict[str, Any], group_by: Sequence[Dimension]) -> Response:
    """The figures of an answer; with baseline and change in columns of their own where it compares."""
    groups = [
        name for each in group_by for name in ((each, "segment_key", "segment_name") if each == "segment" else (each,))
    ]
    columns = ["metric", *groups, "period", *VALUE, "currency"]
    compares = "compared" in answer
    if compares:
        columns += [f"baseline_{name}" for name in VALUE]
        columns += [f"change_{which}_{name}" for which in ("absolute", "relative") for name in CHANGE]
    rows = (list(_cells(row, groups, answer["currency"], compares=compares)) for row in answer["data"])
    return csv_answer(columns, rows, name="kpis")


def _cells(row: dict[str, Any], groups: Sequence[str], currency: str, *, compares: bool) -> Iterator[Any]:
    yield row["metric"]
    yield from (row["group"][name] for name in groups)
    yield row["period"]
    yield from (row.get(name) for name in VALUE)
    yield currency
    if compares:
        yield from (row["baseline"].get(name) for name in VALUE)
        for which in ("absolute", "relative"):
            yield from (row["change"][which].get(name) for name in CHANGE)
