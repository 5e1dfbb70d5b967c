"""What may be done with a predictive model in which state, and how one is shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import NoActiveModel, NotReady, PredictiveModelNotFound
from app.jobs.queue import enqueue
from app.modelling.predictions import repository
from app.modelling.predictions.repository import Kind, PredictiveModel, Wanted

NOT_ACTIVE: Mapping[Kind, str] = {
    "churn": "No churn model is active; make one with POST /v1/churn/models and activate it",
    "clv": "No lifetime value model is active; make one with POST /v1/clv/models and activate it",
}


async def ask(session: Session, kind: Kind, wanted: Wanted, *, key_id: UUID | None) -> tuple[UUID, UUID]:
    """Queue the training of a model as the job `train_<kind>_model`; job and model."""
    model_id = await repository.create(session, kind, wanted)
    job_id = await enqueue(session, f"train_{kind}_model", arguments={"model_id": str(model_id)}, key_id=key_id)
    await repository.set_job(session, model_id, job_id)
    return job_id, model_id


async def known(session: Session, kind: Kind, model_id: UUID) -> PredictiveModel:
    """Raises PredictiveModelNotFound."""
    found = await repository.find(session, kind, model_id)
    if found is None:
        raise PredictiveModelNotFound()
    return found


async def serving(session: Session, kind: Kind, *, at: datetime | None = None) -> PredictiveModel:
    """The model that serves now, or served at an instant. Raises NoActiveModel."""
    found = await (repository.active(session, kind) if at is None else repository.active_at(session, kind, at))
    if found is None:
        raise NoActiveModel(NOT_ACTIVE[kind] if at is None else "No model of this kind was active at that instant")
    return found


async def start_activation(session: Session, kind: Kind, model_id: UUID, *, key_id: UUID) -> UUID:
    """Queue the job `activate_<kind>_model`. Raises PredictiveModelNotFound and NotReady."""
    model = await known(session, kind, model_id)
    if model.artifact_id is None:
        raise NotReady(
            "The training of this model failed" if model.status == "failed" else "The model is still being learned"
        )
    return await enqueue(session, f"activate_{kind}_model", arguments={"model_id": str(model_id)}, key_id=key_id)


def shown(model: PredictiveModel) -> dict[str, Any]:
    """What every kind of model shows of itself; what it learned and how it is judged is the kind's own."""
    same = ("model_id", "name", "status", "algorithm", "as_of", "created_at", "trained_at", "scored_at", "continues")
    return {**{name: getattr(model, name) for name in same}, "job_id": model.job_id, "error": model.error}
