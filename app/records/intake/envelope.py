"""Reading the rows of a bulk body: all at once when all are good, one by one as soon as one is not."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import orjson

from app.errors import FieldError, InvalidInput, TooLarge, Unreadable
from app.records.intake.outcome import Refusal

MAX_ROWS = 10_000
MAX_DEPTH = 32
DEFAULT_SOURCE = "default"

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
# An amount is exact decimal text, or a number that is exact in its currency.
Amount = str | int | float

Row = TypeVar("Row", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Row]):
    """Rows that were read, where each stood in the body, and those that could not be read."""

    rows: Sequence[Row]
    indices: Sequence[int]
    refused: list[Refusal]
    source: str

    @property
    def received(self) -> int:
        return len(self.rows) + len(self.refused)


class Envelope(Generic[Row]):
    """The body of one kind of bulk write: a list of rows under its name, and perhaps a source."""

    def __init__(self, name: str, row: type[Row], *, has_source: bool = True) -> None:
        self.name, self.row = name, row
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [(name, list[row])]  # type: ignore[valid-type]
        raw_fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [(name, list[msgspec.Raw])]
        if has_source:
            source = ("source", Word, DEFAULT_SOURCE)
            fields.append(source)
            raw_fields.append(source)
        title = "".join(part.capitalize() for part in name.split("_"))
        self.shape = msgspec.defstruct(f"{title}In", fields, forbid_unknown_fields=True)
        self._all = msgspec.json.Decoder(self.shape)
        self._raw = msgspec.json.Decoder(msgspec.defstruct(f"{title}Raw", raw_fields, forbid_unknown_fields=True))
        self._one = msgspec.json.Decoder(row)

    def read(self, body: bytes) -> Batch[Row]:
        """The rows of a body. Raises Unreadable or InvalidInput when the envelope itself is wrong."""
        refuse_repeated(body, self.name)
        # Looking for one byte is far quicker than for six, and most bodies have no escapes at all.
        if b"\\" not in body or b"\\u0000" not in body:
            try:
                envelope = self._all.decode(body)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                pass  # the slow way finds out which rows
            else:
                rows = getattr(envelope, self.name)
                refuse_too_many(self.name, len(rows))
                return Batch(rows, range(len(rows)), [], getattr(envelope, "source", DEFAULT_SOURCE))
        return self._one_by_one(body)

    def _one_by_one(self, body: bytes) -> Batch[Row]:
        try:
            envelope = self._raw.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidInput("The envelope is wrong", errors=[field_error(error, "")]) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Unreadable(f"The body is not JSON: {error}") from None
        raws = getattr(envelope, self.name)
        refuse_too_many(self.name, len(raws))
        rows: list[Row] = []
        indices: list[int] = []
        refused: list[Refusal] = []
        for index, raw in enumerate(raws):
            row = self.read_one(bytes(raw), index=index)
            if isinstance(row, Refusal):
                refused.append(row)
            else:
                rows.append(row)
                indices.append(index)
        return Batch(rows, indices, refused, getattr(envelope, "source", DEFAULT_SOURCE))

    def read_one(self, raw: bytes, *, index: int) -> Row | Refusal:
        """One row from its own JSON bytes."""
        try:
            row = self._one.decode(raw)
            if b"\\u0000" in raw:
                refuse_nul(orjson.loads(raw))
        except msgspec.ValidationError as error:
            found = field_error(error, f"/{self.name}/{index}")
            return Refusal(index, found.code, found.pointer, found.detail, raw, customer_in(raw))
        except (msgspec.DecodeError, orjson.JSONDecodeError, RecursionError, UnicodeDecodeError) as error:
            return Refusal(index, "unreadable_row", f"/{self.name}/{index}", f"not valid JSON: {error}", raw)
        except _HasNul as error:
            detail = "text with a NUL character (U+0000) cannot be stored"
            pointer = f"/{self.name}/{index}{error.pointer}"
            return Refusal(index, "nul_character", pointer, detail, raw, customer_in(raw))
        return row

    def openapi(self) -> dict[str, Any]:
        """The JSON schema of a body, from the shape that decodes it; it needs no other document."""
        top = schema_of(self.shape)
        top["properties"][self.name]["maxItems"] = MAX_ROWS
        return top


def refuse_repeated(body: bytes, name: str) -> None:
    """Two lists under one name: which one is meant? JSON readers would silently take the last."""
    escaped = b"\\" in body and b"\\u00" in body
    if not escaped and body.count(b'"%s"' % name.encode()) < 2:
        return
    try:
        top = json.loads(body, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return  # the decoder says it better
    seen: set[str] = set()
    for each, _ in top if isinstance(top, tuple) else ():
        if each in seen:
            detail = f"{each!r} stands twice in the envelope"
            raise InvalidInput(detail, errors=[FieldError(f"/{each}", "duplicate_field", detail)])
        seen.add(each)


def refuse_too_many(name: str, rows: int) -> None:
    if rows > MAX_ROWS:
        raise TooLarge(
            f"At most {MAX_ROWS} rows are taken at once; {rows} came",
            errors=[FieldError(f"/{name}", "too_many_rows", f"send at most {MAX_ROWS} rows")],
        )


def schema_of(shape: Any) -> dict[str, Any]:
    """The JSON schema of a shape; it needs no other document."""
    (_,), parts = msgspec.json.schema_components([shape], ref_template="#/{name}")
    top: dict[str, Any] = _inlined(parts[shape.__name__], parts)
    return top


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].removeprefix("#/")], parts)
    return {name: _inlined(each, parts) for name, each in schema.items()}


class _HasNul(Exception):
    def __init__(self, pointer: str) -> None:
        self.pointer = pointer


def refuse_nul(value: Any, pointer: str = "") -> None:
    if isinstance(value, str) and "\x00" in value:
        raise _HasNul(pointer)
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_nul(key, pointer)
            refuse_nul(item, f"{pointer}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_nul(item, f"{pointer}/{index}")


def customer_in(raw: bytes) -> str | None:
    """The customer a refused row names, so that erasure reaches it; null when it names none."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    named = row.get("customer_id") if isinstance(row, dict) else None
    return named[:1_000].replace("\x00", "") if isinstance(named, str) else None


_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<name>.*)`$")
_CODES = (
    ("Object missing required field", "missing_field"),
    ("Object contains unknown field", "unknown_field"),
    ("Expected `str` of length", "invalid_length"),
    ("Expected `array` of length", "invalid_length"),
    ("Invalid RFC3339", "invalid_instant"),
    ("Expected `datetime` with", "naive_instant"),
    ("Invalid enum", "invalid_value"),
    ("Number out of range", "number_out_of_range"),
    ("Expected", "invalid_type"),
)


def field_error(error: msgspec.ValidationError, base: str) -> FieldError:
    """msgspec's message as a pointer, a stable code and a sentence."""
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    pointer = base + re.sub(r"\[(\d+)\]", r"/\1", path.replace(".", "/")).replace("[...]", "")
    if named := _NAMED.match(what):
        pointer = f"{pointer}/{named['name']}"
    code = next((code for start, code in _CODES if what.startswith(start)), "invalid_value")
    return FieldError(pointer, code, what[:500])


def flaw_of_document(raw: bytes) -> tuple[str, str] | None:
    """What is wrong with free JSON of the caller, as code and sentence; null when PostgreSQL will take it."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return "unreadable_row", f"not valid JSON: {error}"
    # More brackets than levels is common; counting the levels themselves is only worth it then.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        return "too_deep", f"nested more than {MAX_DEPTH} levels deep"
    if _LONG_NUMBER.search(raw):
        try:
            json.loads(raw, parse_int=_refuse_long, parse_float=_refuse_long)
        except OverflowError:
            return "number_out_of_range", "a number has too many digits or too large an exponent"
    return None


# A double reads 1e-20000 as 0, but PostgreSQL keeps numbers of a document exactly and has no room for this one.
_LONG_NUMBER = re.compile(rb"[0-9]{300}|[eE][+-]?[0-9]{3}")
_LONGEST_NUMBER, _LARGEST_EXPONENT = 700, 400


def _refuse_long(number: str) -> None:
    exponent = number.lower().partition("e")[2].lstrip("+-0")
    if len(number) > _LONGEST_NUMBER or len(exponent) > 3 or int(exponent or 0) > _LARGEST_EXPONENT:
        raise OverflowError


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)
