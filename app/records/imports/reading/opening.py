"""Opening a file as a table, whatever its format."""

from collections.abc import Callable
from pathlib import Path

from app.records.imports.reading.csv_table import CsvTable
from app.records.imports.reading.files import Format, count_lines, require_format
from app.records.imports.reading.ndjson_table import NdjsonTable
from app.records.imports.reading.parquet_table import ParquetTable
from app.records.imports.reading.table import Table

TABLES: dict[Format, Callable[..., Table]] = {"csv": CsvTable, "ndjson": NdjsonTable, "parquet": ParquetTable}


def open_table(path: Path, format_: Format, *, limit: int | None = None) -> Table:
    """The table in a file. Raises Unreadable or TooLarge when there is none in it."""
    require_format(path, format_)
    return TABLES[format_](path, limit=limit)


def checked_row_count(path: Path, format_: Format, table: Table, *, limit: int | None = None) -> int:
    """How many rows the file has, at most, after looking at all of it: what is damaged is refused before row one."""
    if table.row_count is not None:
        return table.row_count
    return count_lines(path, limit=limit) - (format_ == "csv")
