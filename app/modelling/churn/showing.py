"""How churn models and lists of customers at risk are shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from app.modelling.churn.bands import Bands
from app.modelling.churn.definitions import Definition
from app.modelling.churn.scoring import money
from app.modelling.predictions import service as predictions
from app.modelling.predictions.repository import PredictiveModel

FIGURES = ("roc_auc", "pr_auc", "brier", "log_loss", "calibration_error", "lift")
LISTS = ("candidates", "importances", "partial_dependence", "leakage", "left_out", "cohorts", "alone")


def shown(model: PredictiveModel, *, currency: str) -> dict[str, Any]:
    """A model as it is answered; what only learning tells is null or empty before."""
    learned, request = model.evaluation, model.request
    definition = Definition.of(request["definition"])
    monitoring = model.monitoring or {}
    return {
        **predictions.shown(model),
        "definition": {**definition.shown()},
        "horizon_days": definition.horizon_days,
        "features": _features(model),
        "seed": request["seed"],
        "insist_on": request["insist_on"],
        "protected_attribute": request["protected_attribute"],
        "judged_on": learned.get("judged_on"),
        "note": learned.get("note"),
        "n": learned.get("n"),
        "positives": learned.get("positives"),
        "metrics": _metrics(learned) if learned else None,
        **{name: learned.get(name, []) for name in LISTS},
        "fairness": learned.get("fairness"),
        "bands": Bands.of(request["intervention"]).shown(currency=currency),
        "drift": model.monitoring,
        "warnings": [*learned.get("warnings", []), *monitoring.get("warnings", [])],
        "retrain": request["retrain"],
        "champion": learned.get("champion"),
    }


def _features(model: PredictiveModel) -> list[str] | None:
    if not model.evaluation:
        asked: list[str] | None = model.request["features"]
        return asked
    return [each["feature"] for each in model.evaluation["importances"]]


def _metrics(learned: Mapping[str, Any]) -> dict[str, Any]:
    calibration = learned["calibration"]
    return {
        **{name: learned["metrics"][name] for name in FIGURES},
        "base_rate": learned["base_rate"],
        "constant": learned["constant"],
        "calibration": calibration["bins"],
        "calibration_line": calibration["line"],
        "calibration_method": calibration["method"],
        "baseline": learned["baseline"],
    }


def at_risk_row(row: Mapping[str, Any], bands: Bands, *, currency: str) -> dict[str, Any]:
    """A customer in a list; value_at_risk_minor stays for the cursor."""
    value, at_risk = row["expected_value_minor"], row["value_at_risk_minor"]
    known = np.array([np.nan if value is None else float(value)])
    return {
        "customer_id": row["customer_id"],
        "churn_probability": row["churn_probability"],
        "risk": bands.risks(np.array([row["churn_probability"]]), known)[0],
        "expected_value": None if value is None else money(value, currency),
        "value_at_risk": None if at_risk is None else money(at_risk, currency),
        "scored_at": row["scored_at"],
        "value_at_risk_minor": at_risk,
    }
