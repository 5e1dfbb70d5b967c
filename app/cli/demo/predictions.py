"""The models of the demo that look ahead: what customers will be worth, and who is about to leave."""

from collections.abc import Mapping
from typing import Any

from app.cli.demo.client import Api
from app.cli.demo.progress import step

CLV = {
    "name": "Lifetime value (demo)",
    "model": "bg_nbd",
    "time_unit": "week",
    "horizon_days": 365,
    "discount_rate_annual": 0.1,
    "value": "revenue",
}
CHURN = {
    "name": "Churn (demo)",
    "definition": {"kind": "inactivity", "horizon_days": 90},
    "algorithm": "logistic",
}
MODELS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("clv", CLV, "lifetime value learned"),
    ("churn", CHURN, "churn learned"),
)


def predict(api: Api) -> None:
    """Have both models serve, each made and activated where that has not been done yet."""
    for kind, asked, what in MODELS:
        found = find_model(api, kind, str(asked["name"]))
        if found is None or found["status"] in ("training", "failed"):
            with step(what):
                found = train(api, kind, asked, begun=found)
        if found["status"] == "candidate":
            with step("everybody scored by it"):
                api.finished(api.call("POST", f"/v1/{kind}/models/{found['model_id']}/activate")["id"])


def train(api: Api, kind: str, asked: Mapping[str, Any], *, begun: Mapping[str, Any] | None) -> dict[str, Any]:
    """The trained model. A start that was interrupted may have asked for it already."""
    if begun is not None and begun["status"] == "training":
        api.finished(begun["job_id"])
    else:
        api.finished(api.call("POST", f"/v1/{kind}/models", body=dict(asked))["id"])
    found = find_model(api, kind, str(asked["name"]))
    assert found is not None, "a model is listed from the moment it was asked for"
    return found


def find_model(api: Api, kind: str, name: str) -> dict[str, Any] | None:
    """The newest model of this name; None when there is none."""
    page = api.get(f"/v1/{kind}/models?limit=100")
    return next((dict(each) for each in page["data"] if each["name"] == name), None)
