"""The one place where an amount that somebody wrote becomes an integer, or is refused with a reason."""

import re
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation

from app.money.iso4217 import BY_CODE

PRICE_DIGITS = 6
LONGEST_TEXT = 40

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_PLAIN_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
# Looked at before anything is written out in digits: Decimal("1E+999999") is eleven characters of input.
_TOO_MANY_DIGITS = len(str(_INT64_MAX))
_EXACTLY = Context(prec=_TOO_MANY_DIGITS + PRICE_DIGITS + 1, traps=[Inexact, InvalidOperation])


class InvalidAmount(ValueError):
    """An amount that cannot be stored: `code` is stable, the text is for a person."""

    code = "invalid_amount"


class InexactAmount(InvalidAmount):
    """More decimal digits than the currency has."""

    code = "inexact_amount"


class AmountTooLarge(InvalidAmount):
    """More minor units than a signed 64-bit integer holds."""

    code = "amount_too_large"


class UnknownCurrency(InvalidAmount):
    """A code that ISO 4217 does not know, or that stands for no currency one pays in."""

    code = "unknown_currency"


def exponent(currency: str) -> int:
    """Give the number of decimal digits of the currency; raises UnknownCurrency."""
    row = BY_CODE.get(currency)
    if row is None:
        hint = "; codes are upper case" if currency.upper() in BY_CODE else ""
        raise UnknownCurrency(f"{_shown(currency)} is not an ISO 4217 currency code{hint}")
    if row.refused is not None or row.exponent is None:
        raise UnknownCurrency(f"{currency} ({row.name}) {row.refused}")
    return row.exponent


def to_minor(amount: object, currency: str) -> int:
    """Give the amount in minor units, exactly.

    Text must be a plain decimal such as "-12.34". A float stands for the shortest decimal that reads back as the same
    float. Zeros past the currency's digits change nothing and are accepted. Raises InvalidAmount or one of its kinds.
    """
    return scaled(amount, exponent(currency), unit=currency)


def from_minor(minor: int, currency: str) -> str:
    """Write minor units as the decimal text that `to_minor` reads back."""
    digits = exponent(currency)
    if digits == 0:
        return str(minor)
    units, rest = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{units}.{rest:0{digits}d}"


def line_total_minor(lines: Iterable[tuple[int, Decimal | str | int | float]], currency: str) -> int:
    """Add quantity x unit price over the lines and round the sum once, half away from zero, to the currency's digits.

    Unit prices may have up to six decimals. Raises InvalidAmount or one of its kinds.
    """
    step = 10 ** (PRICE_DIGITS - exponent(currency))
    total = sum(_quantity(quantity) * scaled(price, PRICE_DIGITS, unit="unit price") for quantity, price in lines)
    rounded = (abs(total) + step // 2) // step
    return _stored(rounded if total >= 0 else -rounded)


def scaled(amount: object, digits: int, *, unit: str) -> int:
    """Give amount x 10**digits as a 64-bit integer; `unit` names in messages what has so many digits."""
    if isinstance(amount, str):
        minor = _shifted_text(amount, digits)
    elif isinstance(amount, bool) or not isinstance(amount, int | float | Decimal):
        raise InvalidAmount(f"{_kind(amount)} is not an amount")
    elif isinstance(amount, int):
        minor = amount * 10**digits
    else:
        minor = _shifted(Decimal(float.__repr__(amount)) if isinstance(amount, float) else amount, digits)
    if minor is None:
        raise InexactAmount(f"{_shown(amount)} has more than {digits} decimals ({unit})")
    return _stored(minor)


def _shifted_text(text: str, digits: int) -> int | None:
    if len(text) > LONGEST_TEXT or _PLAIN_DECIMAL.fullmatch(text) is None:
        raise InvalidAmount(f"{_shown(text)} is not a plain decimal such as 12.34")
    whole, _, fraction = text.partition(".")
    if fraction[digits:].strip("0"):
        return None
    return int(whole + fraction[:digits].ljust(digits, "0"))


def _shifted(value: Decimal, digits: int) -> int | None:
    if not value.is_finite():
        raise InvalidAmount(f"{_shown(value)} is not a finite number")
    if value and value.adjusted() > _TOO_MANY_DIGITS:
        raise AmountTooLarge(f"{_shown(value)} is too large")
    try:
        return int(value.quantize(Decimal((0, (1,), -digits)), context=_EXACTLY).scaleb(digits, context=_EXACTLY))
    except Inexact:
        return None


def _quantity(quantity: object) -> int:
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise InvalidAmount(f"{_kind(quantity)} is not a whole quantity")
    return quantity


def _stored(minor: int) -> int:
    if not _INT64_MIN <= minor <= _INT64_MAX:
        raise AmountTooLarge("the amount does not fit into 64 bits of minor units")
    return minor


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _kind(value: object) -> str:
    return "null" if value is None else f"a value of type {type(value).__name__}"
