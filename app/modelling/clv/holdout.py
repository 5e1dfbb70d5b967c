"""What was expected for the days after calibration_end that are over, laid beside what happened."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from app.modelling.clv.seasons import LastYear, seasonal
from app.modelling.clv.task import Floats, Population, Task
from app.stats.btyd.families import in_order
from app.stats.btyd.fitting import BtydFit
from app.stats.btyd.forecasting import expected_purchases
from app.stats.btyd.gamma_gamma import GammaGammaFit, expected_value
from app.stats.btyd.processes import PROCESSES
from app.stats.btyd.uncertainty import total_purchases
from app.stats.estimate import Undetermined

# What happened is shown in about so many periods, in whole weeks.
PERIODS, WEEK = 13, 7
TOP = 0.1


def compared(task: Task, population: Population, found: BtydFit) -> dict[str, Any]:
    """How a fitted family did, in figures by which families are compared."""
    expected = _expected(task, population, found, task.held_out_days)
    weights, actual = population.customers, population.days_after
    return {
        "actual": int(actual @ weights),
        "expected": float(expected @ weights),
        "mae": float(np.abs(actual - expected) @ weights / weights.sum()),
        "log_likelihood": _log_likelihood(task, population, found),
    }


def judged(
    task: Task,
    population: Population,
    found: BtydFit,
    spending: GammaGammaFit | Undetermined,
    *,
    last_year: LastYear | None,
) -> dict[str, Any] | None:
    """All that is shown of it; None where nothing is held out."""
    if not task.held_out_days:
        return None
    plain = compared(task, population, found)
    interval = total_purchases(found, population.histories(task.unit), task.units(task.held_out_days), seed=task.seed)
    start = date.fromisoformat(task.calibration_end)
    periods = by_time(task, population, found)
    low, high = interval.low, interval.high
    covered = None if low is None or high is None else bool(low <= plain["actual"] <= high)
    shown = {
        "from": (start + timedelta(days=1)).isoformat(),
        "to": (start + timedelta(days=task.held_out_days)).isoformat(),
        "days": task.held_out_days,
        "customers": int(population.customers.sum()),
        **plain,
        "low": low,
        "high": high,
        "level": interval.level,
        "method": interval.method,
        "covered": covered,
        "ratio": plain["expected"] / plain["actual"] if plain["actual"] else None,
        "by_time": periods,
        "value": _value(task, population, found, spending),
        "seasonal": seasonal(periods, last_year),
    }
    return {**shown, "statement": _statement(shown)}


def _expected(task: Task, population: Population, found: BtydFit, days: float) -> Floats:
    unit = task.units(1)
    return expected_purchases(
        found.family,
        found.parameters,
        task.units(days),
        population.repeat_purchases,
        population.age_at_last_purchase * unit,
        population.age * unit,
    )


def _log_likelihood(task: Task, population: Population, found: BtydFit) -> float:
    """Of the days held out given those before: what is likely of both together, less what is likely of the first."""
    position = np.log(in_order(found.family, found.parameters))
    whole = PROCESSES[found.family].log_likelihood(population.histories_after(task.unit, task.held_out_days))
    return float(whole(position)[0]) - found.log_likelihood


def by_time(task: Task, population: Population, found: BtydFit) -> list[dict[str, Any]]:
    """Expected and actual purchases period by period; days are counted from calibration_end, the last one included."""
    days = task.held_out_days
    length = WEEK * max(-(-days // (WEEK * PERIODS)), 1)
    ends = [*range(length, days, length), days]
    expected = [0.0, *(float(_expected(task, population, found, end) @ population.customers) for end in ends)]
    starts = [0, *ends[:-1]]
    return [
        {
            "from_day": start + 1,
            "to_day": end,
            "actual": sum(count for day, count in population.bought_on.items() if start < day <= end),
            "expected": expected[place + 1] - expected[place],
        }
        for place, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _value(
    task: Task, population: Population, found: BtydFit, spending: GammaGammaFit | Undetermined
) -> dict[str, Any]:
    """Money: in total, and how much of it came from the tenth with the highest predicted value."""
    actual = population.value_after / task.minor_per_major
    weights = population.customers.astype(np.float64)
    total = float(actual @ weights)
    shown: dict[str, Any] = {"actual": total, "currency": task.currency}
    shown |= dict.fromkeys(("expected", "top_decile_share", "best_possible_share"))
    if isinstance(spending, GammaGammaFit):
        worth = expected_value(spending.parameters, population.value_days, population.mean_value(task.minor_per_major))
        predicted = worth * _expected(task, population, found, task.held_out_days)
        shown["expected"] = float(predicted @ weights)
        if total > 0:
            shown["top_decile_share"] = _share_of_top(predicted, actual, weights)
    if total > 0:
        shown["best_possible_share"] = _share_of_top(actual, actual, weights)
    return shown


def _share_of_top(by: Floats, of: Floats, weights: Floats) -> float:
    """Of a sum, the part that those have who come first by something: a tenth of all customers.

    Where one row of alike customers lies across the border, the part of them that is needed.
    """
    order = np.argsort(-by, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    taken = np.clip(TOP * weights.sum() - before, 0.0, weights[order])
    return float(taken @ of[order] / (weights @ of))


def _statement(shown: Mapping[str, Any]) -> str:
    expected, actual = shown["expected"], shown["actual"]
    if shown["covered"] is None:
        between = "no interval can be given"
    else:
        between = f"95 % interval {shown['low']:,.0f} to {shown['high']:,.0f}"
    said = f"From {shown['from']} to {shown['to']} {expected:,.0f} purchases were expected ({between}), {actual:,} happened"
    off = (
        "" if not actual else f": {100 * abs(expected / actual - 1):.0f} % too {'low' if expected < actual else 'high'}"
    )
    if shown["covered"] is False:
        return (
            f"{said}{off}, outside the interval. It knows chance and how uncertain the parameters are, not seasons, "
            "campaigns or a changing shop; on real shops such models are often 12 to 25 % low over a high season."
        )
    return f"{said}{off}{', inside the interval' if shown['covered'] else ''}."
