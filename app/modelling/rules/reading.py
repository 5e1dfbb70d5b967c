"""Reading JSON strictly, collecting every mistake with its place instead of stopping at the first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Never

from app.errors import FieldError, InvalidInput
from app.modelling.rules.conditions import Scalar
from app.modelling.rules.limits import MAX_ERRORS, MAX_TEXT

# Beyond it neighbouring whole numbers are one double.
EXACT = 2**53
# A None that readers hand on as their value; mypy takes a function declared to give plain None to have none.
Nothing = Never | None  # noqa: RUF020  # the same values, but not the same to mypy, as just said


class Reading:
    """What was found wrong so far. Methods give None for what cannot be used, having noted why."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def refuse(self, pointer: str, code: str, detail: str) -> Nothing:
        """Note a mistake, and be what there is to use: nothing."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(FieldError(pointer, code, detail))
        return None

    def finish(self) -> None:
        """Raise InvalidInput when anything was refused."""
        if self.errors:
            first = self.errors[0]
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InvalidInput(f"{first.pointer}: {first.detail}{more}", errors=self.errors)

    def fields(
        self, value: Any, pointer: str, *, needed: Sequence[str], optional: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """An object with these fields and no others; optional ones that are null are left out."""
        if not isinstance(value, dict):
            return self.refuse(pointer, "invalid_type", "must be a JSON object")
        known = (*needed, *optional)
        strange = [name for name in value if name not in known]
        for name in strange:
            self.refuse(step(pointer, name), "unknown_field", f"is not known here; known are {', '.join(known)}")
        missing = [name for name in needed if name not in value]
        for name in missing:
            self.refuse(f"{pointer}/{name}", "missing_field", f"{name} is needed")
        if strange or missing:
            return None
        return {name: each for name, each in value.items() if each is not None or name in needed}

    def text(self, value: Any, pointer: str, *, at_most: int = MAX_TEXT, at_least: int = 1) -> str | None:
        """Text of so many characters that PostgreSQL can keep."""
        if not isinstance(value, str):
            return self.refuse(pointer, "invalid_type", "must be text")
        if not at_least <= len(value) <= at_most:
            return self.refuse(pointer, "invalid_length", f"must have {at_least} to {at_most:,} characters")
        if "\x00" in value or not _encodes(value):
            return self.refuse(pointer, "invalid_text", "holds a character that cannot be stored")
        return value

    def whole(self, value: Any, pointer: str, *, at_least: int, at_most: int) -> int | None:
        """A whole number within bounds."""
        if type(value) is not int:
            return self.refuse(pointer, "invalid_type", "must be a whole number")
        if not at_least <= value <= at_most:
            return self.refuse(pointer, "out_of_range", f"must lie between {at_least} and {at_most:,}")
        return value

    def items(self, value: Any, pointer: str, *, at_most: int) -> list[Any] | None:
        """A list with something in it."""
        if not isinstance(value, list):
            return self.refuse(pointer, "invalid_type", "must be a list")
        if not 1 <= len(value) <= at_most:
            return self.refuse(pointer, "invalid_length", f"must hold 1 to {at_most:,} values, not {len(value):,}")
        return value

    def scalar(self, value: Any, pointer: str) -> Scalar | None:
        """True, false, a finite number or text; whole numbers lose the point that says so."""
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value, pointer)
        if isinstance(value, str):
            return self.text(value, pointer, at_least=0)
        return self.refuse(pointer, "invalid_type", "must be a number, text, true or false")

    def _number(self, value: int | float, pointer: str) -> int | float | None:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            return self.refuse(pointer, "not_finite", "must be a finite number")
        return int(number) if number.is_integer() and abs(number) <= EXACT else number


def kind_of(value: Scalar) -> str:
    """What sort of value it is, in words of the error messages."""
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def step(pointer: str, name: Any) -> str:
    """A JSON pointer one field further, however that field is called."""
    return f"{pointer}/{str(name)[:MAX_TEXT].replace('~', '~0').replace('/', '~1')}"


def present(fields: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of the names that stand in the fields."""
    return [name for name in names if name in fields]


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
