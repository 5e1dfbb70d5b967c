"""NDJSON as rows: decoded a block of lines at a time, line by line only where a block has a bad one."""

import codecs
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from app.errors import Unreadable
from app.records.imports.reading.files import LONGEST_LINE, TextBytes
from app.records.imports.reading.table import TEXTS, Misread, Rows, Values, arrow, text_of

BLOCK_BYTES = 1024 * 1024
# So many rows are looked at to learn which columns there are.
ROWS_LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class _Block:
    """Some objects, and where each stood."""

    index: Sequence[int]
    rows: Sequence[dict[str, Any]]
    misread: list[Misread]


_decoder = msgspec.json.Decoder(dict[str, Any])


class NdjsonTable:
    """One file of JSON objects, one to a line."""

    is_open = True
    row_count: int | None = None

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path, self._limit = path, limit
        first = next(self._blocks(), None)
        rows = first.rows[:ROWS_LOOKED_AT] if first else []
        if not rows:
            raise Unreadable("no row at the beginning of the file is a JSON object")
        self.columns: Sequence[str] = list(dict.fromkeys(name for row in rows for name in row))

    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        for block in self._blocks():
            columns = {
                name: arrow.array([text_of(row.get(name)) for row in block.rows], arrow.string()).cast(TEXTS)
                for name in names
            }
            yield Rows(np.array(block.index, np.int64), columns, block.misread)

    def values(self, names: Sequence[str]) -> Iterator[Values]:
        for block in self._blocks():
            columns = {name: [row.get(name) for row in block.rows] for name in names}
            yield Values(block.index, columns, block.misread)

    def _blocks(self) -> Iterator[_Block]:
        done = 0
        with TextBytes(self._path, limit=self._limit) as text:
            # Readers ask for what they need; this keeps the pieces of lines between two reads.
            lines = io.BufferedReader(text, LONGEST_LINE)
            while block := lines.readlines(BLOCK_BYTES):
                block[0] = block[0].removeprefix(codecs.BOM_UTF8)
                found = _decoded([line for line in block if line.strip()], done)
                done += len(found.index) + len(found.misread)
                yield found


def _decoded(lines: Sequence[bytes], first: int) -> _Block:
    try:
        rows = _decoder.decode_lines(b"".join(lines))
    except (msgspec.MsgspecError, RecursionError):
        return _one_by_one(lines, first)
    # An object over two lines would shift the numbers of all that follow.
    return _Block(range(first, first + len(rows)), rows, []) if len(rows) == len(lines) else _one_by_one(lines, first)


def _one_by_one(lines: Sequence[bytes], first: int) -> _Block:
    found = _Block(index := [], rows := [], [])
    for place, line in enumerate(lines, first):
        try:
            rows.append(_decoder.decode(line))
            index.append(place)
        except (msgspec.MsgspecError, RecursionError) as error:
            text = line.decode(errors="replace").rstrip("\r\n")
            found.misread.append(Misread(place, "unreadable_row", f"not a JSON object: {error}", {"row": text}))
    return found
