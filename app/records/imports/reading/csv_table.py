"""CSV as rows of texts: every column is text, and what is wrong with one row costs only that row."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv

from app.errors import Unreadable
from app.records.imports.reading.files import LONGEST_LINE, TextBytes
from app.records.imports.reading.table import TEXTS, Integers, Misread, Rows, TextColumn, Values, arrow

arrow_csv: Any = pyarrow.csv

DELIMITERS = ",;\t|"
HEADER_BYTES = 1024 * 1024
# A file with more broken rows than this is not the table that somebody took it for.
MOST_MISREAD = 100_000


class CsvTable:
    """One CSV file with a header."""

    is_open = False
    row_count: int | None = None

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path, self._limit = path, limit
        with TextBytes(path, limit=limit) as text:
            head = text.read(HEADER_BYTES).decode("utf-8-sig", errors="ignore")
        self._delimiter = _delimiter(head)
        self.columns: Sequence[str] = _header(head, self._delimiter)

    def values(self, names: Sequence[str]) -> Iterator[Values]:
        for rows in self.rows(names):
            yield Values(
                rows.index.tolist(), {name: _listed(each) for name, each in rows.columns.items()}, rows.misread
            )

    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        broken = _Broken(self.columns, self._delimiter)
        with TextBytes(self._path, limit=self._limit) as text:
            good = 0
            for batch in self._batches(text, names, broken):
                # Good row k stands where k good rows and the broken ones among them came before.
                index = np.arange(good, good + len(batch), dtype=np.int64)
                index += np.searchsorted(broken.places(), index, side="right")
                good += len(batch)
                last = int(index[-1]) if len(index) else -1
                yield Rows(index, dict(zip(names, batch.columns, strict=True)), broken.take(before=last))
            if not good and not broken.seen:
                raise Unreadable("the file has a header and no rows")
            yield Rows(np.empty(0, np.int64), dict.fromkeys(names, _EMPTY), broken.take())

    def _batches(self, text: TextBytes, names: Sequence[str], broken: "_Broken") -> Iterator[Any]:
        try:
            yield from arrow_csv.open_csv(
                arrow.PythonFile(text, "r"),
                # One thread: with several, nobody would tell where a broken row stood.
                read_options=arrow_csv.ReadOptions(block_size=LONGEST_LINE, use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=broken.note
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, TEXTS), include_columns=list(names), strings_can_be_null=False
                ),
            )
        except arrow.ArrowException as error:
            if broken.gave_up:
                detail = f"more than {MOST_MISREAD} rows do not have the {len(self.columns)} columns of the header"
                raise Unreadable(detail) from None
            if "Empty CSV" not in str(error):  # a header without an end of line: no rows, which the caller notices
                raise _unreadable(error) from None


def _listed(column: TextColumn) -> list[str]:
    """The texts of a column: Arrow would make each of them anew."""
    texts = column.dictionary.to_pylist()
    return [texts[code] for code in column.indices.to_pylist()]


_EMPTY = arrow.array([], TEXTS)


class _Broken:
    """Rows with too many or too few columns, as Arrow reports them."""

    def __init__(self, columns: Sequence[str], delimiter: str) -> None:
        self._columns, self._delimiter = columns, delimiter
        self._places: list[int] = []
        self._fresh: list[Misread] = []
        self.gave_up = False

    @property
    def seen(self) -> int:
        return len(self._places)

    def note(self, row: Any) -> str:
        index = row.number - 2  # counted from 1, the header included
        self._places.append(index)
        if len(self._places) > MOST_MISREAD:
            self.gave_up = True
            return "error"
        values = dict(zip(self._columns, _cells(row.text, self._delimiter), strict=False))
        code, detail = (
            "wrong_column_count",
            f"the row has {row.actual_columns} columns, the header {row.expected_columns}",
        )
        if row.text.count('"') % 2:
            code, detail = "unclosed_quote", 'a quotation mark (") is never closed: all that follows it is in this row'
        self._fresh.append(Misread(index, code, detail, {**values, "row": row.text}))
        return "skip"

    def places(self) -> Integers:
        """How many good rows came before each broken one."""
        return np.array(self._places, np.int64) - np.arange(len(self._places))

    def take(self, *, before: int | None = None) -> list[Misread]:
        """Those not taken yet, up to a place: Arrow may have read ahead, and who resumes must see them here again."""
        taken = [each for each in self._fresh if before is None or each.index < before]
        self._fresh = self._fresh[len(taken) :]
        return taken


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _delimiter(head: str) -> str:
    """What separates the names of the header: whichever of the usual signs stands there most."""
    line = next((line for line in head.splitlines() if line.strip()), "")
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _header(head: str, delimiter: str) -> list[str]:
    try:
        names = next((row for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter) if row), [])
    except csv.Error as error:
        raise Unreadable(f"the header cannot be read as CSV: {error}") from None
    if any("\x00" in name for name in names):
        raise Unreadable("the header has NUL characters: the file is UTF-16 or no text at all")
    if not any(name.strip() for name in names):
        raise Unreadable("the first line names no columns")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Unreadable(f"columns stand twice in the header: {', '.join(map(repr, sorted(twice)))}; rename them")
    return names


def _unreadable(error: Exception) -> Unreadable:
    reason = str(error).partition("\n")[0]
    if "straddling" in reason:
        return Unreadable(f'a row is longer than {LONGEST_LINE} bytes: a quotation mark (") is probably never closed')
    return Unreadable(f"the file cannot be read as CSV: {reason[:300]}")
