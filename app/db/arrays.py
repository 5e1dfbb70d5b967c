"""Whole columns as array parameters, in PostgreSQL's binary form: psycopg would write them value by value."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

from app.db import copy

# Numbers of the element and array types, fixed in PostgreSQL's catalogue: bytea, int8, text, float8, timestamptz.
_BYTEA, _BYTEA_ARRAY = 17, 1001
_INT8, _INT8_ARRAY = 20, 1016
_TEXT, _TEXT_ARRAY = 25, 1009
_FLOAT8, _FLOAT8_ARRAY = 701, 1022
_TIMESTAMPTZ, _TIMESTAMPTZ_ARRAY = 1184, 1185
# A length of -1.
_NULL = b"\xff\xff\xff\xff"
FEW = 32


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """A one-dimensional array as the server reads it; pass it as a query parameter."""

    oid: int
    content: bytes


def texts(values: Sequence[str | None] | copy.Field) -> BinaryArray:
    """text[]"""
    if not isinstance(values, copy.Field) and 0 < len(values) <= FEW:
        return _few([None if value is None else value.encode() for value in values])
    return _array(values if isinstance(values, copy.Field) else copy.text(values), _TEXT, _TEXT_ARRAY)


def blobs(values: Sequence[bytes]) -> BinaryArray:
    """bytea[]"""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    return _array(copy.Field(lengths, np.frombuffer(b"".join(values), np.uint8)), _BYTEA, _BYTEA_ARRAY)


def bigints(values: npt.ArrayLike, nulls: npt.NDArray[np.bool_] | None = None) -> BinaryArray:
    """int8[]"""
    return _array(copy.bigint(values, nulls), _INT8, _INT8_ARRAY)


def doubles(values: npt.ArrayLike) -> BinaryArray:
    """float8[]"""
    if isinstance(values, list) and 0 < len(values) <= FEW:
        return _few_of_eight_bytes(_FLOAT8, _FLOAT8_ARRAY, values, "d")
    return _array(copy.double(values), _FLOAT8, _FLOAT8_ARRAY)


def timestamps(micros_since_1970: npt.ArrayLike) -> BinaryArray:
    """timestamptz[]"""
    if isinstance(micros_since_1970, list | tuple) and 0 < len(micros_since_1970) <= FEW:
        since_2000 = [micros - copy.POSTGRES_EPOCH_MICROS for micros in micros_since_1970]
        return _few_of_eight_bytes(_TIMESTAMPTZ, _TIMESTAMPTZ_ARRAY, since_2000, "q")
    return _array(copy.timestamptz(micros_since_1970), _TIMESTAMPTZ, _TIMESTAMPTZ_ARRAY)


def _few(values: Sequence[bytes | None]) -> BinaryArray:
    """The same as _array makes, for so few values that whole columns do not pay."""
    parts = [struct.pack(">iiIii", 1, int(None in values), _TEXT, len(values), 1)]
    for value in values:
        parts += [_NULL] if value is None else [len(value).to_bytes(4, "big"), value]
    return BinaryArray(_TEXT_ARRAY, b"".join(parts))


def _few_of_eight_bytes(element: int, oid: int, values: Sequence[float], code: str) -> BinaryArray:
    """The same for numbers without nulls."""
    parts = [part for value in values for part in (8, value)]
    return BinaryArray(oid, struct.pack(f">iiIii{len(values) * ('i' + code)}", 1, 0, element, len(values), 1, *parts))


def _array(field: copy.Field, element: int, oid: int) -> BinaryArray:
    count = len(field.lengths)
    if not count:
        return BinaryArray(oid, struct.pack(">iiI", 0, 0, element))
    has_nulls = int((field.lengths < 0).any())
    # Dimensions, whether there are nulls, the type of the elements, how many, counted from 1; then each value
    # behind its length, as in COPY.
    header = struct.pack(">iiIii", 1, has_nulls, element, count, 1)
    return BinaryArray(oid, header + copy.values(field))


class _BinaryArrayDumper(Dumper):
    format = Format.BINARY

    def get_key(self, obj: Any, format: PyFormat) -> Any:  # noqa: ARG002  # psycopg's names
        return (self.cls, obj.oid)

    def upgrade(self, obj: Any, format: PyFormat) -> "_BinaryArrayDumper":  # noqa: ARG002  # psycopg's names
        dumper = type(self)(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: Any) -> Buffer:
        content: bytes = obj.content
        return content


psycopg.adapters.register_dumper(BinaryArray, _BinaryArrayDumper)
