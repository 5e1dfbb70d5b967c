"""From sufficient statistics to what is shown: a value, its interval where there is one, or the reason for none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.measurement.kpis.definitions import Kind, Kpi, Measure
from app.money import exponent, from_minor
from app.stats.estimate import Undetermined
from app.stats.mean import mean_interval

GUESTS_ARE_ANONYMOUS = "guests_are_anonymous"


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over facts: how many, their amounts in minor units, the squares of these."""

    n: int = 0
    total: int = 0
    squares: int = 0


NONE = Sums()
Cell = Mapping[Kind, Sums]


def added(measure: Measure, cell: Cell) -> Sums:
    """The statistics of a measure from those of its kinds; a count is the sum of ones."""
    parts = [(sign, cell.get(kind, NONE)) for kind, sign in measure.signs.items()]
    n = sum(part.n for _, part in parts)
    if not measure.money:
        count = sum(sign * part.n for sign, part in parts)
        return Sums(n, count, n)
    return Sums(n, sum(sign * part.total for sign, part in parts), sum(part.squares for _, part in parts))


def figure(kpi: Kpi, cell: Cell, currency: str) -> dict[str, Any]:
    """What a key figure is by the facts of one group and period."""
    numerator = added(kpi.numerator, cell)
    shown = _in_its_unit(numerator.total, money=kpi.numerator.money, currency=currency)
    if kpi.denominator is None:
        return _row(value=shown, n=numerator.n, numerator=shown)
    denominator = added(kpi.denominator, cell)
    parts = {
        "numerator": shown,
        "denominator": _in_its_unit(denominator.total, money=kpi.denominator.money, currency=currency),
    }
    found = mean_interval(numerator.n, numerator.total, numerator.squares)
    if isinstance(found, Undetermined):
        return _row(**parts, n=found.n, reason=found.reason)
    unit = 10 ** exponent(currency) if kpi.unit == "money" else 1
    row = _row(**parts, value=found.value / unit, n=found.n, reason=found.reason)
    if found.low is not None and found.high is not None:
        row |= {"low": found.low / unit, "high": found.high / unit, "level": found.level}
    return row


def unknowable(reason: str) -> dict[str, Any]:
    """What is shown where no facts can answer."""
    return _row(reason=reason)


def _row(**known: Any) -> dict[str, Any]:
    row = dict.fromkeys(("value", "low", "high", "level"))
    row |= {"n": 0, "numerator": None, "denominator": None} | known
    if row.get("reason") is None:
        row.pop("reason", None)
    return row


def _in_its_unit(total: int, *, money: bool, currency: str) -> int | float:
    """A count as it is; minor units as the double nearest to the exact amount in major units."""
    return float(from_minor(total, currency)) if money else total
