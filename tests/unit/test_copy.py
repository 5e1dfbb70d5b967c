"""The binary COPY format, against what psycopg itself writes for the same rows."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.db import copy

WORDS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=30,
)


def row_by_row(rows: list[tuple[str | None, int]]) -> bytes:
    """The format as PostgreSQL's documentation gives it (COPY, Binary Format), one row at a time."""
    out = b""
    for word, number in rows:
        data = None if word is None else word.encode()
        out += struct.pack(">h", 2)
        out += struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
        out += struct.pack(">iq", 8, number)
    return out


@given(WORDS)
def test_columns_give_the_same_bytes_as_rows(rows: list[tuple[str | None, int]]) -> None:
    fields = [copy.text([word for word, _ in rows]), copy.bigint([number for _, number in rows])]
    assert copy.encode(fields) == row_by_row(rows)


def test_one_very_long_value_does_not_widen_every_row() -> None:
    rows: list[tuple[str | None, int]] = [("x", n) for n in range(200)]
    rows[77] = ("y" * 100_000, 77)
    fields = [copy.text([word for word, _ in rows]), copy.bigint([number for _, number in rows])]
    assert copy.encode(fields) == row_by_row(rows)


def test_nulls_in_number_columns() -> None:
    nulls = np.array([False, True, False])
    encoded = copy.encode([copy.bigint([1, 2, 3], nulls)])
    expected = struct.pack(">hiq", 1, 8, 1) + struct.pack(">hi", 1, -1) + struct.pack(">hiq", 1, 8, 3)
    assert encoded == expected


def test_a_constant_stands_in_every_row() -> None:
    assert copy.encode([copy.constant("ab", 2)]) == 2 * (struct.pack(">hi", 1, 2) + b"ab")
    assert copy.encode([copy.constant(None, 2)]) == 2 * struct.pack(">hi", 1, -1)
