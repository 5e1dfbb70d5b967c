"""Risk in three words, by whether an intervention would pay: not by thirds of whoever happens to be a customer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Double, and_, case, cast, func, literal

from app.ml.columns import Floats
from app.money import from_minor
from app.stats.decisions import ASSUMED, BANDS, Intervention, risk_thresholds


@dataclass(frozen=True, slots=True)
class Bands:
    """What an intervention costs and does, and what keeping somebody is worth; amounts in minor units.

    intervention null: nobody said; app.stats.decisions.ASSUMED stands in. value_minor null: what the very customer is
    expected to spend. Of whom no value is known the assumption stands in too.
    """

    intervention: Intervention | None
    value_minor: int | None

    @classmethod
    def of(cls, asked: Mapping[str, Any] | None) -> "Bands":
        if asked is None:
            return cls(None, None)
        low, high = asked["success_rate"]
        return cls(Intervention(asked["cost_minor"], (low, high)), asked["value_saved_minor"])

    def thresholds(self, values_minor: Floats) -> tuple[Floats, Floats]:
        """Above which probability the risk of each is medium, and high; a value of NaN is unknown."""
        medium, high = risk_thresholds(np.zeros(values_minor.shape))
        if self.intervention is None:
            return medium, high
        worth = values_minor if self.value_minor is None else np.full(values_minor.shape, float(self.value_minor))
        known = ~np.isnan(worth)
        own = risk_thresholds(np.where(known, worth, 0.0), intervention=self.intervention)
        return np.where(known, own[0], medium), np.where(known, own[1], high)

    def risks(self, probabilities: Floats, values_minor: Floats) -> list[str | None]:
        """The word for each; null where the probability is NaN."""
        medium, high = self.thresholds(values_minor)
        codes = (probabilities > medium).astype(np.int64) + (probabilities > high)
        return [
            None if missing else BANDS[code]
            for code, missing in zip(codes.tolist(), np.isnan(probabilities).tolist(), strict=True)
        ]

    def in_sql(self, probability: ColumnElement[Any], value_minor: ColumnElement[Any]) -> ColumnElement[Any]:
        """The same in SQL."""
        medium: ColumnElement[Any]
        high: ColumnElement[Any]
        assumed = tuple(literal(float(each), Double) for each in risk_thresholds(0.0))
        if self.intervention is None:
            medium, high = assumed
        else:
            worth = cast(value_minor if self.value_minor is None else literal(self.value_minor), Double)
            low_rate, high_rate = self.intervention.success_rates
            medium, high = (
                case(
                    (worth.is_(None), unknown),
                    (and_(worth > 0, literal(rate > 0)), self.intervention.cost / func.nullif(worth * rate, 0)),
                    else_=cast("infinity", Double),
                )
                for rate, unknown in zip((high_rate, low_rate), assumed, strict=True)
            )
        return case((probability > high, "high"), (probability > medium, "medium"), else_="low")

    def shown(self, *, currency: str) -> dict[str, Any]:
        """What the words rest on; medium_above and high_above are null where they differ from customer to customer."""
        own = self.intervention or ASSUMED
        found: dict[str, Any] = {"is_assumed": self.intervention is None, "success_rate": list(own.success_rates)}
        if self.intervention is None:
            found["cost_share_of_value"] = own.cost
        else:
            found["cost"] = {"amount": from_minor(int(own.cost), currency), "currency": currency}
        if self.intervention is not None and self.value_minor is None:
            return {**found, "medium_above": None, "high_above": None}
        if self.value_minor is not None:
            found["value_saved"] = {"amount": from_minor(self.value_minor, currency), "currency": currency}
        medium, high = self.thresholds(np.array([np.nan]))
        # Above 1, up to infinity, where it never pays.
        return {**found, "medium_above": min(float(medium[0]), 1.0), "high_above": min(float(high[0]), 1.0)}
