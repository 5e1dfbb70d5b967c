"""Parquet as columns of texts or values, a few thousand rows at a time."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow.parquet

from app.errors import TooLarge, Unreadable
from app.records.imports.reading.files import GZIP, unpacked
from app.records.imports.reading.table import Rows, TextColumn, Values, arrow, text_of

parquet: Any = pyarrow.parquet

BATCH_ROWS = 20_000


class ParquetTable:
    """One Parquet file."""

    is_open = False

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path, self._limit = path, limit
        with self._opened() as file:
            self.columns: Sequence[str] = file.schema_arrow.names
            self.row_count: int | None = file.metadata.num_rows
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise Unreadable(f"columns stand twice in the file: {', '.join(map(repr, sorted(twice)))}; rename them")

    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        for first, batch in self._batches(names):
            columns = {name: _texts(batch.column(name)) for name in names}
            yield Rows(np.arange(first, first + len(batch), dtype=np.int64), columns)

    def values(self, names: Sequence[str]) -> Iterator[Values]:
        for first, batch in self._batches(names):
            columns = {name: [_value(each) for each in batch.column(name).to_pylist()] for name in names}
            yield Values(range(first, first + len(batch)), columns)

    def _batches(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        first = 0
        with self._opened() as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(names)):
                batch.validate(full=True)
                yield first, batch
                first += len(batch)
        if not first:
            raise Unreadable("the file has no rows")

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with _seekable(self._path, self._limit) as source:
            try:
                with parquet.ParquetFile(source) as file:
                    yield file
            except (arrow.ArrowException, OSError) as error:
                reason = str(error).partition("\n")[0][:300]
                raise Unreadable(f"the file cannot be read as Parquet: {reason}") from None


@contextmanager
def _seekable(path: Path, limit: int | None) -> Iterator[IO[bytes]]:
    """The file itself, or a copy of it without the gzip around it: Parquet is read from its end."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != GZIP:
            yield file
            return
    with unpacked(path) as packed, tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(packed, copy)
        except (EOFError, OSError) as error:
            raise Unreadable(f"the gzip around the file is damaged: {error}") from None
        if limit is not None and copy.tell() > limit:
            raise TooLarge(f"the file unpacks to more than {limit} bytes")
        yield copy


def _texts(column: Any) -> TextColumn:
    """Any column as the texts that a CSV of it would have."""
    kind = column.type
    if arrow.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if arrow.types.is_timestamp(kind):
        # Digits past the microsecond are cut off, as everywhere.
        column = column.cast(arrow.timestamp("us", "UTC" if kind.tz else None), safe=False)
    if (
        arrow.types.is_string(column.type)
        or arrow.types.is_large_string(column.type)
        or arrow.types.is_temporal(column.type)
    ):
        return column.cast(arrow.string()).dictionary_encode()
    different = column.dictionary_encode() if _has_dictionary(kind) else None
    if different is None:
        return arrow.array([text_of(_value(each)) for each in column.to_pylist()], arrow.string()).dictionary_encode()
    texts = arrow.array([text_of(_value(each)) for each in different.dictionary.to_pylist()], arrow.string())
    return arrow.DictionaryArray.from_arrays(different.indices, texts)


def _has_dictionary(kind: Any) -> bool:
    return bool(arrow.types.is_primitive(kind) or arrow.types.is_decimal(kind))


def _value(value: Any) -> Any:
    """What Arrow gives, as JSON has it: exact numbers and times as text."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value
