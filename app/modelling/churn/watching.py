"""How a model has fared since it learned: drift of what it reads and says, and what came of what it would have said."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from app.clock import format_instant
from app.errors import MissingRates
from app.jobs.runtime import JobContext
from app.modelling.churn import cohorts, repository
from app.modelling.churn.cohorts import Looking
from app.modelling.churn.drifting import ORDER, drift_of
from app.modelling.churn.scoring import Opened, score
from app.modelling.churn.task import Observed
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import count_customers
from app.modelling.predictions.repository import PredictiveModel
from app.stats.calibration import brier_score, expected_calibration_error, log_loss
from app.stats.proportion import proportion_interval

SAMPLE = 10_000
# Predicted and observed shares may differ by so much before anybody is warned, however sure the difference is.
MISCALIBRATED = 0.05
LEAST_MATURED = 100


async def watch(context: JobContext, model: PredictiveModel, opened: Opened, *, reporting: Reporting) -> dict[str, Any]:
    """What is to be said of a model now, from a sample of customers."""
    now = context.clock.now()
    async with context.step() as step:
        customers = await count_customers(step.session)
        share = min(1.0, SAMPLE / max(customers, 1))
        some = await repository.drawn(step.session, share=share)
        async with await repository.cursor_of(step.session) as cursor:
            asked = opened.asked(reporting, uses_clv=False)
            rows = await repository.read(cursor, step.session.dialect, asked, scope=some, as_of=now)
    scored = await asyncio.to_thread(score, opened, rows, currency=reporting.currency)
    told = ~np.isnan(scored.probabilities)
    values = {name: scored.values[name][told] for name in opened.scorer.features}
    drift = drift_of(opened.document["reference"], values, scored.probabilities[told])
    matured = await _matured(context, model, opened, some=some, reporting=reporting)
    warnings = [*_of_drift(drift), *_of_calibration(matured)]
    verdicts = [each["verdict"] for each in (*drift["features"], drift["scores"]) if each["verdict"]]
    return {
        "checked_at": format_instant(now),
        "customers": int(told.sum()),
        "status": max(verdicts, key=ORDER.index, default=None),
        **drift,
        "matured": matured,
        "warnings": warnings,
    }


async def _matured(
    context: JobContext, model: PredictiveModel, opened: Opened, *, some: Sequence[str], reporting: Reporting
) -> dict[str, Any]:
    """What the model would have said a horizon ago, from what was known then, beside what happened since."""
    horizon = opened.definition.horizon_days
    if horizon is None:
        return {"value": None, "reason": "no_horizon"}
    cutoff = context.clock.now() - timedelta(days=horizon)
    if cutoff < model.as_of:
        # It learned from some of what has happened since.
        return {"value": None, "reason": "not_matured", "matures_at": format_instant(_matures(model.as_of, horizon))}
    looking = Looking(cohorts.with_history(opened.features), opened.definition, reporting)
    try:
        [cohort] = await cohorts.of_inactivity(context, looking, at=[cutoff], customer_ids=some)
    except MissingRates as error:
        return {"value": None, "reason": error.code}
    if cohort.outcomes.size < LEAST_MATURED:
        return {"value": None, "reason": "too_few", "n": int(cohort.outcomes.size)}
    return await asyncio.to_thread(_judged, opened, cohort)


def _matures(as_of: datetime, horizon_days: int) -> datetime:
    return as_of + timedelta(days=horizon_days)


def _judged(opened: Opened, cohort: Observed) -> dict[str, Any]:
    probabilities = opened.scorer.probabilities(cohort.values)
    outcomes = cohort.outcomes
    observed = proportion_interval(int(outcomes.sum()), int(outcomes.size))
    return {
        "cutoff": cohort.cutoff,
        "n": int(outcomes.size),
        "mean_probability": float(probabilities.mean()),
        "observed": asdict(observed),
        "brier": asdict(brier_score(probabilities, outcomes)),
        "log_loss": asdict(log_loss(probabilities, outcomes)),
        "calibration_error": expected_calibration_error(probabilities, outcomes),
    }


def _of_drift(drift: dict[str, Any]) -> list[dict[str, str]]:
    shifted = [each["feature"] for each in drift["features"] if each["verdict"] == "shifted"]
    found = []
    if drift["scores"]["verdict"] == "shifted":
        detail = f"the scores of today's customers have shifted (PSI {drift['scores']['psi']:.2f}); learn anew"
        found.append({"code": "scores_shifted", "detail": detail})
    if shifted:
        detail = f"today's customers differ from those learned from in {', '.join(shifted)}"
        found.append({"code": "features_shifted", "detail": detail})
    return found


def _of_calibration(matured: dict[str, Any]) -> list[dict[str, str]]:
    observed = matured.get("observed")
    if not observed or observed.get("low") is None:
        return []
    said = matured["mean_probability"]
    if observed["low"] <= said <= observed["high"] or abs(said - observed["value"]) < MISCALIBRATED:
        return []
    detail = f"it said {said:.3f} on average of customers at {matured['cutoff']}, and {observed['value']:.3f} left"
    return [{"code": "miscalibrated", "detail": detail}]
