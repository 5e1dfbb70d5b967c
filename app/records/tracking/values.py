"""Values as tracking clients write them, made exact, or refused with the place and the reason."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.clock import format_instant

LONGEST_ID = 255
_LONGEST_INSTANT = 64
# Numbers from here on count milliseconds: as seconds they would be after the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
# What a double holds of a decimal number without doubt (IEEE 754: DBL_DIG).
_SURE_DIGITS = 15
_PRICE_STEP = Decimal("0.000001")
# Past anything that is taken as a price; rounding it would need more digits than decimal arithmetic keeps.
_TOO_LARGE = 1e18


class Unusable(Exception):
    """A message that cannot be used: stable code, field as a path within the message, a sentence."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        self.code, self.field, self.detail = code, field, detail
        super().__init__(detail)


def identifier(value: Any, field: str) -> str | None:
    """An identifier, text or a whole number, as text; null when there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unusable("invalid_type", field, "must be text or a whole number")
    text = str(value)
    if len(text) > LONGEST_ID:
        raise Unusable("invalid_length", field, f"at most {LONGEST_ID} characters")
    if "\x00" in text:
        raise Unusable("nul_character", field, "text with a NUL character (U+0000) cannot be stored")
    return text


def needed(value: Any, field: str) -> str:
    found = identifier(value, field)
    if found is None:
        raise Unusable("missing_field", field, f"{field.rpartition('/')[2]} is needed")
    return found


def word(value: Any) -> str | None:
    """Text or a whole number as text; null for anything else, which no client means as a name."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


def instant(value: Any, field: str) -> str:
    """RFC 3339 in UTC, from ISO 8601 (without an offset: UTC) or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_INSTANT:
            moment = datetime.fromisoformat(value.strip().upper())
            return format_instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            return format_instant(datetime.fromtimestamp(seconds, UTC))
    except ValueError:
        pass
    except (OverflowError, OSError):
        raise Unusable("absurd_instant", field, "must lie between 1900 and 2200") from None
    raise Unusable("invalid_instant", field, "is not an ISO 8601 instant such as 2026-11-01T10:15:00.000Z")


def exact_amount(value: Any) -> Any:
    """A number that was calculated in floating point as the decimal it stands for: 0.1 + 0.2 is 0.3.

    Whatever else was sent stays as it is, to be checked as an amount.
    """
    return f"{Decimal(f'{value:.{_SURE_DIGITS}g}'):f}" if isinstance(value, float) else value


def exact_price(value: Any) -> Any:
    """The same, rounded to the 6 decimals that prices and quantities have here."""
    if not isinstance(value, float) or abs(value) >= _TOO_LARGE:
        return value
    return f"{Decimal(exact_amount(value)).quantize(_PRICE_STEP):f}"
