"""The life of a predictive model: who serves when, and what each night queues."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from app.db.engine import Database, Session
from app.errors import NoActiveModel, NotReady
from app.modelling.predictions import repository, service
from app.modelling.predictions.nightly import enqueue_due
from app.modelling.predictions.repository import PredictiveModel, Wanted
from app.tables.jobs import jobs
from app.tables.predictions import model_activations
from app.tables.registry import models

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[Session]:
    database = Database(database_url, pool_size=1, statement_timeout_seconds=30, application="test")
    async with database.write() as session:
        yield session
    await database.close()


async def candidate(session: Session, **request: object) -> PredictiveModel:
    """A churn model that has learned something."""
    _, model_id = await service.ask(session, "churn", Wanted("logistic", request, NOON), key_id=None)
    artifact = uuid4()
    row = {"kind": "churn", "algorithm": "logistic", "format": "x", "fingerprint": "x", "customers": 1}
    await session.execute(insert(models).values(model_id=artifact, content=b"x", signature=b"x", window_to=NOON, **row))
    await repository.set_learned(session, model_id, artifact_id=artifact, algorithm="logistic", evaluation={}, now=NOON)
    return await service.known(session, "churn", model_id)


async def activated(session: Session, model: PredictiveModel, at: datetime) -> UUID:
    await repository.lock_activation(session, "churn")
    await repository.activate(session, model, now=at)
    await repository.set_scored(session, model.model_id, now=at)
    return model.model_id


async def queued(session: Session) -> list[str]:
    return sorted(await session.scalars(select(jobs.c.kind).where(jobs.c.arguments.has_key("night"))))


async def test_one_model_serves_at_a_time_and_the_past_knows_which(session: Session) -> None:
    first = await activated(session, await candidate(session), NOON)
    second = await activated(session, await candidate(session), NOON + DAY)
    assert (await service.serving(session, "churn")).model_id == second
    assert (await service.serving(session, "churn", at=NOON + DAY / 2)).model_id == first
    assert (await service.serving(session, "churn", at=NOON + DAY)).model_id == second
    assert (await service.known(session, "churn", first)).status == "archived"
    with pytest.raises(NoActiveModel):
        await service.serving(session, "churn", at=NOON - DAY)
    with pytest.raises(NoActiveModel):
        await service.serving(session, "clv")


async def test_a_clock_that_was_set_back_leaves_no_overlap(session: Session) -> None:
    await activated(session, await candidate(session), NOON)
    await activated(session, await candidate(session), NOON - DAY)
    a = model_activations.c
    rows = (await session.execute(select(a.active_from, a.active_to).order_by(a.active_from))).all()
    assert rows[0].active_to == rows[1].active_from > rows[0].active_from
    assert rows[1].active_to is None


async def test_a_model_whose_training_failed_says_so_and_cannot_be_activated(session: Session) -> None:
    job_id, model_id = await service.ask(session, "churn", Wanted("auto", {}, NOON), key_id=None)
    error = {"code": "too_few_customers", "detail": "nobody", "errors": []}
    failed = {"status": "failed", "error": error, "finished_at": NOON}
    await session.execute(update(jobs).where(jobs.c.job_id == job_id).values(**failed))
    found = await service.known(session, "churn", model_id)
    assert (found.status, found.error) == ("failed", error)
    with pytest.raises(NotReady, match="failed"):
        await service.start_activation(session, "churn", model_id, key_id=uuid4())


async def test_models_are_listed_newest_first_page_by_page(session: Session) -> None:
    made = [(await candidate(session)).model_id for _ in range(3)]
    listed, after = [], None
    while found := await repository.page(session, "churn", limit=1, after=after):
        listed.append(found[0].model_id)
        after = (found[0].created_at, found[0].model_id)
    # Made within one transaction they have one time of creation: their ids decide.
    assert listed == sorted(made, reverse=True)


async def test_each_night_is_seen_to_once_after_two_in_the_reporting_zone(session: Session) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    await activated(session, await candidate(session), NOON)
    assert await enqueue_due(session, now=NOON + DAY / 4, zone=berlin) == []
    # 00:59 UTC on 2 November 2026 is 01:59 in Berlin.
    assert await enqueue_due(session, now=datetime(2026, 11, 2, 0, 59, tzinfo=UTC), zone=berlin) == []
    assert await enqueue_due(session, now=datetime(2026, 11, 2, 1, 0, tzinfo=UTC), zone=berlin) == [
        "score_churn",
        "watch_churn",
    ]
    assert await enqueue_due(session, now=datetime(2026, 11, 2, 9, 0, tzinfo=UTC), zone=berlin) == []
    assert await queued(session) == ["score_churn", "watch_churn"]
    assert len(await enqueue_due(session, now=datetime(2026, 11, 3, 9, 0, tzinfo=UTC), zone=berlin)) == 2


async def test_a_model_is_learned_anew_when_it_was_asked_to_be(session: Session) -> None:
    await activated(session, await candidate(session, retrain={"every_days": 2, "activate": "never"}), NOON)
    assert "retrain_churn_model" not in await enqueue_due(session, now=NOON + DAY, zone=UTC)
    assert "retrain_churn_model" in await enqueue_due(session, now=NOON + 2 * DAY, zone=UTC)
