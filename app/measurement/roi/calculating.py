"""Return on investment of given amounts: the arithmetic alone, exact until it is shown."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from app.errors import FieldError, InvalidInput
from app.money import InvalidAmount, exponent, from_minor, to_minor

# Figures of a plan are rounded; beyond this share they contradict each other.
TOLERANCE = Fraction(1, 200)


def calculate(asked: Mapping[str, Any]) -> dict[str, Any]:
    """(gain x margin_rate - cost) / cost, and what it takes to break even. Raises InvalidInput."""
    currency = asked["currency"]
    gain, cost = (_minor(asked[name], currency, f"/{name}") for name in ("gain", "cost"))
    if cost < 0:
        raise _unusable("/cost", "out_of_range", "a cost is not negative; money that came back is a gain")
    rate = Fraction(1) if asked["margin_rate"] is None else Fraction(str(asked["margin_rate"]))
    earned = gain * rate
    found: dict[str, Any] = {
        "currency": currency,
        "gain": _money(gain, currency),
        "margin_rate": asked["margin_rate"],
        "cost": _money(cost, currency),
        "net_gain": _money(_rounded(earned - cost), currency),
        "roi": float((earned - cost) / cost) if cost else None,
        "break_even_gain": _money(-(-cost * rate.denominator // rate.numerator), currency),
        "break_even_margin": float(Fraction(cost, gain)) if gain > 0 else None,
        "reasons": {},
    }
    if not cost:
        found["reasons"]["roi"] = "zero_denominator"
    if gain <= 0:
        found["reasons"]["break_even_margin"] = "no_gain"
    if asked["scenario"] is not None:
        found["scenario"] = _scenario(asked["scenario"], currency)
    return found


def _scenario(asked: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Whether revenue is visitors x conversion rate x average order value, as it has to be."""
    order_value = _minor(asked["average_order_value"], currency, "/scenario/average_order_value")
    implied = asked["visitors"] * Fraction(str(asked["conversion_rate"])) * order_value
    shown: dict[str, Any] = {"implied_revenue": _money(_rounded(implied), currency), "consistent": None}
    if asked["revenue"] is None:
        return shown
    stated = _minor(asked["revenue"], currency, "/scenario/revenue")
    apart = stated - implied
    consistent = abs(apart) <= TOLERANCE * max(abs(stated), abs(implied))
    shown |= {"consistent": consistent, "difference": _money(_rounded(apart), currency)}
    if not consistent:
        shown["detail"] = (
            f"{asked['visitors']} visitors, of whom {asked['conversion_rate']:.4g} buy for "
            f"{from_minor(order_value, currency)} on average, bring {from_minor(_rounded(implied), currency)} {currency}, "
            f"not {from_minor(stated, currency)}"
        )
    return shown


def _minor(amount: Any, currency: str, pointer: str) -> int:
    try:
        exponent(currency)
    except InvalidAmount as error:
        raise _unusable("/currency", error.code, str(error)) from None
    try:
        return to_minor(amount, currency)
    except InvalidAmount as error:
        raise _unusable(pointer, error.code, str(error)) from None


def _unusable(pointer: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(pointer, code, detail)])


def _rounded(amount: Fraction) -> int:
    """Half away from zero, as everywhere."""
    whole = (2 * abs(amount.numerator) + amount.denominator) // (2 * amount.denominator)
    return whole if amount >= 0 else -whole


def _money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": from_minor(minor, currency), "currency": currency}
