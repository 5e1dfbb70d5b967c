"""Models, customers and sums of money as answers give them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.clv.repository import Histories
from app.modelling.clv.valuation import LEVEL, METHOD, Valued
from app.modelling.predictions import service as predictions
from app.modelling.predictions.repository import PredictiveModel
from app.money import exponent, from_minor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ASKED = ("calibration_end", "time_unit", "horizon_days", "discount_rate_annual", "value", "currency", "seed")
LEARNED = (
    "customers",
    "repeating_customers",
    "repeat_purchases",
    "parameters",
    "parameter_intervals",
    "standard_errors",
    "log_likelihood",
    "gamma_gamma",
    "convergence",
    "holdout",
    "candidates",
    "forecast",
    "warnings",
)
MOST_MINOR = 2.0**62


def shown(model: PredictiveModel) -> dict[str, Any]:
    """A model: how it was asked for, and what it learned, null until then."""
    return {
        **predictions.shown(model),
        "model": model.evaluation.get("model", model.request["model"]),
        **{name: model.request[name] for name in ASKED},
        **{name: model.evaluation.get(name) for name in LEARNED},
    }


def minor(major: Floats, currency: str) -> Integers:
    """Major units to the nearest minor ones; beyond what is stored, the largest that is."""
    rounded: Integers = np.rint(np.clip(major * 10 ** exponent(currency), -MOST_MINOR, MOST_MINOR)).astype(np.int64)
    return rounded


def money(amount_minor: int | None, currency: str) -> dict[str, str] | None:
    if amount_minor is None:
        return None
    return {"amount": from_minor(amount_minor, currency), "currency": currency}


def customer_rows(found: Histories, valued: Valued, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By customer what a model says of them. Where money cannot be added, only purchases are forecast."""
    currency = document["currency"]
    amounts: dict[str, list[int] | None] = {
        name: None if column is None else minor(column, currency).tolist()
        for name, column in (
            ("expected_value", valued.expected_value),
            ("clv", valued.clv),
            ("clv_low", valued.low),
            ("clv_high", valued.high),
        )
    }
    numbers = zip(
        found.customer_ids,
        valued.p_alive.tolist(),
        valued.expected_purchases.tolist(),
        (found.is_valued & valued.is_valued).tolist(),
        found.is_valued.tolist(),
        found.repeat_purchases.tolist(),
        found.age.tolist(),
        found.age_at_last_purchase.tolist(),
        strict=True,
    )
    rows = {}
    for place, (customer_id, alive, purchases, is_valued, is_rated, repeats, age, last) in enumerate(numbers):
        worth = {
            name: money(None if column is None or not is_valued else column[place], currency)
            for name, column in amounts.items()
        }
        has_interval = worth["clv_low"] is not None
        rows[customer_id] = {
            "p_alive": alive,
            "expected_purchases": purchases,
            **worth,
            "level": LEVEL if has_interval else None,
            "method": METHOD if has_interval else None,
            "reason": _reason(document, is_rated=is_rated, has_interval=has_interval),
            "purchase_days": repeats + 1,
            "age_days": age,
            "age_at_last_purchase_days": last,
        }
    return rows


def _reason(document: Mapping[str, Any], *, is_rated: bool, has_interval: bool) -> str | None:
    if not is_rated:
        return "missing_exchange_rates"
    if document["spending"] is None:
        return str(document["spending_reason"])
    return None if has_interval else "singular"
