"""What a fit is shown as: parameters with their uncertainty, how the search ended, what to mind about it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from app.modelling.clv.task import Population, Task
from app.modelling.clv.totals import shown_estimate
from app.stats.btyd.fitting import BtydFit
from app.stats.btyd.gamma_gamma import GammaGammaFit
from app.stats.estimate import Undetermined

# How the reason begins where a search gave up.
NO_MAXIMUM = "no maximum"


def of_fit(found: BtydFit) -> dict[str, Any]:
    """A fitted family."""
    return {
        "parameters": dict(found.parameters),
        "parameter_intervals": {name: shown_estimate(each) for name, each in found.estimates.items()},
        "standard_errors": _standard_errors(found.parameters, found.log_covariance),
        "log_likelihood": found.log_likelihood,
        "convergence": asdict(found.convergence),
    }


def _standard_errors(parameters: Mapping[str, float], log_covariance: Any) -> dict[str, float] | None:
    """By the delta method from those of the logarithms; None where the curvature gives none."""
    if log_covariance is None:
        return None
    deviations = np.sqrt(np.diag(log_covariance))
    return {
        name: value * float(deviation) for (name, value), deviation in zip(parameters.items(), deviations, strict=True)
    }


def of_spending(spending: GammaGammaFit | Undetermined, population: Population, task: Task) -> dict[str, Any]:
    """Parameters by name, or nulls with the reason; how far frequency and value go together, which the model denies."""
    mean = population.mean_value(task.minor_per_major)
    repeating = population.repeat_purchases > 0
    used = (population.value_days > 0) & (mean > 0)
    counted = {
        "customers": int(population.customers[used].sum()),
        "left_out": int(population.customers[repeating & ~used].sum()),
        "frequency_value_correlation": _correlation(
            population.value_days[used], mean[used], population.customers[used]
        ),
    }
    if isinstance(spending, Undetermined):
        return {"p": None, "q": None, "v": None, "log_likelihood": None, "reason": spending.reason, **counted}
    return {
        **spending.parameters,
        "log_likelihood": spending.log_likelihood,
        "parameter_intervals": {name: shown_estimate(each) for name, each in spending.estimates.items()},
        "standard_errors": _standard_errors(spending.parameters, spending.log_covariance),
        "convergence": asdict(spending.convergence),
        **counted,
    }


def _correlation(one: Any, other: Any, weights: Any) -> float | None:
    if weights.sum() < 3:
        return None
    (a, b), (_, d) = np.cov(one, other, fweights=weights)
    return float(b / np.sqrt(a * d)) if a > 0 and d > 0 else None


def was_reached(found: BtydFit) -> bool:
    """Whether the fit is where the data point to, also where that is a limit that leaves some parameter open."""
    reason = found.convergence.reason
    return reason is None or not reason.startswith(NO_MAXIMUM)


def warnings_of(
    task: Task, population: Population, found: BtydFit, spending: GammaGammaFit | Undetermined
) -> list[dict[str, str]]:
    """What to mind about a model; code and sentence."""
    history = int(population.age.max()) + 1
    said = []
    reason = found.convergence.reason
    if not was_reached(found):
        said.append(("not_converged", f"The search ended without a maximum: {reason}; do not rely on the forecasts."))
    elif reason is not None:
        code = "at_bounds" if found.convergence.at_bounds else "singular"
        said.append((code, f"Not every parameter has a value: {reason}. The forecasts are those of that limit."))
    if task.horizon_days > history:
        detail = f"The forecast of {task.horizon_days:,} days is longer than the {history:,} days that were seen."
        said.append(("horizon_exceeds_history", detail))
    if isinstance(spending, Undetermined):
        detail = "What a purchase is worth could not be learned: purchases are forecast, money is not."
        said.append((spending.reason, detail))
    elif spending.parameters["q"] <= 1:
        detail = (
            "Customers differ so much that what a purchase is worth has no mean: who bought once has no lifetime value."
        )
        said.append(("infinite_mean", detail))
    return [{"code": code, "detail": detail} for code, detail in said]
