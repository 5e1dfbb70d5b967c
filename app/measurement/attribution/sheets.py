"""Credit as CSV: one line per channel or campaign and group, and one for what is unattributed."""

from typing import Any

from fastapi import Response

from app.measurement.spreadsheet import csv_answer

SEGMENT = ("segment", "segment_key", "segment_name")
UNATTRIBUTED = "(unattributed)"


def csv_of(answer: dict[str, Any], *, grouped: bool) -> Response:
    """The rows of an answer; factor and its interval in columns of their own."""
    by, segment = answer["by"], SEGMENT if grouped else ()
    columns = [by, *segment, "conversions", "share", "revenue", "cost", "media_cost", "roas", "cost_per_acquisition"]
    columns += ["factor", "factor_low", "factor_high", "currency", "model"]
    rows = [_cells(row, by, segment, answer) for row in answer["data"]]
    nothing = answer["unattributed"]
    rows += [_cells({by: UNATTRIBUTED, **each}, by, segment, answer) for each in nothing.get("groups") or [nothing]]
    return csv_answer(columns, rows, name="attribution")


def _cells(row: dict[str, Any], by: str, segment: tuple[str, ...], answer: dict[str, Any]) -> list[Any]:
    factor = (row.get("incrementality") or {}).get("factor", {})
    money = [_amount(row.get(name)) for name in ("revenue", "cost", "media_cost")]
    return [
        row[by],
        *(row["group"][name] for name in segment),
        row["conversions"],
        row.get("share"),
        *money,
        row.get("roas"),
        row.get("cost_per_acquisition"),
        *(factor.get(name) for name in ("value", "low", "high")),
        answer["currency"],
        answer["model"],
    ]


def _amount(money: dict[str, str] | None) -> str | None:
    return None if money is None else money["amount"]
