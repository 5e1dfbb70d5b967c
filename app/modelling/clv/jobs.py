"""Long work on lifetime value: learning, scoring everybody, putting a model to work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from app.clock import parse_day, start_of_day
from app.errors import PredictiveModelNotFound
from app.jobs.compute import Elsewhere
from app.jobs.runtime import Handler, JobContext
from app.modelling.clv import repository
from app.modelling.clv.everybody import Scoring
from app.modelling.clv.repository import Span
from app.modelling.clv.seasons import YEAR_DAYS, can_be_told
from app.modelling.clv.task import Learned, Population, Task
from app.modelling.features.compiler import Reporting
from app.modelling.features.repository import count_customers, refuse_missing_rates
from app.modelling.predictions import repository as life
from app.modelling.predictions.repository import PredictiveModel
from app.modelling.registry.shelf import Models, Origin
from app.modelling.segments.evaluation import next_range
from app.money import exponent

CUSTOMERS = "customers"
# What imports the libraries that fit is imported where it runs.
LEARN = Elsewhere("app.modelling.clv.training", "learn")


@dataclass(frozen=True, slots=True)
class ClvJobs:
    """The handlers of this wing, and what they share. models: those of the kind `clv`."""

    reporting: Reporting
    models: Models

    async def train(self, context: JobContext) -> Mapping[str, Any]:
        """Learn a model. Run again after it had committed, it changes nothing."""
        model_id = UUID(context.arguments["model_id"])
        async with context.step() as step:
            model = await life.find(step.session, "clv", model_id)
            if model is None:
                raise PredictiveModelNotFound("The model was removed before it could be learned")
            if model.artifact_id is not None:
                return _result(model_id, model.algorithm, model.evaluation)
            held_out_to = await self._held_out_to(step.session, context.clock.now())
        task = self._task(model, held_out_to)
        population = await self._population(context, task, ended=parse_day(task.calibration_end))
        earlier = await self._a_year_earlier(context, task, population)
        learned: Learned = await context.compute.run(LEARN, task, population, earlier)
        async with context.step() as step:
            origin = Origin(learned.family, learned.fingerprint, learned.customers, model.as_of, task.seed)
            await life.set_learned(
                step.session,
                model_id,
                artifact_id=await self.models.keep(step.session, learned.document, origin),
                algorithm=learned.family,
                evaluation=learned.evaluation,
                now=context.clock.now(),
            )
        return _result(model_id, learned.family, learned.evaluation)

    async def _held_out_to(self, session: Any, now: datetime) -> date | None:
        """The last day that is over and not behind the newest purchase: of later days nothing is known to have happened."""
        zone = self.reporting.timezone
        today = now.astimezone(zone).date()
        newest = await repository.newest_purchase(session, before=start_of_day(today, zone))
        return None if newest is None else min(newest.astimezone(zone).date(), today - timedelta(days=1))

    def _task(self, model: PredictiveModel, held_out_to: date | None) -> Task:
        request = model.request
        end = parse_day(request["calibration_end"])
        return Task(
            family=request["model"],
            unit=request["time_unit"],
            horizon_days=request["horizon_days"],
            discount_rate_annual=request["discount_rate_annual"],
            value=request["value"],
            currency=self.reporting.currency,
            minor_per_major=10 ** exponent(self.reporting.currency),
            calibration_end=request["calibration_end"],
            held_out_days=0 if held_out_to is None else max((held_out_to - end).days, 0),
            seed=request["seed"],
        )

    async def _a_year_earlier(self, context: JobContext, task: Task, population: Population) -> Population | None:
        """Everybody as they were a year before, where that tells what the season does."""
        history = int(population.age.max(initial=0)) + 1
        if not can_be_told(held_out_days=task.held_out_days, history_days=history):
            return None
        ended = parse_day(task.calibration_end) - timedelta(days=YEAR_DAYS)
        return await self._population(context, task, ended=ended)

    async def _population(self, context: JobContext, task: Task, *, ended: date) -> Population:
        """Everybody's histories up to a day, that one included, and what they did on the days that are held out.

        Distinct rows, at most 72 bytes for each customer. Raises MissingRates.
        """
        as_of = self._end_of(ended)
        span = Span(as_of, ended)
        until = self._end_of(ended + timedelta(days=task.held_out_days)) if task.held_out_days else None
        parts, bought_on, after, done = [np.empty((0, 9), np.int64)], dict[int, int](), "", 0
        async with context.step(unit=CUSTOMERS) as step:
            step.progress(done=0, total=await count_customers(step.session))
        while True:
            async with context.step(unit=CUSTOMERS) as step:
                around = await next_range(step.session, after)
                if around is None:
                    return Population.of(np.concatenate(parts), bought_on)
                rows = await repository.population(
                    step.session, around, span, until=until, reporting=self.reporting, value=task.value
                )
                if rows is None:
                    await refuse_missing_rates(
                        step.session, scope=around, as_of=until or as_of, reporting=self.reporting
                    )
                    continue  # the missing rate has arrived since
                if until is not None:
                    for day, customers in (
                        await repository.bought_after(step.session, around, span, until=until, reporting=self.reporting)
                    ).items():
                        bought_on[day] = bought_on.get(day, 0) + customers
                done += int(rows[:, -1].sum())
                step.progress(done=done)
            parts.append(rows)
            after = around.upto

    def _end_of(self, day: date) -> datetime:
        return start_of_day(day + timedelta(days=1), self.reporting.timezone)

    async def activate(self, context: JobContext) -> Mapping[str, Any]:
        """Score everybody by a model, then have it serve, in one short transaction: until then the old one does."""
        model_id = UUID(context.arguments["model_id"])
        scoring = await Scoring.begin(context, self.reporting, self.models, model_id)
        await scoring.everybody()
        async with context.step() as step:
            await life.lock_activation(step.session, "clv")
            before = await life.active(step.session, "clv")
            model = await life.find(step.session, "clv", model_id)
            assert model is not None, "a model that has learned is never removed"
            if before is None or before.model_id != model_id:
                await life.activate(step.session, model, now=context.clock.now())
            await scoring.finish(step.session)
            if before is not None and before.model_id != model_id:
                step.progress(checkpoint={**scoring.at, "before": str(before.model_id)})
                scoring.at["before"] = str(before.model_id)
        if scoring.at.get("before"):
            async with context.step() as step:
                await repository.drop_model(step.session, UUID(scoring.at["before"]))
        return {"model_id": str(model_id), "scored": scoring.at["done"], "as_of": scoring.at["as_of"]}

    async def score(self, context: JobContext) -> Mapping[str, Any]:
        """Score everybody again by the active model, range by range, resuming after the last one committed."""
        async with context.step() as step:
            active = await life.active(step.session, "clv")
        if active is None:
            return {"model_id": None, "scored": 0}
        scoring = await Scoring.begin(context, self.reporting, self.models, active.model_id)
        await scoring.everybody()
        async with context.step() as step:
            await life.lock_activation(step.session, "clv")
            now_active = await life.active(step.session, "clv")
            if now_active is None or now_active.model_id != active.model_id:
                # Another one took over meanwhile: what was scored here is nobody's answer any more.
                await repository.drop_model(step.session, active.model_id)
                return {"model_id": str(active.model_id), "scored": 0}
            await scoring.finish(step.session)
        return {"model_id": str(active.model_id), "scored": scoring.at["done"], "as_of": scoring.at["as_of"]}


def _result(model_id: UUID, family: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What the contract shows of a training in its job."""
    same = ("parameters", "log_likelihood", "gamma_gamma", "convergence", "holdout")
    return {"model_id": str(model_id), "model": family, **{name: evaluation[name] for name in same}}


def handlers(reporting: Reporting, models: Models) -> Mapping[str, Handler]:
    """The handlers of this wing by the kind of job; models: those of the kind `clv`."""
    jobs = ClvJobs(reporting, models)
    return {"train_clv_model": jobs.train, "activate_clv_model": jobs.activate, "score_clv": jobs.score}
