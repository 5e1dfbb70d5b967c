"""What everybody together is expected to do, with the interval that says how far off that may be."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.modelling.clv.task import Population, Task
from app.modelling.clv.valuation import Valuer
from app.stats.btyd.uncertainty import Customers, total_purchases, total_value
from app.stats.estimate import Estimate, Undetermined


def shown_estimate(found: Estimate | Undetermined) -> dict[str, Any]:
    """As answers give it: what cannot be computed is null with a reason."""
    if isinstance(found, Undetermined):
        return {"value": None, "reason": found.reason, "n": found.n}
    return {name: value for name, value in asdict(found).items() if name != "reason" or value is not None}


def forecast(task: Task, population: Population, document: Mapping[str, Any]) -> dict[str, Any]:
    """All customers together over the horizon, from calibration_end on: purchases, and their value in major units.

    The intervals are of what will be seen: they know chance and how uncertain the parameters are.
    """
    valuer = Valuer.of(document)
    purchases = total_purchases(valuer.buying, population.histories(task.unit), valuer.horizon, seed=task.seed)
    unit = float(valuer.days_per_unit)
    value: Estimate | Undetermined = Undetermined("no_positive_spend", purchases.n)
    if valuer.spending is not None:
        everybody = Customers(
            population.repeat_purchases.astype(float),
            population.age_at_last_purchase / unit,
            population.age / unit,
            population.value_days.astype(float),
            population.mean_value(task.minor_per_major),
            population.customers.astype(float),
        )
        value = total_value(
            valuer.buying, valuer.spending, customers=everybody, t=valuer.horizon, discount_rate=valuer.rate
        )
    return {
        "horizon_days": task.horizon_days,
        "purchases": shown_estimate(purchases),
        "value": {**shown_estimate(value), "currency": task.currency},
    }
