"""From sufficient statistics to what is shown: a value, its interval where there is one, or the reason for none."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from app.measurement.kpis.kinds import Kind, Kpi, Measure
from app.money import exponent, from_minor
from app.stats.estimate import Estimate, Undetermined
from app.stats.mean import mean_interval
from app.stats.net_share import net_share_interval
from app.stats.proportion import proportion_interval


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over facts: how many, their amounts in minor units, the squares of these."""

    n: int = 0
    total: int = 0
    squares: int = 0


NONE = Sums()
Cell = Mapping[Kind, Sums]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a figure is made of: both measures added up; `denominator` null where it is no quotient."""

    numerator: Sums
    denominator: Sums | None


def added(measure: Measure, cell: Cell) -> Sums:
    """The statistics of a measure from those of its kinds; a count is the sum of ones."""
    parts = [(sign, cell.get(kind, NONE)) for kind, sign in measure.signs.items()]
    n = sum(part.n for _, part in parts)
    if not measure.money:
        count = sum(sign * part.n for sign, part in parts)
        return Sums(n, count, n)
    return Sums(n, sum(sign * part.total for sign, part in parts), sum(part.squares for _, part in parts))


def parts_of(kpi: Kpi, cell: Cell, baseline: Cell | None = None) -> Parts:
    """Both measures of a key figure; one that is a change takes its denominator from the baseline."""
    numerator = added(kpi.numerator, cell)
    if kpi.denominator is None:
        return Parts(numerator, None)
    if not kpi.of_baseline:
        return Parts(numerator, added(kpi.denominator, cell))
    before = added(kpi.denominator, baseline or {})
    return Parts(Sums(numerator.n, numerator.total - before.total, 0), before)


def estimated(kpi: Kpi, parts: Parts) -> Estimate | Undetermined | None:
    """The value with its interval, money in minor units; null for a figure without uncertainty."""
    above, below = parts.numerator, parts.denominator
    if kpi.interval is None or below is None:
        return None
    if kpi.interval == "wilson":
        return proportion_interval(above.total, below.total)
    if kpi.interval == "bonett_price":
        # Of ones and minus ones, n is how many there are of both, and their sum how many more of the first.
        return net_share_interval((above.n + above.total) // 2, (above.n - above.total) // 2, below.total)
    return mean_interval(above.n, above.total, above.squares)


def figure(kpi: Kpi, parts: Parts, currency: str) -> dict[str, Any]:
    """What a key figure is by the facts of one group and period."""
    shown = _in_its_unit(parts.numerator.total, money=kpi.numerator.money, currency=currency)
    if kpi.denominator is None or parts.denominator is None:
        return row(value=shown, n=parts.numerator.n, numerator=shown)
    below = _in_its_unit(parts.denominator.total, money=kpi.denominator.money, currency=currency)
    both = {"numerator": shown, "denominator": below}
    found = estimated(kpi, parts)
    if found is None:
        return row(**both, **_quotient(kpi, parts, currency))
    if isinstance(found, Undetermined):
        return row(**both, n=found.n, reason=found.reason)
    unit = unit_of(kpi, currency)
    known = row(**both, value=found.value / unit, n=found.n, reason=found.reason)
    if found.low is not None and found.high is not None:
        known |= {"low": found.low / unit, "high": found.high / unit, "level": found.level}
    return known


def unit_of(kpi: Kpi, currency: str) -> int:
    """How many of what is summed make one of what is shown."""
    return int(10 ** exponent(currency)) if kpi.unit == "money" else 1


def unknowable(reason: str) -> dict[str, Any]:
    """What is shown where no facts can answer."""
    return row(reason=reason)


def row(**known: Any) -> dict[str, Any]:
    """A figure with all its fields; `reason` only where there is one."""
    found = dict.fromkeys(("value", "low", "high", "level"))
    found |= {"n": 0, "numerator": None, "denominator": None} | known
    if found.get("reason") is None:
        found.pop("reason", None)
    return found


def _quotient(kpi: Kpi, parts: Parts, currency: str) -> dict[str, Any]:
    """A quotient whose uncertainty is not known: of sums of the ledger."""
    above, below = parts.numerator, parts.denominator or NONE
    n = above.n if kpi.denominator and kpi.denominator.money else below.n
    if below.total <= 0:
        return {"n": n, "reason": "zero_denominator"}
    return {"n": n, "value": float(Fraction(above.total, below.total * unit_of(kpi, currency)))}


def _in_its_unit(total: int, *, money: bool, currency: str) -> int | float:
    """A count as it is; minor units as the double nearest to the exact amount in major units."""
    return float(from_minor(total, currency)) if money else total
