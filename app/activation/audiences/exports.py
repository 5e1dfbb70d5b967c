"""Audiences as lines of files: many customers at a time, all that have the same end of their line at once."""

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
_SIGNS = tuple(f'\n"{sign}' for sign in "=+-@")

# arm, assigned_at, and the identifiers of these customers as JSON strings, a line each
Group = tuple[str, datetime, str]
Lines = Callable[[Sequence[Group]], bytes]


def writer(file_format: FileFormat) -> Lines:
    """What turns customers into lines of a file."""
    lines = _ndjson if file_format == "ndjson" else _csv
    return lambda groups: b"".join(lines(*group) for group in groups)


def _ndjson(arm: str, since: datetime, names: str) -> bytes:
    first, last = '{"customer_id":', f',"arm":"{arm}","assigned_at":"{format_instant(since)}"}}\n'
    lines = names.replace("\n", last + first)
    return f"{first}{lines}{last}".encode()


def _csv(arm: str, since: datetime, names: str) -> bytes:
    last = f",{arm},{format_instant(since)}\r\n"
    if _is_plain(names):
        lines = names[1:-1].replace('"\n"', last)
        return f"{lines}{last}".encode()
    out = io.StringIO()
    rows = (orjson.loads(name) for name in names.split("\n"))
    csv.writer(out).writerows((safe(name), arm, format_instant(since)) for name in rows)
    return out.getvalue().encode()


def _is_plain(names: str) -> bool:
    """Whether identifiers stand in a table as they are: nothing to escape, nothing to quote, no formula."""
    framed = f"\n{names}"
    return "\\" not in names and "," not in names and not any(sign in framed for sign in _SIGNS)


def safe(cell: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it."""
    return f"'{cell}" if cell[0] in FORMULA else cell
