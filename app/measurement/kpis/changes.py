"""How a figure differs from that of the window compared with, absolutely and as a share of it."""

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from app.measurement.kpis.estimates import NONE, Parts, estimated, unit_of
from app.measurement.kpis.kinds import Kpi
from app.stats.comparison import means, proportions
from app.stats.comparison.difference import Difference
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate, Undetermined

Found = Estimate | Undetermined | Difference


def change(kpi: Kpi, now: Parts, before: Parts, currency: str) -> dict[str, Any]:
    """Both differences, with an interval where the figure has one; null with the reason where there is none.

    Means by Welch, relatively as lifts are, shares by Newcombe and Koopman, scores by Welch; those of the two windows are
    taken as independent. A score may be negative, so there is no share of it.
    """
    unit = unit_of(kpi, currency)
    if kpi.interval is None:
        return _of_ledgers(now, before, unit)
    if kpi.interval == "wilson":
        one, other = (estimated(kpi, parts) or Undetermined("zero_denominator", 0) for parts in (now, before))
        relative = proportions.lift(_share(now), _share(before))
        return {"absolute": shown(proportions.difference(one, other)), "relative": shown(relative)}
    one_mean, other_mean = _sample(kpi, now), _sample(kpi, before)
    absolute = _with_value(means.effect(one_mean, other_mean), one_mean, other_mean)
    if kpi.interval == "bonett_price":
        return {"absolute": shown(absolute), "relative": nothing("relative_has_no_meaning", absolute.n)}
    return {"absolute": shown(absolute, unit), "relative": shown(means.lift(one_mean, other_mean))}


def shown(found: Found, unit: int = 1) -> dict[str, Any]:
    """An estimate as it is answered."""
    if isinstance(found, Difference):
        found = found.interval()
    if isinstance(found, Undetermined):
        return nothing(found.reason, found.n)
    row = asdict(found)
    row |= {name: row[name] and row[name] / unit for name in ("value", "low", "high")}
    if found.reason is None:
        del row["reason"]
    return row


def nothing(reason: str, n: int = 0) -> dict[str, Any]:
    """An estimate that does not exist."""
    return {"value": None, "reason": reason, "n": n}


def _of_ledgers(now: Parts, before: Parts, unit: int) -> dict[str, Any]:
    """The change of sums, counts and their quotients: they are the ledger, not a sample, and have no interval."""
    n = _n(now) + _n(before)
    one, other = _exact(now), _exact(before)
    if one is None or other is None:
        return {name: nothing("zero_denominator", n) for name in ("absolute", "relative")}
    # A quotient is per minor unit already; a sum of money is in them. Both come to what is shown by the same division.
    absolute = _certain(float((one - other) / unit), n)
    if other <= 0:
        return {"absolute": absolute, "relative": nothing("zero_denominator", n)}
    return {"absolute": absolute, "relative": _certain(float(one / other - 1), n)}


def _certain(value: float, n: int) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "level": None, "method": None, "n": n}


def _exact(parts: Parts) -> Fraction | None:
    if parts.denominator is None:
        return Fraction(parts.numerator.total)
    return Fraction(parts.numerator.total, parts.denominator.total) if parts.denominator.total > 0 else None


def _n(parts: Parts) -> int:
    return parts.numerator.n


def _share(parts: Parts) -> tuple[float, float]:
    return parts.numerator.total, (parts.denominator or NONE).total


def _sample(kpi: Kpi, parts: Parts) -> Sums:
    """The mean as sums over its observations; a score is one of 1, 0 and -1."""
    above = parts.numerator
    if kpi.interval == "bonett_price":
        return Sums((parts.denominator or NONE).total, above.total, above.n)
    return Sums(above.n, above.total, above.squares)


def _with_value(found: Difference | Undetermined, one: Sums, other: Sums) -> Difference | Estimate | Undetermined:
    """Of single observations there is a difference, though not how sure it is."""
    if isinstance(found, Difference) or not (one.n and other.n):
        return found
    value = float(one.mean - other.mean)
    return Estimate(value, None, None, 0.95, "welch", found.n, found.reason)
