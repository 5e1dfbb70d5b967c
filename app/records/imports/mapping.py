"""Which column of a file is which field: as the caller says, else by equal names."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import FieldError, InvalidInput
from app.records.imports.definitions import ITEMS, LINE_FIELDS
from app.records.imports.options import Options

SHOWN_COLUMNS = 60


@dataclass(frozen=True, slots=True)
class Mapping:
    """The column of each field in use, the columns nobody asked for, and whether rows are lines of transactions."""

    columns: dict[str, str]
    ignored: list[str]
    has_lines: bool = False
    has_documents: bool = False


def mapping_of(options: Options, columns: Sequence[str], *, is_open: bool) -> Mapping:
    """Match the columns there are; is_open says that later rows may have others. Raises InvalidInput."""
    importable, given = options.importable, dict(options.columns)
    missing = [column for column in given.values() if column not in columns]
    if missing:
        raise _wrong("map", "unknown_column", f"there is no column {missing[0]!r}; {_shown(columns)}")
    named = [column for column in columns if importable.meaning(column) and column not in given]
    if is_open:
        named += [field for field in importable.fields if field not in (*named, *given, *LINE_FIELDS, "amount", ITEMS)]
    found = {field: field for field in named} | given
    has_lines = _settle_amounts(options, found) if options.records == "transactions" else False
    _refuse_gaps(options, found, columns)
    # Whole documents first: their parts that stand in columns of their own are put into them.
    found = {field: found[field] for field in sorted(found, key=lambda field: "." in field)}
    ignored = [column for column in columns if column not in found.values()]
    return Mapping(found, ignored, has_lines, options.records != "transactions" or ITEMS in found)


def _settle_amounts(options: Options, found: dict[str, str]) -> bool:
    """Decide whether amounts come from lines or from a column; what is not used for it goes. Whether from lines."""
    lines = [field for field in LINE_FIELDS if field in found]
    asked = [field for field in LINE_FIELDS if field in options.columns]
    if len(lines) == len(LINE_FIELDS) and ITEMS not in options.columns:
        if "amount" in options.columns:
            detail = "the amount is the sum of the lines: map either amount, or product_id, quantity and unit_price"
            raise _wrong("map", "invalid_map", detail)
        found.pop("amount", None)
        found.pop(ITEMS, None)
        return True
    if asked:
        missing = ", ".join(field for field in LINE_FIELDS if field not in found)
        raise _wrong("map", "invalid_map", f"lines need product_id, quantity and unit_price; missing: {missing}")
    for field in lines:
        del found[field]
    return False


def _refuse_gaps(options: Options, found: dict[str, str], columns: Sequence[str]) -> None:
    needed = list(options.importable.required)
    if options.records == "transactions" and not set(LINE_FIELDS) <= found.keys():
        needed.append("amount")
    for field in needed:
        if found.get(field) not in columns:
            detail = f"no column is {field!r}, which {options.records} need: map it; {_shown(columns)}"
            raise _wrong("map", "missing_field", detail)
    if options.records == "transactions" and options.currency is None and found.get("currency") not in columns:
        detail = f"no column is 'currency': map one, or give the currency of the whole file; {_shown(columns)}"
        raise _wrong("currency", "missing_field", detail)


def _shown(columns: Sequence[str]) -> str:
    more = "" if len(columns) <= SHOWN_COLUMNS else f" and {len(columns) - SHOWN_COLUMNS} more"
    return f"the file has {', '.join(map(repr, columns[:SHOWN_COLUMNS]))}{more}"


def _wrong(parameter: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(parameter, code, detail)])
