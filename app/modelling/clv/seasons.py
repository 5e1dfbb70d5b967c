"""Whether last year's season would have made this forecast better: only then is it offered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# 52 weeks: the same days of the week.
YEAR_DAYS = 364
# Fewer days tell no season from chance.
LEAST_DAYS = 28
# What a model of a year before has to have seen before it can be asked.
LEAST_HISTORY_DAYS = 90


@dataclass(frozen=True, slots=True)
class LastYear:
    """The same days a year earlier, by a model of the same family that had learned from what came before them.

    by_time: as of the days held out, the same periods.
    """

    calibration_end: str
    by_time: Sequence[Mapping[str, Any]]


def can_be_told(*, held_out_days: int, history_days: int) -> bool:
    """Whether the same days a year earlier are known, and enough before them."""
    return LEAST_DAYS <= held_out_days <= YEAR_DAYS and history_days >= YEAR_DAYS + LEAST_HISTORY_DAYS


def seasonal(periods: Sequence[Mapping[str, Any]], last_year: LastYear | None) -> dict[str, Any]:
    """The factor by which last year's forecast of the same days was too low, and whether it would have helped.

    Judged by the Poisson log loss per period (less is better), of purchases that were not known when either was made.
    """
    if last_year is None:
        return {
            "offered": False,
            "factor": None,
            "reason": "history_too_short",
            "detail": f"A season is told from {LEAST_DAYS} to {YEAR_DAYS} days of which the same a year earlier are known, and "
            f"{LEAST_HISTORY_DAYS} days before those: here nothing tells it from growth or chance.",
        }
    actual, expected = (sum(each[name] for each in last_year.by_time) for name in ("actual", "expected"))
    if not actual or not expected:
        return {
            "offered": False,
            "factor": None,
            "reason": "zero_denominator",
            "detail": "A year earlier nothing was expected on these days, or nothing happened.",
        }
    factor = actual / expected
    plain, corrected = _log_loss(periods, 1.0), _log_loss(periods, factor)
    better = corrected < plain
    total = sum(each["expected"] for each in periods)
    return {
        "offered": better,
        "factor": factor if better else None,
        "reason": None if better else "not_better",
        "log_loss": corrected,
        "log_loss_uncorrected": plain,
        "expected": factor * total,
        "detail": f"A model that knew purchases up to {last_year.calibration_end} expected {expected:,.0f} on the same days "
        f"of that year, {actual:,} happened: a factor of {factor:.2f}. Out of time it made this forecast "
        f"{'better' if better else 'no better'} (log loss {plain:.2f} without, {corrected:.2f} with it).",
    }


def _log_loss(periods: Sequence[Mapping[str, Any]], factor: float) -> float:
    """Mean over periods of -log P(actual) under Poisson, but for what no factor changes."""
    actual = np.array([each["actual"] for each in periods], dtype=np.float64)
    expected = factor * np.maximum([each["expected"] for each in periods], np.finfo(np.float64).tiny)
    return float(np.mean(expected - actual * np.log(expected)))
