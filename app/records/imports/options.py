"""What the caller says about a file, checked before a byte of it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from app.errors import FieldError, InvalidInput
from app.money import UnknownCurrency, exponent
from app.records.imports.definitions import IMPORTABLES, Importable
from app.records.intake.envelope import DEFAULT_SOURCE

LONGEST_SOURCE = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How to understand the columns of a file; columns maps fields to the names of columns."""

    records: str
    columns: Mapping[str, str]
    source: str = DEFAULT_SOURCE
    currency: str | None = None
    timezone: str = "UTC"
    dry_run: bool = False

    @property
    def importable(self) -> Importable:
        return IMPORTABLES[self.records]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def as_arguments(self) -> dict[str, Any]:
        """The same as JSON, for the record of a job."""
        return {name: getattr(self, name) for name in self.__slots__} | {"columns": dict(self.columns)}


def checked(options: Options) -> Options:
    """The options, when every one of them can be used. Raises InvalidInput that names all that cannot."""
    flaws = [*_map_flaws(options), *_value_flaws(options)]
    if flaws:
        raise InvalidInput(flaws[0].detail, errors=flaws)
    return options


def pairs(texts: Sequence[str], *, separator: str) -> dict[str, str]:
    """The column for each field from texts such as customer_id:CustomerID. Raises InvalidInput."""
    found: dict[str, str] = {}
    for text in texts:
        field, parted, column = text.partition(separator)
        if not (field and parted and column):
            raise _wrong("map", "invalid_map", f"{text!r} is not of the form field{separator}Column")
        if field in found:
            raise _wrong("map", "duplicate_field", f"{field!r} is mapped twice; which column is meant?")
        found[field] = column
    return found


def _wrong(parameter: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(parameter, code, detail)])


def _map_flaws(options: Options) -> list[FieldError]:
    importable = options.importable
    flaws = []
    for field, column in options.columns.items():
        if importable.meaning(field) is None:
            detail = f"{options.records} have no field {field!r}; there are {importable.described()}"
            flaws.append(FieldError("map", "unknown_field", detail))
        elif "\x00" in field + column:
            flaws.append(FieldError("map", "nul_character", "remove the NUL character (U+0000)"))
    return flaws


def _value_flaws(options: Options) -> list[FieldError]:
    flaws = []
    if not 1 <= len(options.source) <= LONGEST_SOURCE or "\x00" in options.source:
        flaws.append(FieldError("source", "invalid_length", f"a source has 1 to {LONGEST_SOURCE} characters"))
    try:
        ZoneInfo(options.timezone)
    except (KeyError, OSError, ValueError):
        detail = f"{options.timezone!r} is not an IANA time zone such as Europe/Berlin"
        flaws.append(FieldError("timezone", "unknown_timezone", detail))
    if options.currency is not None:
        try:
            exponent(options.currency)
        except UnknownCurrency as error:
            flaws.append(FieldError("currency", error.code, str(error)))
    return flaws
