"""Asking for churn models, and what they say of customers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import FieldError, InvalidInput, NoActiveModel, NotReady, SegmentationNotFound, SegmentNotFound
from app.modelling.churn import repository
from app.modelling.churn.definitions import KIND
from app.modelling.churn.repository import AtRisk, Position
from app.modelling.churn.scoring import ChurnModels, Opened, Shown, money, score
from app.modelling.churn.showing import at_risk_row, shown
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import survivors
from app.modelling.features.service import present
from app.modelling.memberships.repository import segment_exists
from app.modelling.predictions import repository as life
from app.modelling.predictions import service as predictions
from app.tables.predictions import churn_scores


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers are made by: the models of this process, how money and days are cut, what time it is."""

    models: ChurnModels
    reporting: Reporting
    now: datetime


async def one(session: Session, model_id: UUID, *, currency: str) -> dict[str, Any]:
    """One model as it is shown. Raises PredictiveModelNotFound."""
    return shown(await predictions.known(session, KIND, model_id), currency=currency)


async def listed(
    session: Session, *, currency: str, limit: int, after: tuple[datetime, UUID] | None
) -> list[dict[str, Any]]:
    """Models, newest first; at most limit + 1."""
    return [shown(each, currency=currency) for each in await life.page(session, KIND, limit=limit, after=after)]


async def archive(session: Session, model_id: UUID, *, now: datetime, currency: str) -> dict[str, Any]:
    """Retire a model; the active one then serves no longer. Raises PredictiveModelNotFound and NotReady."""
    await life.lock_activation(session, KIND)
    model = await predictions.known(session, KIND, model_id)
    if model.artifact_id is None:
        raise NotReady("A model that has not learned anything cannot be archived")
    if model.status == "active":
        await life.retire(session, KIND, now=now)
    else:
        await life.archive(session, model_id)
    return await one(session, model_id, currency=currency)


async def _opened(session: Session, serving: Serving, *, as_of: datetime | None) -> Opened:
    if as_of is not None and as_of > serving.now:
        detail = "what will have happened by then is not known yet"
        raise InvalidInput(detail, errors=[FieldError("as_of", "in_the_future", detail)])
    return await serving.models.of(session, await predictions.serving(session, KIND, at=as_of))


async def _scored(
    session: Session, customer_ids: Sequence[str], serving: Serving, *, as_of: datetime | None, with_reasons: bool
) -> dict[str, dict[str, Any]]:
    """Each existing customer as answered, by identifier."""
    opened = await _opened(session, serving, as_of=as_of)
    instant, currency = as_of or serving.now, serving.reporting.currency
    # What the model of lifetime value says is of today.
    asked = opened.asked(serving.reporting, uses_clv=as_of is None)
    async with await repository.cursor_of(session) as cursor:
        rows = await repository.read(cursor, session.dialect, asked, scope=customer_ids, as_of=instant)

    def work() -> list[dict[str, Any]]:
        found = score(opened, rows, currency=currency)
        return Shown(opened, currency, instant).rows(found, with_reasons=with_reasons)

    # Beside the event loop: what takes a millisecond for one takes long for ten thousand.
    return {row["customer_id"]: row for row in await asyncio.to_thread(work)}


async def of_customer(
    session: Session, customer_id: str, serving: Serving, *, as_of: datetime | None
) -> dict[str, Any]:
    """The score of a customer, through merges, now or as the model of then would have given it then.

    Raises CustomerNotFound, NoActiveModel, InvalidInput for the future, and ModelTampered.
    """
    survivor = await present(session, customer_id)
    return (await _scored(session, [survivor], serving, as_of=as_of, with_reasons=True))[survivor]


async def of_many(session: Session, customer_ids: Sequence[str], serving: Serving) -> dict[str, Any]:
    """The scores of these customers as of now, each once, in the order asked, under the identifier asked for."""
    asked = list(dict.fromkeys(customer_ids))
    meant = await survivors(session, asked)
    rows = await _scored(session, sorted(set(meant.values())), serving, as_of=None, with_reasons=False)
    return {
        "data": [{**rows[meant[each]], "customer_id": each} for each in asked if each in meant],
        "unknown": [each for each in asked if each not in meant],
    }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which customers at risk to list, and where to go on."""

    min_probability: float
    segment_id: UUID | None
    limit: int
    after: Position | None


async def section(session: Session, customer_id: str, *, now: datetime, currency: str) -> dict[str, Any]:
    """The stored score in a customer's profile, with the time that it is of."""
    nothing = {"as_of": now, "churn_probability": None}
    try:
        model = await predictions.serving(session, KIND)
    except NoActiveModel as error:
        return {**nothing, "reason": error.code}
    about = {"model_id": model.model_id, "horizon_days": model.request["definition"].get("horizon_days")}
    row = await repository.stored(session, model.model_id, customer_id)
    if row is None:
        return {**nothing, **about, "reason": "not_scored"}
    minor = row["value_at_risk_minor"]
    at_stake = None if minor is None else money(minor, currency)
    return {
        "as_of": row["scored_at"],
        "churn_probability": row["churn_probability"],
        "value_at_risk": at_stake,
        **about,
    }


async def at_risk(session: Session, wanted: Wanted, serving: Serving) -> dict[str, Any]:
    """The page's rows, at most limit + 1, and what they were scored by. Raises NoActiveModel and SegmentNotFound."""
    model = await predictions.serving(session, KIND)
    opened = await serving.models.of(session, model)
    if wanted.segment_id is not None and not await segment_exists(session, wanted.segment_id):
        raise SegmentNotFound()
    definition = opened.definition
    left = (definition.label, definition.positive) if definition.kind == "label" and definition.positive else None
    asked = AtRisk(model.model_id, wanted.segment_id, wanted.min_probability, left)
    rows = await repository.at_risk(session, asked, limit=wanted.limit, after=wanted.after)
    return {
        "model_id": model.model_id,
        "horizon_days": definition.horizon_days,
        "expected_value_source": "mean_spend" if await life.active(session, "clv") is None else "clv",
        "expected_value_days": definition.value_days,
        "scored_at": model.scored_at,
        "rows": [at_risk_row(row, opened.bands, currency=serving.reporting.currency) for row in rows],
    }


async def by_segment(session: Session, segmentation_id: UUID | None, serving: Serving) -> dict[str, Any]:
    """The customers of each segment by their last score. Raises NoActiveModel, SegmentationNotFound, InvalidInput."""
    model = await predictions.serving(session, KIND)
    opened = await serving.models.of(session, model)
    chosen = segmentation_id or await _only_segmentation(session)
    if not await repository.segmentation_exists(session, chosen):
        raise SegmentationNotFound()
    s = churn_scores.c
    band = repository.known_band(opened.bands.in_sql(s.churn_probability, s.expected_value_minor))
    rows = await repository.by_segment(session, chosen, model.model_id, band=band)
    return {
        "segmentation_id": chosen,
        "model_id": model.model_id,
        "horizon_days": opened.definition.horizon_days,
        "scored_at": model.scored_at,
        "data": [_segment(row, currency=serving.reporting.currency) for row in rows],
    }


async def _only_segmentation(session: Session) -> UUID:
    found = await repository.active_segmentations(session)
    if len(found) != 1:
        detail = "name one: " + ("several segmentations are active" if found else "no segmentation is active")
        raise InvalidInput(detail, errors=[FieldError("segmentation_id", "missing_field", detail)])
    return found[0]


def _segment(row: Mapping[str, Any], *, currency: str) -> dict[str, Any]:
    return {
        "segment_id": row["segment_id"],
        "segment_key": row["key"],
        "segment_name": row["name"],
        "customers": row["customers"],
        "scored": row["scored"],
        "mean_probability": row["mean_probability"],
        "bands": {word: row[word] for word in ("low", "medium", "high")},
        "expected_value": money(int(row["expected_value_minor"]), currency),
        "value_at_risk": money(int(row["value_at_risk_minor"]), currency),
    }
