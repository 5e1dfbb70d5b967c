"""Rows of a file that belong together as one transaction, and what they say of it together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from app.records.imports.assembling.columns import NOTHING, Column
from app.records.imports.assembling.instants import Reason
from app.records.imports.reading.table import Integers

_LARGEST = np.iinfo(np.int64).max
_LARGEST_CODE = np.int32(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows of some transactions: those of the first, in their order in the file, then those of the next.

    index says where each row stands in the file; counts has an entry of at least 1 for each transaction; currency is
    that of rows which name none.
    """

    index: Integers
    counts: Integers
    columns: Mapping[str, Column]
    currency: str | None
    starts: Integers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", np.cumsum(self.counts) - self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def has_items(self) -> bool:
        """Whether rows are lines with a product, a quantity and a price, and not amounts."""
        return "amount" not in self.columns

    def of(self, transaction: int) -> range:
        """The rows of one transaction."""
        start = int(self.starts[transaction])
        return range(start, start + int(self.counts[transaction]))


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a transaction cannot be stored: the row of the file and the field at fault."""

    row: int
    field: str
    reason: Reason


class Blames:
    """The first thing found wrong with each transaction."""

    def __init__(self, lines: Lines) -> None:
        self._index = lines.index
        self._owner = np.repeat(np.arange(len(lines)), lines.counts)
        self.found: dict[int, Blame] = {}

    def put(self, line: int, name: str, reason: Reason) -> None:
        self.found.setdefault(int(self._owner[line]), Blame(int(self._index[line]), name, reason))


def blame_cells(lines: Lines, blames: Blames, needed: tuple[str, ...]) -> None:
    """Find cells that cannot be read, and empty ones where something must stand, in the order of the rows."""
    found: list[tuple[int, str, Reason]] = []
    for name, column in lines.columns.items():
        if column.flaws:
            bad = np.flatnonzero(column.flawed).tolist()
            found += [(line, name, column.flaws[int(column.codes[line])]) for line in bad]
    for name in needed:
        empty = np.flatnonzero(lines.columns[name].codes == NOTHING).tolist()
        found += [(line, name, ("missing_field", f"{name} is empty")) for line in empty]
    for line, name, reason in sorted(found, key=lambda each: each[0]):
        blames.put(line, name, reason)


def agreed(lines: Lines, name: str, blames: Blames) -> Column | None:
    """What the rows of each transaction say of the whole: an empty cell says nothing, two answers are a fault.

    Null when the file has no such column.
    """
    column = lines.columns.get(name)
    if column is None or len(lines) == len(lines.index):
        return column
    largest = np.maximum.reduceat(column.codes, lines.starts)
    said = np.where(column.codes == NOTHING, _LARGEST_CODE, column.codes)
    smallest = np.minimum.reduceat(said, lines.starts)
    for transaction in np.flatnonzero((largest != NOTHING) & (smallest != largest)).tolist():
        detail = f"the rows of one transaction differ in {name}"
        blames.put(_first_other(lines, column, transaction), name, ("lines_disagree", detail))
    return column.with_codes(largest)


def _first_other(lines: Lines, column: Column, transaction: int) -> int:
    """The first row of a transaction that contradicts a row before it."""
    said = [line for line in lines.of(transaction) if column.codes[line] != NOTHING]
    return next(line for line in said if column.codes[line] != column.codes[said[0]])


def earliest(lines: Lines, name: str, blames: Blames) -> Integers:
    """The earliest of the instants of each transaction; 0 where there is none, which is a fault."""
    column = lines.columns[name]
    usable = (column.codes != NOTHING) & ~column.flawed
    first = np.minimum.reduceat(np.where(usable, column.values, _LARGEST), lines.starts)
    for transaction in np.flatnonzero(first == _LARGEST).tolist():
        blames.put(int(lines.starts[transaction]), name, ("missing_field", f"{name} is empty"))
    return np.where(first == _LARGEST, 0, first)
