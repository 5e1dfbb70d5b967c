"""Answers as CSV, for spreadsheets: what one would run as a formula is text."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from fastapi import Response

AnswerFormat = Literal["json", "csv"]
MEDIA_TYPE = "text/csv; charset=utf-8"
# What OpenAPI says of the other form of an answer.
ALSO_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
}
# A spreadsheet takes a cell that begins so for a formula and runs it (CWE-1236).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(asked: AnswerFormat | None, accept: str) -> bool:
    """What the parameter says; without it whether the Accept header names CSV and prefers it to JSON."""
    if asked is not None:
        return asked == "csv"
    weights: dict[str, float] = {}
    for part in accept.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        weights[media_type] = _weight(parameters)
    json = max((weights.get(name, 0.0) for name in ("application/json", "application/*")), default=0.0)
    return weights.get("text/csv", 0.0) > json


def csv_answer(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, name: str) -> Response:
    """One line per row under the names of the columns; null is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Vary": "Accept"}
    return Response(out.getvalue().encode(), media_type=MEDIA_TYPE, headers=headers)


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
