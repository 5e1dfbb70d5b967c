"""Fitting lifetime value models, as a pure call that runs in a niced process of its own."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast, get_args

import numpy as np

from app.errors import FieldError, InvalidInput, TooFewCustomers
from app.modelling.clv import holdout
from app.modelling.clv.account import of_fit, of_spending, warnings_of, was_reached
from app.modelling.clv.seasons import YEAR_DAYS, LastYear
from app.modelling.clv.task import Learned, Population, Task
from app.modelling.clv.totals import forecast
from app.modelling.clv.valuation import document_of
from app.stats.btyd.families import Family
from app.stats.btyd.fitting import BtydFit, fit
from app.stats.btyd.gamma_gamma import GammaGammaFit, fit_gamma_gamma
from app.stats.estimate import Undetermined

FAMILIES: tuple[Family, ...] = get_args(Family)
# Fewer tell nothing that four parameters could rest on.
LEAST_CUSTOMERS, LEAST_REPEATING = 20, 5
# A forecast longer than this many times what was seen is a guess.
HORIZON_PER_HISTORY = 2
WHY_NOT: Mapping[str, str] = {
    "no_repeat_purchases": "nobody bought on a second day: how often customers come back cannot be learned",
    "everyone_active": "everybody bought on the last day: how customers leave cannot be learned",
    "too_few": "there are too few customers to learn from",
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """One family fitted, with the values that all share, and how it forecast what was held out (None: nothing was)."""

    fit: BtydFit
    document: Mapping[str, Any]
    held_out: Mapping[str, Any] | None


def learn(task: Task, population: Population, earlier: Population | None = None) -> Learned:
    """Fit, choose, judge. Raises InvalidInput and TooFewCustomers.

    earlier: customers as they were a year before, and what they did on the days of that year that are held out now.
    """
    refuse(task, population)
    spending = _spending(task, population)
    wanted = FAMILIES if task.family == "auto" else (cast(Family, task.family),)
    tried = {family: _fitted(task, population, family, spending) for family in wanted}
    chosen = _chosen(tried)
    found = tried[chosen]
    assert isinstance(found, Fitted), "what is chosen was fitted"
    evaluation = {
        **of_fit(found.fit),
        "model": chosen,
        "customers": int(population.customers.sum()),
        "repeating_customers": int(population.customers[population.repeat_purchases > 0].sum()),
        "repeat_purchases": int((population.repeat_purchases * population.customers).sum()),
        "gamma_gamma": of_spending(spending, population, task),
        "holdout": holdout.judged(task, population, found.fit, spending, last_year=_last_year(task, earlier, chosen)),
        "candidates": _candidates(tried, chosen),
        "forecast": forecast(task, population, found.document),
        "warnings": warnings_of(task, population, found.fit, spending),
    }
    return Learned(found.document, chosen, evaluation, fingerprint(population), int(population.customers.sum()))


def _last_year(task: Task, earlier: Population | None, family: Family) -> LastYear | None:
    """How a model of the family would have done on the same days a year before; None where it could not be made."""
    if earlier is None or not (earlier.repeat_purchases * earlier.customers).any():
        return None
    found = fit(earlier.histories(task.unit), family, seed=task.seed)
    if isinstance(found, Undetermined) or not was_reached(found):
        return None
    ended = date.fromisoformat(task.calibration_end) - timedelta(days=YEAR_DAYS)
    return LastYear(ended.isoformat(), holdout.by_time(task, earlier, found))


def refuse(task: Task, population: Population) -> None:
    """Raise InvalidInput or TooFewCustomers for what no model can be learned from."""
    everybody = int(population.customers.sum())
    repeating = int(population.customers[population.repeat_purchases > 0].sum())
    upto = f"up to {task.calibration_end}"
    if everybody and not repeating:
        _refused(
            "/calibration_end",
            "no_repeat_purchases",
            f"{everybody:,} customers bought {upto}, and none of them on a second day",
        )
    if everybody < LEAST_CUSTOMERS or repeating < LEAST_REPEATING:
        detail = (
            f"{everybody:,} customers bought {upto}, {repeating:,} of them on more than one day; at least "
            f"{LEAST_CUSTOMERS} and {LEAST_REPEATING} are needed"
        )
        raise TooFewCustomers(detail, errors=[FieldError("/calibration_end", "too_few_customers", detail)])
    history = int(population.age.max()) + 1
    if task.horizon_days > HORIZON_PER_HISTORY * history:
        detail = (
            f"the first purchase is {history:,} days before the end of {task.calibration_end}: a forecast of "
            f"{task.horizon_days:,} days would be longer than {HORIZON_PER_HISTORY} times what was seen"
        )
        _refused("/horizon_days", "horizon_exceeds_history", detail)


def _refused(pointer: str, code: str, detail: str) -> None:
    raise InvalidInput(detail, errors=[FieldError(pointer, code, detail)])


def _spending(task: Task, population: Population) -> GammaGammaFit | Undetermined:
    known = population.value_days > 0
    return fit_gamma_gamma(
        population.value_days[known].astype(np.float64),
        population.mean_value(task.minor_per_major)[known],
        population.customers[known].astype(np.float64),
    )


def _fitted(
    task: Task, population: Population, family: Family, spending: GammaGammaFit | Undetermined
) -> Fitted | Undetermined:
    found = fit(population.histories(task.unit), family, seed=task.seed)
    if isinstance(found, Undetermined):
        return found
    known = spending if isinstance(spending, GammaGammaFit) else None
    document = {
        **document_of(
            found,
            known,
            unit=task.unit,
            horizon_days=task.horizon_days,
            discount_rate_annual=task.discount_rate_annual,
        ),
        "spending_reason": spending.reason if isinstance(spending, Undetermined) else None,
        "value": task.value,
        "currency": task.currency,
    }
    return Fitted(found, document, holdout.compared(task, population, found) if task.held_out_days else None)


def _chosen(tried: Mapping[Family, Fitted | Undetermined]) -> Family:
    """The best of those that converged: at what was held out, else at what was learned from. Raises InvalidInput."""
    fitted = {family: each for family, each in tried.items() if isinstance(each, Fitted)}
    if not fitted:
        reason = next(each.reason for each in tried.values() if isinstance(each, Undetermined))
        _refused("/calibration_end", reason, WHY_NOT.get(reason, f"no model could be fitted ({reason})"))

    def merit(family: Family) -> tuple[bool, float]:
        each = fitted[family]
        judged = each.fit.log_likelihood if each.held_out is None else each.held_out["log_likelihood"]
        return each.fit.convergence.converged, judged

    return max(fitted, key=merit)


def _candidates(tried: Mapping[Family, Fitted | Undetermined], chosen: Family) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for family, each in tried.items():
        if isinstance(each, Undetermined):
            shown.append({"model": family, "chosen": False, "reason": each.reason})
            continue
        shown.append({"model": family, "chosen": family == chosen, **of_fit(each.fit), "holdout": each.held_out})
    return shown


def fingerprint(population: Population) -> str:
    """A hash of the data that were learned from, in whatever order they were read."""
    columns: Sequence[Any] = [
        population.repeat_purchases,
        population.age_at_last_purchase,
        population.age,
        population.value_days,
        population.value_minor,
    ]
    stacked = np.stack(columns)
    order = np.lexsort(stacked)
    digest = hashlib.sha256(np.ascontiguousarray(stacked[:, order]).tobytes())
    digest.update(population.customers[order].tobytes())
    return digest.hexdigest()
