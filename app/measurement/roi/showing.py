"""Gains and returns as they are answered: minor units become major ones, what is unknown gets its reason."""

from dataclasses import dataclass
from typing import Any

from app.money import exponent, from_minor
from app.stats.comparison.difference import Difference
from app.stats.estimate import Estimate, Undetermined
from app.stats.returns.investment import return_on_investment

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Showing:
    """In which currency, and with intervals of which level."""

    currency: str
    level: float

    def money(self, minor: int) -> dict[str, str]:
        return {"amount": from_minor(minor, self.currency), "currency": self.currency}

    def gain(self, gain: Difference | Undetermined) -> Shown:
        return self._shown(self._estimated(gain), 10 ** exponent(self.currency))

    def net(self, gain: Difference | Undetermined, cost: int) -> Shown:
        """The gain less the cost, which is certain."""
        found = self._estimated(gain)
        if isinstance(found, Estimate):
            ends = [None if end is None else end - cost for end in (found.value, found.low, found.high)]
            found = Estimate(ends[0] or 0.0, ends[1], ends[2], found.level, found.method, found.n, found.reason)
        return self._shown(found, 10 ** exponent(self.currency))

    def roi(self, gain: Difference | Undetermined, cost: float) -> Shown:
        return self._shown(return_on_investment(self._estimated(gain), float(cost)), 1)

    def _estimated(self, gain: Difference | Undetermined) -> Estimate | Undetermined:
        if isinstance(gain, Undetermined):
            return gain
        found = gain.interval(level=self.level)
        if gain.method != "declared":
            return found
        return Estimate(found.value, None, None, found.level, found.method, found.n, "not_measured")

    def _shown(self, found: Estimate | Undetermined, unit: int) -> Shown:
        if isinstance(found, Undetermined):
            return {"value": None, "n": found.n, "reason": found.reason}
        shown: Shown = {
            name: None if end is None else end / unit
            for name, end in (("value", found.value), ("low", found.low), ("high", found.high))
        }
        shown |= {"level": found.level, "method": found.method, "n": found.n}
        return shown if found.reason is None else {**shown, "reason": found.reason}
