"""Jobs: enqueued with the caller's transaction, run once, resumed, cancelled, failed with a reason."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.clock import SystemClock
from app.db.engine import Database
from app.errors import InvalidInput
from app.jobs import queue, repository
from app.jobs.compute import Compute
from app.jobs.runtime import Handler, JobContext, Runner, Superseded
from app.jobs.worker import queue_app, work
from tests.conftest import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=6, statement_timeout_seconds=30, application="test")
    yield opened
    await opened.close()


@asynccontextmanager
async def working(database: Database, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """A worker beside the test."""
    compute, stop = Compute(1), asyncio.Event()
    runner = Runner(database, clock=SystemClock(), compute=compute, handlers=handlers)
    task = asyncio.create_task(work(queue_app(database.url, runner), stop))
    try:
        yield
    finally:
        stop.set()
        await task
        compute.close()


async def enqueue(database: Database, kind: str, **arguments: Any) -> UUID:
    async with database.write() as session:
        return await queue.enqueue(session, kind, arguments=arguments)


async def job(database: Database, job_id: UUID) -> dict[str, Any]:
    async with database.read() as session:
        found = await repository.find(session, job_id)
    assert found is not None
    return found


async def over(database: Database, job_id: UUID, *, seconds: float = 20) -> dict[str, Any]:
    for _ in range(int(seconds * 20)):
        found = await job(database, job_id)
        if found["finished_at"] is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"the job is still {found['status']}")


async def count_up(context: JobContext) -> dict[str, Any]:
    """Ten steps of one row each; the rows and the checkpoint commit together."""
    start = (context.checkpoint or {}).get("done", 0)
    for number in range(start, 10):
        async with context.step(total=10, unit="rows") as step:
            await step.session.execute(text("insert into made (n) values (:n)"), {"n": number})
            step.progress(done=number + 1, checkpoint={"done": number + 1})
    return {"rows": 10}


async def rows_made(database: Database) -> list[int]:
    async with database.read() as session:
        return list(await session.scalars(text("select n from made order by n")))


async def create_table(database: Database) -> None:
    async with database.write() as session:
        await session.execute(text("create table made (n int)"))


async def test_a_job_runs_and_reports_progress_and_result(database: Database) -> None:
    await create_table(database)
    async with working(database, {"count": count_up}):
        found = await over(database, await enqueue(database, "count"))
    assert (found["status"], found["result"]) == ("succeeded", {"rows": 10})
    assert (found["progress_done"], found["progress_total"], found["progress_unit"]) == (10, 10, "rows")
    assert await rows_made(database) == list(range(10))


async def test_a_rolled_back_request_leaves_no_job(database: Database) -> None:
    async def failing_request() -> None:
        async with database.write() as session:
            await queue.enqueue(session, "count", arguments={})
            raise RuntimeError("the request fails")

    with pytest.raises(RuntimeError):
        await failing_request()
    async with database.read() as session:
        assert await session.scalar(text("select count(*) from jobs")) == 0
        assert await session.scalar(text("select count(*) from procrastinate_jobs")) == 0


async def test_a_job_that_was_interrupted_goes_on_where_it_stopped(database: Database) -> None:
    await create_table(database)
    job_id = await enqueue(database, "count")
    async with database.write() as session:
        taken = await repository.start(session, job_id, now=SystemClock().now())
    assert taken is not None
    dead = JobContext(job_id, taken["attempts"], {}, None, database, SystemClock(), Compute(1))
    for number in range(4):
        async with dead.step() as step:
            await step.session.execute(text("insert into made (n) values (:n)"), {"n": number})
            step.progress(done=number + 1, checkpoint={"done": number + 1})
    async with working(database, {"count": count_up}):
        found = await over(database, job_id)
    assert (found["status"], found["attempts"]) == ("succeeded", 2)
    assert await rows_made(database) == list(range(10))


async def test_an_attempt_thought_dead_cannot_write_any_more(database: Database) -> None:
    await create_table(database)
    job_id = await enqueue(database, "count")
    async with database.write() as session:
        first = await repository.start(session, job_id, now=SystemClock().now())
        await repository.start(session, job_id, now=SystemClock().now())
    assert first is not None
    stale = JobContext(job_id, first["attempts"], {}, None, database, SystemClock(), Compute(1))

    async def late_step() -> None:
        async with stale.step() as step:
            await step.session.execute(text("insert into made (n) values (1)"))

    with pytest.raises(Superseded):
        await late_step()
    assert await rows_made(database) == []


async def test_a_job_fails_with_the_reason_a_caller_can_use(database: Database) -> None:
    async def refuse(_: JobContext) -> None:
        raise InvalidInput("column 7 is not there")

    async def crash(_: JobContext) -> None:
        raise KeyError("jane@example.org")

    async with working(database, {"refuse": refuse, "crash": crash}):
        refused = await over(database, await enqueue(database, "refuse"))
        crashed = await over(database, await enqueue(database, "crash"))
    assert (refused["status"], refused["error"]["detail"]) == ("failed", "column 7 is not there")
    assert crashed["error"]["code"] == "internal_error"
    assert "jane" not in str(crashed["error"])


async def test_a_running_job_stops_after_its_step_when_cancelled(database: Database) -> None:
    async def endless(context: JobContext) -> None:
        for number in range(10_000):
            async with context.step(done=number):
                await asyncio.sleep(0.01)

    async with working(database, {"endless": endless}):
        job_id = await enqueue(database, "endless")
        while (await job(database, job_id))["progress_done"] < 3:
            await asyncio.sleep(0.02)
        async with database.write() as session:
            await repository.ask_to_cancel(session, job_id, now=SystemClock().now())
        found = await over(database, job_id)
    assert found["status"] == "cancelled"
    assert found["progress_done"] < 10_000


async def test_a_waiting_job_is_cancelled_at_once(service: Service) -> None:
    job_id = await enqueue(service.app.state.service.database, "count")
    answer = await service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.json()["status"] == "cancelled"
    assert (await service.client.get(f"/v1/jobs/{job_id}")).json()["finished_at"] is not None


async def test_an_unknown_job_is_404(service: Service) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    assert (await service.client.get(f"/v1/jobs/{unknown}")).json()["code"] == "job_not_found"
    assert (await service.client.post(f"/v1/jobs/{unknown}/cancel")).status_code == 404


def triple(number: int) -> int:
    return 3 * number


async def test_cpu_work_runs_in_another_process(database: Database) -> None:
    compute = Compute(1)
    try:
        assert await compute.run(triple, 14) == 42
    finally:
        compute.close()
