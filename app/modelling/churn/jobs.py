"""Long work on churn: learning, scoring everybody, putting a model to work, watching it, learning it anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import FieldError, InvalidInput, ModelFormatUnknown, ModelTampered, PredictiveModelNotFound
from app.jobs.compute import Elsewhere
from app.jobs.queue import enqueue
from app.jobs.runtime import Handler, JobContext
from app.modelling.churn import cohorts, repository
from app.modelling.churn.cohorts import Looking
from app.modelling.churn.definitions import KIND, Definition
from app.modelling.churn.everybody import Run
from app.modelling.churn.scoring import ChurnModels
from app.modelling.churn.task import Learned, Observed, Task
from app.modelling.churn.watching import watch
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import Feature, feature_of
from app.modelling.features.repository import count_customers
from app.modelling.features.resolving import resolve_features
from app.modelling.predictions import repository as life
from app.modelling.predictions import service as predictions
from app.modelling.predictions.repository import PredictiveModel, Wanted
from app.modelling.registry.shelf import Origin

# What imports the libraries that fit is imported where it runs.
LEARN = Elsewhere("app.modelling.churn.training", "learn")
# Rows of retired models are removed so many at a time.
AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class ChurnJobs:
    """The handlers of this wing, and what they share."""

    reporting: Reporting
    models: ChurnModels

    async def train(self, context: JobContext) -> Mapping[str, Any]:
        """Learn a model. Run again after it had committed, it changes nothing."""
        model_id = UUID(context.arguments["model_id"])
        async with context.step() as step:
            model = await life.find(step.session, KIND, model_id)
            if model is None:
                raise PredictiveModelNotFound("The model was removed before it could be learned")
            if model.artifact_id is not None:
                return _result(model_id, model.algorithm, model.evaluation)
            champion = await self._champion(step.session, model)
            task, looking = await self._task(step.session, model, champion)
            customers = await count_customers(step.session)
            some = None
            if customers > cohorts.MOST_CUSTOMERS:
                some = await repository.drawn(step.session, share=cohorts.MOST_CUSTOMERS / customers)
        found, definition = await self._observed(context, model, looking, some)
        task = replace(task, definition=_kept(definition))
        learned: Learned = await context.compute.run(LEARN, task, found)
        async with context.step() as step:
            await self._keep(step.session, context, model, learned)
        return _result(model_id, learned.algorithm, learned.evaluation)

    async def _champion(self, session: Session, model: PredictiveModel) -> Mapping[str, Any] | None:
        """What the model learned that this one continues; null where it cannot be read any more."""
        if model.continues is None:
            return None
        before = await life.find(session, KIND, model.continues)
        if before is None or before.artifact_id is None:
            return None
        try:
            return await self.models.models.open(session, before.artifact_id)
        except (ModelTampered, ModelFormatUnknown):
            return None

    async def _task(
        self, session: Session, model: PredictiveModel, champion: Mapping[str, Any] | None
    ) -> tuple[Task, Looking]:
        request = model.request
        definition = Definition.of(request["definition"])
        names = request["features"] or await cohorts.default_features(session, definition)
        features = await self._resolved(session, names, model)
        protected = request["protected_attribute"]
        also: list[Feature] = []
        if protected is not None and protected not in names:
            also += await self._resolved(session, [protected], model)
        if champion is not None:
            also += [feature_of(each["name"], each["dtype"]) for each in champion["features"]]
        known = {each.name: each for each in reversed([*features, *also])}
        task = Task(
            request["algorithm"],
            [
                {"name": each.name, "dtype": each.dtype, "kind": each.kind, "window_days": each.window_days}
                for each in features
            ],
            request["definition"],
            definition.horizon_days,
            request["seed"],
            request["insist_on"],
            protected,
            request["features"] is None,
            champion,
        )
        return task, Looking(cohorts.with_history(list(known.values())), definition, self.reporting)

    async def _resolved(self, session: Session, names: Sequence[str], model: PredictiveModel) -> Sequence[Feature]:
        return await resolve_features(session, names, as_of=model.as_of)

    async def _observed(
        self, context: JobContext, model: PredictiveModel, looking: Looking, some: Sequence[str] | None
    ) -> tuple[list[Observed], Definition]:
        definition = looking.definition
        if definition.horizon_days is None:
            cohort, positive = await cohorts.of_label(context, looking, as_of=model.as_of, customer_ids=some)
            return [cohort], replace(definition, positive=positive)
        async with context.step() as step:
            first, last = await repository.history(step.session, before=model.as_of)
        at = cohorts.cutoffs(model.as_of, definition.horizon_days, history_from=first)
        if last is None or last < at[-1]:
            detail = (
                f"nobody bought in the {definition.horizon_days} days before as_of; the last purchase before was at "
                f"{last}: name an as_of up to which purchases are complete"
            )
            raise InvalidInput(detail, errors=[FieldError("/as_of", "one_class", detail)])
        return await cohorts.of_inactivity(context, looking, at=at, customer_ids=some), definition

    async def _keep(self, session: Session, context: JobContext, model: PredictiveModel, learned: Learned) -> None:
        evaluation = dict(learned.evaluation)
        active = await life.active(session, KIND)
        takes_over = bool(
            learned.is_better
            and (model.request["retrain"] or {}).get("activate") == "if_better"
            and active is not None
            and active.model_id == model.continues
        )
        if "champion" in evaluation:
            evaluation["champion"] |= {"model_id": str(model.continues), "takes_over": takes_over}
        origin = Origin(learned.algorithm, learned.fingerprint, learned.customers, model.as_of, model.request["seed"])
        await life.set_learned(
            session,
            model.model_id,
            artifact_id=await self.models.models.keep(session, learned.document, origin),
            algorithm=learned.algorithm,
            evaluation=evaluation,
            now=context.clock.now(),
        )
        if takes_over:
            await enqueue(session, "activate_churn_model", arguments={"model_id": str(model.model_id)})

    async def activate(self, context: JobContext) -> Mapping[str, Any]:
        """Score everybody by a model, then have it serve, in one short transaction: until then the old one does."""
        model_id = UUID(context.arguments["model_id"])
        async with context.step() as step:
            model = await predictions.known(step.session, KIND, model_id)
            opened = await self.models.of(step.session, model)
        run = Run.begin(context, opened, self.reporting)
        await run.everybody(serving_only=False)
        async with context.step() as step:
            await life.lock_activation(step.session, KIND)
            model = await predictions.known(step.session, KIND, model_id)
            if model.status != "active":
                await life.activate(step.session, model, now=context.clock.now())
            await life.set_scored(step.session, model_id, now=run.as_of)
        await self._drop_retired(context)
        return run.result()

    async def score(self, context: JobContext) -> Mapping[str, Any]:
        """Score everybody again by the active model, range by range, resuming after the last one committed."""
        async with context.step() as step:
            active = await life.active(step.session, KIND)
            if active is None:
                return {"model_id": None, "scored": 0}
            opened = await self.models.of(step.session, active)
        run = Run.begin(context, opened, self.reporting)
        if not await run.everybody(serving_only=True):
            await self._drop_retired(context)
            return {**run.result(), "superseded": True}
        async with context.step() as step:
            await life.set_scored(step.session, active.model_id, now=run.as_of)
        return run.result()

    async def _drop_retired(self, context: JobContext) -> None:
        while True:
            async with context.step() as step:
                await life.lock_activation(step.session, KIND)
                if not await repository.drop_retired(step.session, at_most=AT_ONCE):
                    return

    async def watch(self, context: JobContext) -> Mapping[str, Any]:
        """Compare today's customers with those learned from, and what was predicted with what happened."""
        async with context.step() as step:
            active = await life.active(step.session, KIND)
            if active is None:
                return {"model_id": None}
            opened = await self.models.of(step.session, active)
        found = await watch(context, active, opened, reporting=self.reporting)
        async with context.step() as step:
            await life.set_monitoring(step.session, active.model_id, found)
        return {"model_id": str(active.model_id), "status": found["status"], "warnings": found["warnings"]}

    async def retrain(self, context: JobContext) -> Mapping[str, Any]:
        """Queue the training of a challenger by the request of the active model, unless one is due later or on its way."""
        async with context.step() as step:
            active = await life.active(step.session, KIND)
            if active is None or active.request["retrain"] is None:
                return {"model_id": None}
            every = timedelta(days=active.request["retrain"]["every_days"])
            last = await repository.newest_successor(step.session, active.model_id) or active.trained_at
            now = context.clock.now()
            if (last is not None and now < last + every) or await life.is_training(
                step.session, continues=active.model_id
            ):
                return {"model_id": None}
            wanted = Wanted(active.request["algorithm"], active.request, now, active.name, active.model_id)
            job_id, model_id = await predictions.ask(step.session, KIND, wanted, key_id=None)
        return {"model_id": str(model_id), "job_id": str(job_id), "continues": str(active.model_id)}


def _kept(definition: Definition) -> dict[str, Any]:
    """The definition as the document holds it."""
    return {
        "kind": definition.kind,
        "horizon_days": definition.horizon_days,
        "attribute": definition.attribute,
        "positive": definition.positive,
    }


def _result(model_id: UUID, algorithm: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What the job says of a training."""
    metrics = {name: each["value"] for name, each in evaluation["metrics"].items()}
    leaks = [each["feature"] for each in evaluation["leakage"]]
    return {"model_id": str(model_id), "algorithm": algorithm, "metrics": metrics, "leakage": leaks}


def handlers(reporting: Reporting, models: ChurnModels) -> Mapping[str, Handler]:
    """The handlers of this wing by the kind of job."""
    jobs = ChurnJobs(reporting, models)
    return {
        "train_churn_model": jobs.train,
        "activate_churn_model": jobs.activate,
        "score_churn": jobs.score,
        "watch_churn": jobs.watch,
        "retrain_churn_model": jobs.retrain,
    }
