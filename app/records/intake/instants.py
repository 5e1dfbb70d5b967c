"""Columns of RFC 3339 texts as microseconds, all at once where they look alike."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from app.clock import InvalidInstant, parse_instant

Integers = npt.NDArray[np.int64]

# On the wire an instant is text; it is read here and not by the decoder, whose objects would cost more than
# everything else of a row.
InstantText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

# Outside of these no shop ever sold anything: a wrong unit, or a default value of some program.
EARLIEST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATEST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

# 2026-11-01T10:15:00Z
_WIDTH = 20
_DIGITS = np.array([i for i, mark in enumerate("0000-00-00T00:00:00Z") if mark == "0"])
_MARKS = np.array([i for i, mark in enumerate("0000-00-00T00:00:00Z") if mark != "0"])
_EXPECTED_MARKS = np.frombuffer(b"--T::Z", np.uint8)


def micros_of(texts: Sequence[str]) -> tuple[Integers, list[tuple[int, str, str]]]:
    """Microseconds since 1970, and for texts that are no instant: position, code, sentence. Those read 0."""
    alike = _whole_seconds_in_utc(texts)
    if alike is not None:
        return alike, []
    micros = np.zeros(len(texts), np.int64)
    wrong: list[tuple[int, str, str]] = []
    for position, text in enumerate(texts):
        try:
            micros[position] = round(parse_instant(text).timestamp() * 1_000_000)
        except InvalidInstant as error:
            wrong.append((position, error.code, str(error)))
    return micros, wrong


def _whole_seconds_in_utc(texts: Sequence[str]) -> Integers | None:
    """All of them at once, when every one is written like 2026-11-01T10:15:00Z and is a real and usual instant."""
    joined = "".join(texts)
    if not texts or len(joined) != _WIDTH * len(texts) or not joined.isascii():
        return None
    # Equal widths on average are not yet equal widths: the marks must stand where they should in every row.
    letters = np.frombuffer(joined.encode(), np.uint8).reshape(-1, _WIDTH)
    digits = letters[:, _DIGITS]
    if (letters[:, _MARKS] != _EXPECTED_MARKS).any() or (digits < 48).any() or (digits > 57).any():
        return None
    try:
        seconds = np.ascontiguousarray(letters[:, : _WIDTH - 1]).view("S19").ravel().astype("datetime64[us]")
    except ValueError:
        return None
    micros: Integers = seconds.astype(np.int64)
    return None if (micros < EARLIEST).any() or (micros >= LATEST).any() else micros
