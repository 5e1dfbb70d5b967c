"""Asking for lifetime value models, and what they say of customers."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from app.clock import start_of_day
from app.db.engine import Session
from app.errors import CustomerNotFound, FieldError, InvalidInput, NoActiveModel, NotReady
from app.modelling.clv import repository
from app.modelling.clv.repository import Histories, Serving, Span
from app.modelling.clv.schemas import ClvModelIn
from app.modelling.clv.showing import customer_rows, shown
from app.modelling.clv.valuation import Known, Valuer
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import refuse_missing_rates, survivors
from app.modelling.features.service import present
from app.modelling.predictions import repository as life
from app.modelling.predictions import service as predictions
from app.modelling.predictions.repository import PredictiveModel, Wanted
from app.modelling.registry.shelf import Models
from app.money import exponent

TICK = timedelta(microseconds=1)


async def ask(
    session: Session, asked: ClvModelIn, *, now: datetime, reporting: Reporting, key_id: UUID
) -> tuple[UUID, UUID]:
    """Queue the training of a model; job and model. Raises InvalidInput."""
    yesterday = now.astimezone(reporting.timezone).date() - timedelta(days=1)
    end = asked.calibration_end or yesterday
    if end > yesterday:
        detail = f"{end} is not over yet; the last complete day is {yesterday}"
        raise InvalidInput(detail, errors=[FieldError("/calibration_end", "not_over_yet", detail)])
    request = {
        **asked.model_dump(mode="json", exclude={"name"}),
        "calibration_end": end.isoformat(),
        "currency": reporting.currency,
    }
    as_of = start_of_day(end + timedelta(days=1), reporting.timezone)
    return await predictions.ask(session, "clv", Wanted(asked.model, request, as_of, asked.name), key_id=key_id)


async def one(session: Session, model_id: UUID) -> dict[str, Any]:
    """One model as it is shown. Raises PredictiveModelNotFound."""
    return shown(await predictions.known(session, "clv", model_id))


async def listed(session: Session, *, limit: int, after: tuple[datetime, UUID] | None) -> list[dict[str, Any]]:
    """Models, newest first; at most limit + 1."""
    return [shown(each) for each in await life.page(session, "clv", limit=limit, after=after)]


async def archive(session: Session, model_id: UUID, *, now: datetime) -> dict[str, Any]:
    """Retire a model; the active one then serves no longer. Raises PredictiveModelNotFound and NotReady."""
    await life.lock_activation(session, "clv")
    model = await predictions.known(session, "clv", model_id)
    if model.artifact_id is None:
        raise NotReady("A model that has not learned anything cannot be archived")
    if model.status == "active":
        await life.retire(session, "clv", now=now)
    else:
        await life.archive(session, model_id)
    return await one(session, model_id)


async def serving(session: Session, *, as_of: datetime | None, now: datetime) -> PredictiveModel:
    """The model to ask. Raises NoActiveModel, and InvalidInput for the future.

    Before any model served, the first one that did speaks from where it had learned all it knows.
    """
    if as_of is None:
        return await predictions.serving(session, "clv")
    if as_of > now:
        detail = "what will have happened by then is not known yet"
        raise InvalidInput(detail, errors=[FieldError("as_of", "in_the_future", detail)])
    try:
        return await predictions.serving(session, "clv", at=as_of)
    except NoActiveModel:
        first = await repository.first_to_serve(session)
        if first is None or as_of >= first.active_from or as_of < first.learned_until:
            raise
        return await predictions.known(session, "clv", first.model_id)


async def of_customer(
    session: Session, customer_id: str, *, as_of: datetime | None, now: datetime, reporting: Reporting, models: Models
) -> dict[str, Any]:
    """What a customer is expected to be worth, from the facts before as_of.

    Raises CustomerNotFound, NoActiveModel and MissingRates.
    """
    survivor, model = await _who_and_by_what(session, customer_id, as_of=as_of, now=now)
    instant = as_of or now
    document = await opened(session, model, models, reporting=reporting)
    found = await _read(session, [survivor], document, instant, reporting)
    if not found.is_valued.all():
        await refuse_missing_rates(session, scope=[survivor], as_of=instant, reporting=reporting)
    # A millisecond or two: no longer than handing it to a thread and waiting for one's turn again.
    rows = customer_rows(found, Valuer.of(document).value(known(found, reporting)), document)
    return {"customer_id": survivor, **rows.get(survivor, NEVER_BOUGHT), **_by(model, document, instant)}


async def _who_and_by_what(
    session: Session, customer_id: str, *, as_of: datetime | None, now: datetime
) -> tuple[str, PredictiveModel | Serving]:
    """The customer that is meant and the model to ask. Raises CustomerNotFound, and as `serving` does."""
    if as_of is not None:
        return await present(session, customer_id), await serving(session, as_of=as_of, now=now)
    survivor, model = await repository.who_and_by_what(session, customer_id)
    if survivor is None:
        raise CustomerNotFound()
    if model is None:
        raise NoActiveModel(predictions.NOT_ACTIVE["clv"])
    return survivor, model


async def of_many(
    session: Session,
    customer_ids: Sequence[str],
    *,
    as_of: datetime | None,
    now: datetime,
    reporting: Reporting,
    models: Models,
) -> dict[str, Any]:
    """The same of many, each once, in the order asked, under the identifier asked for. Raises NoActiveModel."""
    model = await serving(session, as_of=as_of, now=now)
    asked = list(dict.fromkeys(customer_ids))
    meant = await survivors(session, asked)
    document = await opened(session, model, models, reporting=reporting)
    instant = as_of or now
    found = await _read(session, sorted(set(meant.values())), document, instant, reporting)
    # Beside the event loop: what takes milliseconds for one takes long for ten thousand.
    valued = await asyncio.to_thread(Valuer.of(document).value, known(found, reporting))
    rows, about = customer_rows(found, valued, document), _by(model, document, instant)
    data = [{"customer_id": each, **rows.get(meant[each], NEVER_BOUGHT), **about} for each in asked if each in meant]
    return {"data": data, "unknown": [each for each in asked if each not in meant]}


NEVER_BOUGHT: Mapping[str, Any] = {
    **dict.fromkeys(
        ("p_alive", "expected_purchases", "expected_value", "clv", "clv_low", "clv_high", "level", "method")
    ),
    "reason": "no_purchases",
    "purchase_days": 0,
    "age_days": None,
    "age_at_last_purchase_days": None,
}


def _by(model: PredictiveModel | Serving, document: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    return {"horizon_days": document["horizon_days"], "model_id": model.model_id, "as_of": as_of}


async def opened(
    session: Session, model: PredictiveModel | Serving, models: Models, *, reporting: Reporting
) -> Mapping[str, Any]:
    """What a model learned. Raises ModelTampered and ModelFormatUnknown, and NotReady where it knows other money."""
    assert model.artifact_id is not None, "what serves has learned"
    document = await models.open(session, model.artifact_id)
    if document["currency"] != reporting.currency:
        raise NotReady(
            f"The model was learned in {document['currency']}, and the reporting currency is {reporting.currency} now; "
            "learn one anew"
        )
    return document


async def _read(
    session: Session, customer_ids: Sequence[str], document: Mapping[str, Any], as_of: datetime, reporting: Reporting
) -> Histories:
    return await repository.histories(
        session,
        customer_ids,
        Span(as_of, day_before(as_of, reporting)),
        reporting=reporting,
        value=document["value"],
    )


def day_before(instant: datetime, reporting: Reporting) -> date:
    """The reporting day of the last moment before an instant."""
    return (instant - TICK).astimezone(reporting.timezone).date()


def known(found: Histories, reporting: Reporting) -> Known:
    """Customers as a model sees them. Money that cannot be added is as good as none; whoever shows it must know."""
    minor_per_major = 10 ** exponent(reporting.currency)
    usable = found.is_valued & (found.value_days > 0)
    days = np.where(usable, found.value_days, 0)
    # Who returned more than they bought is worth nothing so far, which is not less than nothing.
    mean = np.where(usable, np.maximum(found.value_minor, 0) / np.maximum(days, 1) / minor_per_major, 0.0)
    return Known(found.repeat_purchases, found.age_at_last_purchase, found.age, days, mean)
