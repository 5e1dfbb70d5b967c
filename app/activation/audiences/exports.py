"""Audiences as lines of files: many customers at a time, most of them with the same end of their line."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import orjson

from app.clock import format_instant

FileFormat = Literal["ndjson", "csv"]
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
HEADER = b"customer_id,arm,assigned_at\r\n"
# A spreadsheet takes a cell that begins so for a formula and runs it (CWE-1236).
FORMULA = frozenset("=+-@\t\r")

# customer_id, arm, assigned_at
Row = tuple[str, str, datetime]
Lines = Callable[[Sequence[Row]], bytes]


def writer(file_format: FileFormat) -> Lines:
    """What turns customers into lines of a file."""
    endings: dict[tuple[str, datetime], str] = {}
    first, last = ('{"customer_id":"', '"}\n') if file_format == "ndjson" else ("", "\r\n")
    between = ('","arm":"', '","assigned_at":"') if file_format == "ndjson" else (",", ",")
    slowly = _ndjson if file_format == "ndjson" else _csv

    def lines(rows: Sequence[Row]) -> bytes:
        if not _is_plain([row[0] for row in rows]):
            return slowly(rows)
        for _, arm, since in rows:
            if (arm, since) not in endings:
                endings[arm, since] = f"{between[0]}{arm}{between[1]}{format_instant(since)}{last}"
        return "".join([f"{first}{name}{endings[arm, since]}" for name, arm, since in rows]).encode()

    return lines


def _is_plain(names: Sequence[str]) -> bool:
    """Whether identifiers stand in a file as they are: no quotes, nothing to escape, no formula."""
    joined = "".join(names)
    special = any(sign in joined for sign in ('"', "\\", ","))
    return joined.isprintable() and not special and FORMULA.isdisjoint({name[0] for name in names})


def _ndjson(rows: Sequence[Row]) -> bytes:
    option = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    return b"".join(
        orjson.dumps({"customer_id": name, "arm": arm, "assigned_at": since}, option=option)
        for name, arm, since in rows
    )


def _csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows((safe(name), arm, format_instant(since)) for name, arm, since in rows)
    return out.getvalue().encode()


def safe(cell: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it."""
    return f"'{cell}" if cell[0] in FORMULA else cell
