"""The facts of a customer packed end to end, so that those of thousands are read as columns at once.

A fact is its instant, what it is, and its amount in minor units of the reporting currency, in big-endian integers as
PostgreSQL sends them. The amount is in two parts, for what one of them cannot hold: a rate may multiply the largest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, literal, literal_column
from sqlalchemy.dialects.postgresql import BYTEA

# Microseconds since 2000, as the server counts them.
RECORD = np.dtype([("at", ">i8"), ("kind", ">i2"), ("low", ">i8"), ("high", ">i8")])
PURCHASE, REFUND, UNRATED = 0, 1, 2
PART = 10**18

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Columns of facts, each with the number of its customer. Amounts are exact: objects where 64 bits do not do."""

    customer: Integers
    at: Integers
    is_refund: npt.NDArray[np.bool_]
    is_unrated: npt.NDArray[np.bool_]
    minor: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.at)


def packed(
    occurred_at: ColumnElement[Any], kind: ColumnElement[Any], amount: ColumnElement[Any]
) -> ColumnElement[bytes]:
    """A fact as bytes; its amount null: no rate was given."""
    # Nearly every fact is packed by constants and two calls; all others are there for correctness alone.
    refund = kind == "refund"
    what = case(
        (and_(amount.is_(None), refund), _what(REFUND | UNRATED)),
        (amount.is_(None), _what(PURCHASE | UNRATED)),
        (refund, _what(REFUND)),
        else_=_what(PURCHASE),
    )
    known, part = func.coalesce(amount, 0), literal(PART, BigInteger)
    fits = known < part
    parts = (
        func.timestamptz_send(occurred_at, type_=BYTEA),
        what,
        func.int8send(cast(case((fits, known), else_=func.mod(known, part)), BigInteger), type_=BYTEA),
        case((fits, _constant(bytes(8))), else_=func.int8send(cast(func.div(known, part), BigInteger), type_=BYTEA)),
    )
    whole: ColumnElement[bytes] = parts[0]
    for each in parts[1:]:
        whole = whole.op("||", return_type=BYTEA())(each)
    return whole


def _what(number: int) -> ColumnElement[bytes]:
    return _constant(number.to_bytes(2, "big"))


def _constant(value: bytes) -> ColumnElement[bytes]:
    return literal_column(f"'\\x{value.hex()}'::bytea", BYTEA)


def unpacked(numbers: Mapping[str, int], of: Sequence[tuple[str, bytes]]) -> Facts:
    """The facts of some customers, whose numbers are given."""
    records = np.frombuffer(b"".join(facts for _, facts in of), RECORD)
    customers = np.array([numbers[name] for name, _ in of], np.int64)
    counts = np.array([len(facts) // RECORD.itemsize for _, facts in of], np.int64)
    minor: npt.NDArray[Any] = records["low"].astype(np.int64)
    if records["high"].any():
        minor = minor.astype(object) + records["high"].astype(object) * PART
    kind = records["kind"]
    return Facts(
        customer=np.repeat(customers, counts),
        at=records["at"].astype(np.int64),
        is_refund=(kind & REFUND).astype(np.bool_),
        is_unrated=(kind & UNRATED).astype(np.bool_),
        minor=minor,
    )
