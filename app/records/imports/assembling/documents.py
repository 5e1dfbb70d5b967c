"""Rows of a file as the JSON objects that could be pushed instead, decoded and checked like any push."""

from collections.abc import Sequence
from datetime import datetime
from types import UnionType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from app.clock import format_instant
from app.records.imports.assembling.instants import instant_of
from app.records.imports.assembling.transactions import PLACE
from app.records.imports.definitions import Importable, Meaning
from app.records.imports.mapping import Mapping
from app.records.imports.options import Options
from app.records.imports.reading.table import text_of
from app.records.intake.bulk import Checked, set_apart
from app.records.intake.outcome import Refusal

FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def documents(
    rows: Sequence[dict[str, Any]], index: Sequence[int], *, mapping: Mapping, options: Options
) -> Checked[Any]:
    """Records of any kind, one from each row."""
    kind, zone = options.importable.kind, options.zone
    read: list[Any] = []
    places: list[int] = []
    refused: list[Refusal] = []
    for place, row in zip(index, rows, strict=True):
        document = orjson.dumps(
            _document(row, mapping, options.importable, zone=zone) | _defaults(row, mapping, options)
        )
        found = kind.envelope.read_one(document, index=place)
        if isinstance(found, Refusal):
            refused.append(_renamed(found, kind.envelope.name))
        else:
            read.append(found)
            places.append(place)
    columns, flaws = kind.check(read)
    checked = Checked(
        options.source,
        columns,
        places,
        refused,
        lambda position: msgspec.json.encode(read[position]),
        lambda position: read[position].customer_id,
        PLACE,
    )
    return set_apart(kind, checked, flaws) if flaws else checked


def _document(row: dict[str, Any], mapping: Mapping, importable: Importable, *, zone: ZoneInfo) -> dict[str, Any]:
    """A row by fields; those named after a point go into the object before it. An empty cell says nothing."""
    document: dict[str, Any] = {}
    for field, column in mapping.columns.items():
        cell = row.get(column)
        if cell is None or cell == "":
            continue
        prefix, _, name = field.partition(".")
        value = _value(cell, field, importable, zone=zone)
        if not name:
            document[field] = value
        elif isinstance(inside := document.setdefault(prefix, {}), dict):
            inside[name] = value
    return document


def _value(cell: Any, field: str, importable: Importable, *, zone: ZoneInfo) -> Any:
    """What a cell means. What cannot be read stays as it is, for the decoder to refuse with its reason."""
    meaning = importable.meaning(field)
    if meaning is Meaning.INSTANT and isinstance(cell, str):
        instant = instant_of(cell, zone)
        return format_instant(instant) if isinstance(instant, datetime) else cell
    if meaning is Meaning.FLAG:
        return FLAGS.get((text_of(cell) or "").strip().lower(), cell)
    if meaning in (Meaning.NUMBER, Meaning.DOCUMENT) and isinstance(cell, str):
        return _json(cell, int | float if meaning is Meaning.NUMBER else dict | list)
    if meaning is Meaning.TEXT and "." not in field:
        return text_of(cell)
    return cell


def _json(text: str, expected: UnionType) -> Any:
    """What a text says in JSON; the text itself when it says something else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, expected) and not isinstance(value, bool) else text


def _defaults(row: dict[str, Any], mapping: Mapping, options: Options) -> dict[str, Any]:
    """What a transaction must say and a row may leave out."""
    if options.records != "transactions":
        return {}
    currency = row.get(mapping.columns.get("currency", ""))
    filled = {} if currency or options.currency is None else {"currency": options.currency}
    nobody = row.get(mapping.columns.get("customer_id", "")) in (None, "")
    return filled | ({"customer_id": None} if nobody else {})


def _renamed(refusal: Refusal, name: str) -> Refusal:
    """The same refusal with a pointer into the file."""
    pointer = refusal.pointer.replace(f"/{name}/", f"/{PLACE}/", 1)
    return Refusal(refusal.index, refusal.code, pointer, refusal.detail, refusal.payload, refusal.customer_id)
