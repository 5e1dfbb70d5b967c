"""Columns to PostgreSQL's binary COPY format, whole columns at a time."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from app.db.engine import Session, driver

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
# Small enough that PostgreSQL indexes one slice while the next is being encoded, large enough to be few.
SLICE_ROWS = 2_500
MAX_PADDING = 4
NUMERIC_BASE, NUMERIC_NEGATIVE = 10_000, 0x4000
MILLIONTHS, DECIMALS = 10**6, 6

# PostgreSQL counts microseconds from 2000-01-01.
POSTGRES_EPOCH_MICROS = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """One column's values as bytes in row order; a length of -1 is null."""

    lengths: Integers
    data: Bytes


def text(values: Sequence[str | None]) -> Field:
    """text and char(n): UTF-8 bytes; None is null."""
    try:
        joined = "".join(values)  # type: ignore[arg-type]  # None is what the except is for
        present: Sequence[str] = values  # type: ignore[assignment]
    except TypeError:
        present = [value or "" for value in values]
        joined = "".join(present)
    if joined.isascii():
        lengths = np.fromiter(map(len, present), np.int64, len(values))
        data = joined.encode()
    else:
        encoded = [value.encode() for value in present]
        lengths = np.fromiter(map(len, encoded), np.int64, len(values))
        data = b"".join(encoded)
    if present is not values:
        lengths[np.fromiter((value is None for value in values), np.bool_, len(values))] = -1
    return Field(lengths, np.frombuffer(data, np.uint8))


def constant(value: str | None, rows: int) -> Field:
    """One word, or null, in every row."""
    if value is None:
        return Field(np.full(rows, -1, np.int64), np.empty(0, np.uint8))
    data = value.encode()
    return Field(np.full(rows, len(data), np.int64), np.frombuffer(data * rows, np.uint8))


def words(values: Sequence[str]) -> Field:
    """The same as text, quicker where one word stands in every row."""
    same = bool(values) and values.count(values[0]) == len(values)
    return constant(values[0], len(values)) if same else text(values)


def jsonb(values: Sequence[bytes]) -> Field:
    """jsonb from JSON bytes: the binary form is a version byte and the text."""
    lengths = np.fromiter((len(value) + 1 for value in values), np.int64, len(values))
    return Field(lengths, np.frombuffer(b"".join(b"\x01" + value for value in values), np.uint8))


def _fixed(values: npt.NDArray[Any], nulls: npt.NDArray[np.bool_] | None) -> Field:
    width = values.dtype.itemsize
    lengths = np.full(len(values), width, np.int64)
    if nulls is not None:
        lengths[nulls] = -1
        values = values[~nulls]
    return Field(lengths, np.ascontiguousarray(values).view(np.uint8))


def bigint(values: npt.ArrayLike, nulls: npt.NDArray[np.bool_] | None = None) -> Field:
    return _fixed(np.asarray(values, np.int64).astype(">i8"), nulls)


def integer(values: npt.ArrayLike, nulls: npt.NDArray[np.bool_] | None = None) -> Field:
    return _fixed(np.asarray(values, np.int64).astype(">i4"), nulls)


def double(values: npt.ArrayLike, nulls: npt.NDArray[np.bool_] | None = None) -> Field:
    return _fixed(np.asarray(values, np.float64).astype(">f8"), nulls)


def timestamptz(micros_since_1970: npt.ArrayLike, nulls: npt.NDArray[np.bool_] | None = None) -> Field:
    return _fixed((np.asarray(micros_since_1970, np.int64) - POSTGRES_EPOCH_MICROS).astype(">i8"), nulls)


def numeric(millionths: npt.ArrayLike) -> Field:
    """numeric with up to 6 decimals, from exact integers of a millionth."""
    values = np.asarray(millionths, np.int64)
    whole, fraction = np.divmod(np.abs(values), MILLIONTHS)
    powers = 1
    while int(whole.max(initial=0)) >= NUMERIC_BASE**powers:
        powers += 1
    # Digits to the base of 10,000; PostgreSQL takes zeros before and after, so that all values are equally wide.
    digits = [whole // NUMERIC_BASE**power % NUMERIC_BASE for power in reversed(range(powers))]
    digits += [fraction // 100, fraction % 100 * 100]
    while len(digits) > 1 and not digits[-1].any():
        digits.pop()
    out = np.empty((len(values), 4 + len(digits)), ">i2")
    out[:, 0], out[:, 1], out[:, 3] = len(digits), powers - 1, DECIMALS
    out[:, 2] = np.where(values < 0, NUMERIC_NEGATIVE, 0)
    for place, digit in enumerate(digits):
        out[:, 4 + place] = digit
    return Field(np.full(len(values), 2 * out.shape[1], np.int64), out.view(np.uint8).ravel())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Distinct texts, encoded once; columns name them by their position."""

    texts: Sequence[str]
    encoded: Field
    starts: Integers

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Vocabulary":
        encoded = text(texts)
        return cls(texts, encoded, np.cumsum(encoded.lengths) - encoded.lengths)

    def pick(self, positions: Integers) -> Field:
        """text: one of these words in each row."""
        lengths = self.encoded.lengths[positions]
        # Byte k of the column is byte k - (where its row starts there) of its word.
        shift = np.repeat(self.starts[positions] - (np.cumsum(lengths) - lengths), lengths)
        return Field(lengths, self.encoded.data[np.arange(len(shift)) + shift])


def uuid(values: Sequence[bytes]) -> Field:
    """uuid from its 16 bytes."""
    return Field(np.full(len(values), 16, np.int64), np.frombuffer(b"".join(values), np.uint8))


def encode(fields: Sequence[Field]) -> bytes:
    """Rows in binary COPY format, without header and trailer."""
    return _matrix(fields, prefix=struct.pack(">h", len(fields)))


def values(field: Field) -> bytes:
    """Each value of a column behind its length: the elements of a binary array."""
    return _matrix([field], prefix=b"")


def _matrix(fields: Sequence[Field], *, prefix: bytes) -> bytes:
    """Row by row: the prefix, then each value behind its length.

    Rows are laid out in a matrix as wide as the longest value of each column; a mask then drops the padding.
    """
    rows = len(fields[0].lengths)
    widths = [int(max(field.lengths.max(initial=0), 0)) for field in fields]
    width = len(prefix) + sum(4 + each for each in widths)
    if rows > 1 and rows * width > MAX_PADDING * (rows * 64 + sum(len(field.data) for field in fields)):
        # A few values are far longer than the rest: padding all rows to them would waste memory.
        return b"".join(_matrix(half, prefix=prefix) for half in _cut(fields, [0, rows // 2, rows]))
    out = np.empty((rows, width), np.uint8)
    keep = np.ones((rows, width), np.bool_)
    out[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    at = len(prefix)
    for field, longest in zip(fields, widths, strict=True):
        out[:, at : at + 4] = field.lengths.astype(">i4").view(np.uint8).reshape(rows, 4)
        at += 4
        if len(field.data) == rows * longest:
            out[:, at : at + longest] = field.data.reshape(rows, longest)
        else:
            held = np.arange(longest) < field.lengths[:, None]
            out[:, at : at + longest][held] = field.data
            keep[:, at : at + longest] = held
        at += longest
    return out[keep].tobytes()


def _cut(fields: Sequence[Field], bounds: Sequence[int]) -> list[list[Field]]:
    """The same columns in consecutive ranges of rows."""
    ends = [np.concatenate(([0], np.cumsum(np.maximum(field.lengths, 0)))) for field in fields]
    return [
        [Field(field.lengths[i:j], field.data[end[i] : end[j]]) for field, end in zip(fields, ends, strict=True)]
        for i, j in pairwise(bounds)
    ]


async def copy_into(session: Session, table: str, columns: dict[str, Field]) -> None:
    """COPY whole columns into a table, in the order of the rows."""
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    fields = list(columns.values())
    rows = len(fields[0].lengths)
    connection = await driver(session)
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(HEADER)
        for part in _cut(fields, [*range(0, rows, SLICE_ROWS), rows]):
            await copy.write(encode(part))
        await copy.write(TRAILER)
