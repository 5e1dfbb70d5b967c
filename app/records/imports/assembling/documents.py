"""Rows of a file as the JSON objects that could be pushed instead, decoded and checked like any push."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import orjson

from app.records.imports.assembling.instants import instants_of, written
from app.records.imports.assembling.transactions import PLACE
from app.records.imports.definitions import Meaning
from app.records.imports.options import Options
from app.records.imports.reading.table import text_of
from app.records.intake.bulk import Checked, set_apart
from app.records.intake.outcome import Refusal

FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
Cells = list[Any]


def documents(columns: Mapping[str, Cells], index: Sequence[int], options: Options) -> Checked[Any]:
    """Records of any kind, one from each row; columns are the fields."""
    kind = options.importable.kind
    read: list[Any] = []
    places: list[int] = []
    refused: list[Refusal] = []
    for place, document in zip(index, _rows(columns, options, count=len(index)), strict=True):
        found = kind.envelope.read_one(orjson.dumps(document), index=place)
        if isinstance(found, Refusal):
            refused.append(_renamed(found, kind.envelope.name))
        else:
            read.append(found)
            places.append(place)
    good, flaws = kind.check(read)
    checked = Checked(
        options.source,
        good,
        places,
        refused,
        lambda position: msgspec.json.encode(read[position]),
        lambda position: read[position].customer_id,
        PLACE,
    )
    return set_apart(kind, checked, flaws) if flaws else checked


def _rows(columns: Mapping[str, Cells], options: Options, *, count: int) -> list[dict[str, Any]]:
    """Rows by fields; those named after a point go into the object before it. An empty cell says nothing."""
    importable, zone = options.importable, options.zone
    plain = {field: _meant(cells, importable.meaning(field), zone) for field, cells in columns.items()}
    parts = {field: plain.pop(field) for field in list(plain) if "." in field}
    rows = [
        {field: value for field, value in zip(plain, row, strict=True) if value is not None}
        for row in zip(*plain.values(), strict=True)
    ]
    assert len(rows) == count, "every kind has a field that is no part of another"
    for field, cells in parts.items():
        whole, _, name = field.partition(".")
        for row, value in zip(rows, cells, strict=True):
            if value is not None and isinstance(inside := row.setdefault(whole, {}), dict):
                inside[name] = value
    if options.records == "transactions":
        for row in rows:
            row.setdefault("customer_id", None)
            if options.currency is not None:
                row.setdefault("currency", options.currency)
    return rows


def _meant(cells: Cells, meaning: Meaning | None, zone: ZoneInfo) -> Cells:
    """What cells mean; null for empty ones. What cannot be read stays, for the decoder to refuse with its reason."""
    cells = [None if cell == "" else cell for cell in cells]
    if meaning is Meaning.INSTANT:
        return _instants(cells, zone)
    if meaning is Meaning.FLAG:
        return [None if cell is None else FLAGS.get((text_of(cell) or "").strip().lower(), cell) for cell in cells]
    if meaning is Meaning.TEXT:
        return [cell if cell is None or isinstance(cell, str) else text_of(cell) for cell in cells]
    if meaning in (Meaning.NUMBER, Meaning.DOCUMENT):
        expected = (int, float) if meaning is Meaning.NUMBER else (dict, list)
        return [_json(cell, expected) if isinstance(cell, str) else cell for cell in cells]
    return cells


def _instants(cells: Cells, zone: ZoneInfo) -> Cells:
    texts = [cell if isinstance(cell, str) else "" for cell in cells]
    micros, flaws = instants_of(texts, zone)
    if not flaws and all(texts) and not (micros % 1_000_000).any():
        # The very form that is read back quickest.
        return [f"{each}Z" for each in np.datetime_as_string(micros.astype("datetime64[us]"), unit="s").tolist()]
    return [
        written(int(each)) if text and place not in flaws else cell
        for place, (cell, text, each) in enumerate(zip(cells, texts, micros, strict=True))
    ]


def _json(text: str, expected: tuple[type, ...]) -> Any:
    """What a text says in JSON; the text itself when it says something else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, expected) and not isinstance(value, bool) else text


def _renamed(refusal: Refusal, name: str) -> Refusal:
    """The same refusal with a pointer into the file."""
    pointer = refusal.pointer.replace(f"/{name}/", f"/{PLACE}/", 1)
    return Refusal(refusal.index, refusal.code, pointer, refusal.detail, refusal.payload, refusal.customer_id)
