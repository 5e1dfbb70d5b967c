"""A learned model at work: rows of features to probabilities, what is at stake, risk and reasons."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from app.db.engine import Session
from app.errors import NotReady
from app.ml.classification.scoring import Scorer, prepare_classifier
from app.ml.columns import Floats, Values
from app.modelling.churn.bands import Bands
from app.modelling.churn.definitions import AGE, FOR_VALUE, NET_SPEND, RECENCY, Definition
from app.modelling.churn.repository import TAIL, Asked
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import BY_NAME, Feature, feature_of
from app.modelling.predictions.repository import PredictiveModel
from app.modelling.registry.shelf import Models
from app.money import exponent, from_minor

KEPT = 16
# The largest amount a score may hold: what is beyond says nothing, and would not fit.
MOST_MINOR = 9.0e18
SOURCES = ("mean_spend", "clv")


@dataclass(frozen=True, slots=True)
class Opened:
    """A model made ready. features: what is read of customers, for the model, for the value and to tell who is meant."""

    model_id: UUID
    definition: Definition
    scorer: Scorer
    bands: Bands
    features: tuple[Feature, ...]
    needs_rates: bool
    document: Mapping[str, Any]

    @classmethod
    def of(cls, model: PredictiveModel, document: Mapping[str, Any]) -> "Opened":
        own = tuple(feature_of(each["name"], each["dtype"]) for each in document["features"])
        also = [BY_NAME[name] for name in (*FOR_VALUE, RECENCY)]
        return cls(
            model.model_id,
            Definition.of(document["definition"]),
            prepare_classifier(document["classifier"]),
            Bands.of(model.request.get("intervention")),
            tuple(dict.fromkeys([*own, *also])),
            any(each.needs_rates for each in own),
            document,
        )

    def asked(self, reporting: Reporting, *, uses_clv: bool) -> Asked:
        return Asked(self.features, reporting, uses_clv)


class ChurnModels:
    """The models of this process, each made ready once; models: those of the kind `churn`."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._ready: OrderedDict[UUID, Opened] = OrderedDict()

    async def of(self, session: Session, model: PredictiveModel) -> Opened:
        """A model made ready. Raises NotReady, ModelTampered and ModelFormatUnknown."""
        if model.artifact_id is None:
            raise NotReady("The model has not been learned")
        if model.model_id not in self._ready:
            self._ready[model.model_id] = Opened.of(model, await self.models.open(session, model.artifact_id))
            if len(self._ready) > KEPT:
                self._ready.popitem(last=False)
        self._ready.move_to_end(model.model_id)
        return self._ready[model.model_id]


@dataclass(frozen=True, slots=True)
class Scored:
    """Customers in order of identifier. probabilities and values_minor are NaN where undetermined.

    reasons: why there is no probability; null where there is one. by_clv: whether the value is that of the active
    lifetime value model.
    """

    customer_ids: list[str]
    values: Values
    probabilities: Floats
    values_minor: Floats
    by_clv: list[bool]
    reasons: list[str | None]


def score(opened: Opened, rows: Sequence[tuple[Any, ...]], *, currency: str) -> Scored:
    """Score what app.modelling.churn.repository.read gave."""
    columns = FeatureColumns.of(opened.features, [row[:-TAIL] for row in rows])
    n = len(columns.customer_ids)
    reasons = _undetermined(opened, columns.values, np.fromiter((bool(row[-TAIL]) for row in rows), np.bool_, n))
    told = np.fromiter((each is None for each in reasons), np.bool_, n)
    probabilities = np.full(n, np.nan)
    if told.all():
        probabilities = opened.scorer.probabilities(columns.values) if n else probabilities
    elif told.any():
        names = opened.scorer.features
        probabilities[told] = opened.scorer.probabilities({name: columns.values[name][told] for name in names})
    values, by_clv = _worth(opened, columns.values, rows, currency)
    return Scored(columns.customer_ids, columns.values, probabilities, values, by_clv, reasons)


def _undetermined(opened: Opened, values: Values, unrated: Any) -> list[str | None]:
    """Why nothing can be said of a customer; null: something can."""
    n = len(unrated)
    found: list[str | None] = [None] * n
    if opened.definition.kind == "inactivity":
        for place in np.flatnonzero(np.isnan(values[RECENCY])).tolist():
            found[place] = "no_purchases"
    if opened.needs_rates:
        for place in np.flatnonzero(unrated).tolist():
            found[place] = found[place] or "missing_exchange_rates"
    return found


def _worth(opened: Opened, values: Values, rows: Sequence[tuple[Any, ...]], currency: str) -> tuple[Floats, list[bool]]:
    """What each would spend over value_days, in whole minor units; NaN: unknown."""
    days = opened.definition.value_days
    age, net = values[AGE], values[NET_SPEND]
    # Of somebody who came yesterday the rate so far says little: counted as if over the whole horizon.
    spent = np.maximum(net, 0.0) * days / np.maximum(age, days) * 10 ** exponent(currency)
    spent[np.fromiter((bool(row[-TAIL]) for row in rows), np.bool_, len(rows))] = np.nan
    by_clv = [row[-1] is not None and bool(row[-2]) for row in rows]
    for place, row in enumerate(rows):
        if by_clv[place]:
            spent[place] = max(row[-1], 0) * days / row[-2]
    return np.minimum(np.rint(spent), MOST_MINOR), by_clv


@dataclass(frozen=True, slots=True)
class Shown:
    """What is the same in all answers by one model at one instant."""

    opened: Opened
    currency: str
    as_of: datetime

    def rows(self, scored: Scored, *, with_reasons: bool) -> list[dict[str, Any]]:
        """Each customer as answered, in the order of the scores."""
        risks = self.opened.bands.risks(scored.probabilities, scored.values_minor)
        known = ~np.isnan(scored.probabilities)
        names: Sequence[str] = ()
        parts, base = np.empty((0, 0)), 0.0
        if with_reasons and known.any():
            values = {name: scored.values[name][known] for name in self.opened.scorer.features}
            names, parts, base = self.opened.scorer.contributions(values)
        places = (np.cumsum(known) - 1).tolist()
        found = []
        for at, customer_id in enumerate(scored.customer_ids):
            row = self._row(scored, at, customer_id, risks[at])
            if with_reasons:
                row["reasons"] = _reasons(scored, at, names, parts[places[at]]) if known[at] else []
                row["base"] = base if known[at] else None
            found.append(row)
        return found

    def _row(self, scored: Scored, at: int, customer_id: str, risk: str | None) -> dict[str, Any]:
        probability, value = float(scored.probabilities[at]), float(scored.values_minor[at])
        told, priced = scored.reasons[at] is None, value == value
        definition = self.opened.definition
        row: dict[str, Any] = {
            "customer_id": customer_id,
            "churn_probability": probability if told else None,
            "horizon_days": definition.horizon_days,
            "risk": risk,
            "expected_value": money(int(value), self.currency) if priced else None,
            "value_at_risk": money(round(probability * value), self.currency) if told and priced else None,
            "expected_value_source": SOURCES[scored.by_clv[at]] if priced else None,
            "expected_value_days": definition.value_days,
            "model_id": self.opened.model_id,
            "as_of": self.as_of,
        }
        return row if told else {**row, "reason": scored.reasons[at]}


def _reasons(scored: Scored, at: int, names: Sequence[str], parts: Floats) -> list[dict[str, Any]]:
    """Strongest first; what adds nothing is no reason."""
    order = np.argsort(-np.abs(parts), kind="stable").tolist()
    contributions = parts.tolist()
    return [
        {
            "feature": names[place],
            "value": _plain(scored.values[names[place]][at]),
            "contribution": contributions[place],
        }
        for place in order
        if contributions[place] != 0
    ]


def _plain(value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if number != number else number


def money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": from_minor(minor, currency), "currency": currency}
