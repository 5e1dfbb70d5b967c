"""`to_minor` for ten thousand amounts at once, because the bulk write path cannot afford a call per row."""

from collections.abc import Sequence
from decimal import Decimal
from typing import cast

import numpy as np
from numpy.typing import NDArray

from app.money.amounts import InvalidAmount, scaled

# Decimals of up to 15 significant digits and doubles correspond one to one (IEEE 754: DBL_DIG = 15). Up to here a
# float therefore says which decimal was meant, and x * 10**e is off by less than a quarter before rounding.
_UNAMBIGUOUS = 10**15
_DIGITS = 15


def to_minor_array(amounts: Sequence[object], exponent: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give (minor units, left over): agrees with `to_minor` wherever `left over` is false.

    A row left over is bad, or needs more care than the fast path takes: ask `to_minor` for its value or its error.
    Its minor units read 0 here.
    """
    kinds = set(map(type, amounts))
    if kinds == {str}:
        floats = _floats_from_text(cast("Sequence[str]", amounts))
    elif kinds == {Decimal}:
        floats = _floats_from_text(list(map(str, amounts)))
    elif kinds <= {int, float}:
        floats = _floats(cast("Sequence[float]", amounts))
    else:
        floats = None
    return _one_by_one(amounts, exponent) if floats is None else _rounded(floats, exponent)


def _floats_from_text(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Read the texts if every one is a plain decimal that a float holds without doubt.

    float() reads more than plain decimals; what it alone would accept is looked for in the joined bytes.
    """
    joined = "\n" + "\n".join(texts) + "\n"
    if not joined.isascii():
        return None
    raw = joined.encode()
    if raw.translate(None, b"0123456789.+-") != b"\n" * (len(texts) + 1):
        return None
    characters = np.frombuffer(raw, dtype=np.uint8)
    longest = np.diff(np.flatnonzero(characters == ord("\n"))).max() - 1
    if longest > _DIGITS or _has_bare_point(characters):
        return None
    return _floats(texts)


def _has_bare_point(characters: NDArray[np.uint8]) -> bool:
    """Tell whether a point lacks a digit on either side, as in "1." and ".5"."""
    # Below "0" the difference wraps round to more than 9.
    digit = characters - np.uint8(ord("0")) <= 9
    point = characters == ord(".")
    return bool(np.any(point[1:-1] & ~(digit[:-2] & digit[2:])))


def _floats(amounts: Sequence[str] | Sequence[float]) -> NDArray[np.float64] | None:
    try:
        return np.fromiter(map(float, amounts), dtype=np.float64, count=len(amounts))
    except (ValueError, OverflowError):
        return None


def _rounded(floats: NDArray[np.float64], exponent: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    unit = 10.0**exponent
    # Infinity and NaN are rows to be left over, not something to warn of.
    with np.errstate(all="ignore"):
        nearest = np.rint(floats * unit)
        sure = (nearest / unit == floats) & (np.abs(nearest) <= _UNAMBIGUOUS)
    return np.where(sure, nearest, 0.0).astype(np.int64), ~sure


def _one_by_one(amounts: Sequence[object], exponent: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    minor = np.zeros(len(amounts), dtype=np.int64)
    left_over = np.zeros(len(amounts), dtype=np.bool_)
    for row, amount in enumerate(amounts):
        try:
            minor[row] = scaled(amount, exponent, unit="currency")
        except InvalidAmount:
            left_over[row] = True
    return minor, left_over
