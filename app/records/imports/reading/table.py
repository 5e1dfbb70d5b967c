"""What all formats of files look like to the import: columns of texts, or columns of whatever JSON has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow

Integers = npt.NDArray[np.int64]

# Arrow publishes no types: to a checker it is anything.
arrow: Any = pyarrow
# Texts as they are read: each different one once, and its number in every row.
TextColumn = Any
TEXTS = arrow.dictionary(arrow.int32(), arrow.string())


@dataclass(frozen=True, slots=True)
class Misread:
    """A row that is not even a row: where it stood, what is wrong, and what could be made of it."""

    index: int
    code: str
    detail: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows in their order: index is where each stands in the file, from 0; columns hold texts."""

    index: Integers
    columns: dict[str, TextColumn]
    misread: list[Misread] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Values:
    """Some rows in their order, by column, with the types that the file gives them; null where there is nothing."""

    index: Sequence[int]
    columns: dict[str, list[Any]]
    misread: list[Misread] = field(default_factory=list)


class Table(Protocol):
    """An opened file. columns are those its beginning shows; is_open says that later rows may have others.

    row_count is the number of rows where the file itself says so, null otherwise.
    """

    columns: Sequence[str]
    is_open: bool
    row_count: int | None

    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        """All rows as texts of these columns; a column that is not there is empty."""
        ...

    def values(self, names: Sequence[str]) -> Iterator[Values]:
        """All rows of these columns, as the file means them."""
        ...


def text_of(value: Any) -> str | None:
    """A JSON value as a cell of a CSV would say it; null says nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The shortest decimal that is this double, without an exponent.
        return format(Decimal(repr(value)), "f")
    if isinstance(value, int | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    return orjson.dumps(value, default=str).decode()
