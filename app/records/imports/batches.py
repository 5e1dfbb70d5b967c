"""A table cut into batches, each checked and small enough to be stored in one transaction."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.records.imports.assembling.columns import NOTHING, Column, column_of, reader_of
from app.records.imports.assembling.documents import documents
from app.records.imports.assembling.lines import Lines
from app.records.imports.assembling.transactions import PLACE, assembled
from app.records.imports.mapping import Mapping as ColumnMapping
from app.records.imports.options import Options
from app.records.imports.reading.table import Integers, Misread, Rows, Table
from app.records.intake.bulk import Checked
from app.records.intake.outcome import Refusal

BATCH_TRANSACTIONS = 20_000
# Lines weigh less than transactions, which have more indexes.
BATCH_LINES = 100_000
LONGEST_NAME_KEPT = 1_000

# Called with how many rows were read so far, where a whole file is read before anything of it is stored.
Watch = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, checked, and how many rows of the file they are.

    total is the number of rows of the file, where reading it has told; repeats says that a later batch may have the
    same identifiers again.
    """

    checked: Checked[Any]
    rows: int
    total: int | None = None
    repeats: bool = True


def batches(table: Table, mapping: ColumnMapping, options: Options, *, watch: Watch) -> Generator[Batch]:
    """All of a table, in the same batches each time. Raises Unreadable where the file is damaged."""
    if mapping.has_documents:
        yield from _documents(table, mapping, options)
    elif mapping.has_lines:
        yield from _grouped(table, mapping, options, watch)
    else:
        yield from _one_by_one(table, mapping, options)


def _one_by_one(table: Table, mapping: ColumnMapping, options: Options) -> Iterator[Batch]:
    for rows in table.rows(_names(mapping)):
        if rows.misread:
            yield _refused(rows.misread, mapping, options)
        columns = _columns([rows], mapping, options)
        for start in range(0, len(rows.index), BATCH_TRANSACTIONS):
            part = slice(start, start + BATCH_TRANSACTIONS)
            index = rows.index[part]
            lines = Lines(index, np.ones(len(index), np.int64), _taken(columns, part), options.currency)
            yield Batch(assembled(lines, options.source), len(index))


def _documents(table: Table, mapping: ColumnMapping, options: Options) -> Iterator[Batch]:
    for values in table.values(_names(mapping)):
        if values.misread:
            yield _refused(values.misread, mapping, options)
        for start in range(0, len(values.index), BATCH_TRANSACTIONS):
            part = slice(start, start + BATCH_TRANSACTIONS)
            columns = {field: values.columns[name][part] for field, name in mapping.columns.items()}
            checked = documents(columns, values.index[part], options)
            yield Batch(checked, checked.received)


def _grouped(table: Table, mapping: ColumnMapping, options: Options, watch: Watch) -> Iterator[Batch]:
    """Transactions by identifier, once all rows are read: lines of one may stand anywhere in the file."""
    pieces: list[Rows] = []
    misread: list[Misread] = []
    done = 0
    for rows in table.rows(_names(mapping)):
        pieces.append(rows)
        misread += rows.misread
        done += len(rows.index) + len(rows.misread)
        watch(done)
    for start in range(0, len(misread), BATCH_TRANSACTIONS):
        yield _refused(misread[start : start + BATCH_TRANSACTIONS], mapping, options)
    index = np.concatenate([rows.index for rows in pieces])
    columns = _columns(pieces, mapping, options)
    pieces.clear()
    for order, counts in _groups(columns["transaction_id"]):
        lines = Lines(index[order], counts, _taken(columns, order), options.currency)
        yield Batch(assembled(lines, options.source), len(order), done, repeats=False)


def _groups(column: Column) -> Iterator[tuple[Integers, Integers]]:
    """Rows in the order of their transactions, some transactions at a time, and how many rows each has."""
    nameless = np.flatnonzero(column.codes == NOTHING)
    for start in range(0, len(nameless), BATCH_TRANSACTIONS):
        some = nameless[start : start + BATCH_TRANSACTIONS]
        yield some, np.ones(len(some), np.int64)
    named = np.flatnonzero(column.codes != NOTHING)
    by_name = sorted(range(len(column.texts)), key=column.texts.__getitem__)
    rank = np.empty(len(by_name), np.int64)
    rank[by_name] = np.arange(len(by_name))
    ranks = rank[column.codes[named]]
    order = named[np.argsort(ranks, kind="stable")]
    counts = np.bincount(ranks, minlength=len(by_name))
    counts = counts[counts > 0]
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        start = int(ends[first] - counts[first])
        last = int(np.searchsorted(ends, start + BATCH_LINES, side="right"))
        last = min(max(last, first + 1), first + BATCH_TRANSACTIONS)
        yield order[start : int(ends[last - 1])], counts[first:last]
        first = last


def _names(mapping: ColumnMapping) -> list[str]:
    """The columns to read, each once: two fields may come from one."""
    return list(dict.fromkeys(mapping.columns.values()))


def _columns(pieces: Sequence[Rows], mapping: ColumnMapping, options: Options) -> dict[str, Column]:
    zone = options.zone
    return {
        field: column_of([rows.columns[name] for rows in pieces], reader_of(field, zone))
        for field, name in mapping.columns.items()
    }


def _taken(columns: Mapping[str, Column], rows: Integers | slice) -> dict[str, Column]:
    return {field: column.take(rows) for field, column in columns.items()}


def _refused(misread: Sequence[Misread], mapping: ColumnMapping, options: Options) -> Batch:
    """Rows that are no rows, to be kept with what could be made of them."""
    owner = mapping.columns.get("customer_id", "")
    refused = []
    for each in misread:
        named = each.values.get(owner)
        kept = named[:LONGEST_NAME_KEPT].replace("\x00", "") if isinstance(named, str) and named else None
        pointer = f"/{PLACE}/{each.index}"
        refused.append(Refusal(each.index, each.code, pointer, each.detail, orjson.dumps(each.values), kept))
    return Batch(Checked(options.source, None, [], refused, _no_payload, _no_customer, PLACE), len(refused))


def _no_payload(_: int) -> bytes:
    return b""


def _no_customer(_: int) -> None:
    return None
