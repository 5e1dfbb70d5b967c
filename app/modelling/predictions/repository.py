"""Predictive models and when each served, in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, insert, literal, or_, select, text, tuple_, update

from app.db.engine import Session
from app.tables.jobs import jobs
from app.tables.predictions import model_activations, predictive_models

Kind = Literal["churn", "clv"]
ENDED = ("failed", "cancelled")
# Serialises activations and retirements of one kind; the second number is the kind's.
ACTIVATION_LOCK = 7_355_608_004


@dataclass(frozen=True, slots=True)
class PredictiveModel:
    """One model. status: `failed` where its training ended without one, then error says why.

    algorithm: the one that was chosen, once it was learned. continues: the model whose training it repeats.
    """

    model_id: UUID
    kind: Kind
    name: str | None
    status: str
    algorithm: str
    request: Mapping[str, Any]
    job_id: UUID | None
    artifact_id: UUID | None
    evaluation: Mapping[str, Any]
    monitoring: Mapping[str, Any] | None
    continues: UUID | None
    as_of: datetime
    created_at: datetime
    trained_at: datetime | None
    scored_at: datetime | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to learn: how, from facts before as_of, and which one's training that repeats."""

    algorithm: str
    request: Mapping[str, Any]
    as_of: datetime
    name: str | None = None
    continues: UUID | None = None


def _query(*conditions: ColumnElement[bool]) -> Select[Any]:
    m = predictive_models.c
    failed = (m.status == "training") & jobs.c.status.in_(ENDED)
    status = case((failed, literal("failed")), else_=m.status).label("status")
    columns = [status if name == "status" else m[name] for name in PredictiveModel.__slots__ if name != "error"]
    error = case((failed, jobs.c.error)).label("error")
    return (
        select(*columns, error)
        .select_from(predictive_models.outerjoin(jobs, jobs.c.job_id == m.job_id))
        .where(*conditions)
    )


async def create(session: Session, kind: Kind, wanted: Wanted) -> UUID:
    """A model that has learned nothing yet."""
    values = {name: getattr(wanted, name) for name in Wanted.__slots__}
    statement = insert(predictive_models).values(kind=kind, status="training", **values)
    created: UUID = (await session.execute(statement.returning(predictive_models.c.model_id))).scalar_one()
    return created


async def set_job(session: Session, model_id: UUID, job_id: UUID) -> None:
    """Which job learns it."""
    m = predictive_models.c
    await session.execute(update(predictive_models).where(m.model_id == model_id).values(job_id=job_id))


async def find(session: Session, kind: Kind, model_id: UUID) -> PredictiveModel | None:
    """One model; null when there is none of this kind."""
    m = predictive_models.c
    return await _one(session, m.kind == kind, m.model_id == model_id)


async def active(session: Session, kind: Kind) -> PredictiveModel | None:
    """The model that serves; null when none does."""
    m = predictive_models.c
    return await _one(session, m.kind == kind, m.status == "active")


async def active_at(session: Session, kind: Kind, instant: datetime) -> PredictiveModel | None:
    """The model that served at an instant; null when none did."""
    a = model_activations.c
    served = select(a.model_id).where(
        a.kind == kind, a.active_from <= instant, or_(a.active_to.is_(None), a.active_to > instant)
    )
    return await _one(session, predictive_models.c.model_id.in_(served))


async def _one(session: Session, *conditions: ColumnElement[bool]) -> PredictiveModel | None:
    row = (await session.execute(_query(*conditions))).one_or_none()
    return None if row is None else PredictiveModel(*row)


async def page(
    session: Session, kind: Kind, *, limit: int, after: tuple[datetime, UUID] | None
) -> list[PredictiveModel]:
    """Models of a kind, newest first, after one; at most limit + 1."""
    m = predictive_models.c
    query = _query(m.kind == kind).order_by(m.created_at.desc(), m.model_id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(tuple_(m.created_at, m.model_id) < tuple_(literal(after[0]), literal(after[1])))
    return [PredictiveModel(*row) for row in await session.execute(query)]


async def set_learned(
    session: Session,
    model_id: UUID,
    *,
    artifact_id: UUID,
    algorithm: str,
    evaluation: Mapping[str, Any],
    now: datetime,
) -> None:
    """What a training made of it: a candidate."""
    m = predictive_models.c
    await session.execute(
        update(predictive_models)
        .where(m.model_id == model_id, m.status == "training")
        .values(status="candidate", artifact_id=artifact_id, algorithm=algorithm, evaluation=evaluation, trained_at=now)
    )


async def lock_activation(session: Session, kind: Kind) -> None:
    """Until the transaction ends nobody else changes which model of the kind serves."""
    await session.execute(
        text("select pg_advisory_xact_lock(:lock + :kind)"), {"lock": ACTIVATION_LOCK, "kind": int(kind == "clv")}
    )


async def activate(session: Session, model: PredictiveModel, *, now: datetime) -> None:
    """Have it serve from now on, and the one that did no longer. Needs lock_activation."""
    m = predictive_models.c
    await retire(session, model.kind, now=now)
    await session.execute(update(predictive_models).where(m.model_id == model.model_id).values(status="active"))
    a = model_activations.c
    # Where the clock was set back since, it serves from the end of the last one on.
    begins = select(func.greatest(literal(now), func.max(a.active_to))).where(a.kind == model.kind).scalar_subquery()
    await session.execute(
        insert(model_activations).values(model_id=model.model_id, kind=model.kind, active_from=begins)
    )


async def retire(session: Session, kind: Kind, *, now: datetime) -> None:
    """Have no model of the kind serve. Needs lock_activation."""
    m, a = predictive_models.c, model_activations.c
    await session.execute(
        update(predictive_models).where(m.kind == kind, m.status == "active").values(status="archived")
    )
    ends = func.greatest(literal(now), a.active_from + text("interval '1 microsecond'"))
    await session.execute(update(model_activations).where(a.kind == kind, a.active_to.is_(None)).values(active_to=ends))


async def archive(session: Session, model_id: UUID) -> None:
    """Put aside a candidate that is not to serve."""
    m = predictive_models.c
    await session.execute(
        update(predictive_models).where(m.model_id == model_id, m.status == "candidate").values(status="archived")
    )


async def set_scored(session: Session, model_id: UUID, *, now: datetime) -> None:
    """Everybody was scored by it."""
    await _set(session, model_id, scored_at=now)


async def set_monitoring(session: Session, model_id: UUID, monitoring: Mapping[str, Any]) -> None:
    """How it has fared since."""
    await _set(session, model_id, monitoring=monitoring)


async def _set(session: Session, model_id: UUID, **values: Any) -> None:
    m = predictive_models.c
    await session.execute(update(predictive_models).where(m.model_id == model_id).values(**values))


async def is_training(session: Session, *, continues: UUID) -> bool:
    """Whether the successor of a model is being learned, or waits for it."""
    m = predictive_models.c
    query = _query(m.continues == continues, m.status == "training").subquery()
    found = await session.scalar(select(func.count()).select_from(query).where(query.c.status == "training"))
    return bool(found)


async def kinds_queued(session: Session, kinds: Sequence[str], *, night: str) -> set[str]:
    """Which of these kinds of job were queued for a night, however they ended."""
    query = select(jobs.c.kind).distinct().where(jobs.c.kind.in_(kinds), jobs.c.arguments["night"].astext == night)
    return set(await session.scalars(query))
