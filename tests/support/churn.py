"""What tests of churn share: a service whose worker learns, and customers who leave for reasons that are known."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from app.jobs.runtime import Runner
from app.modelling.churn import jobs
from app.modelling.churn.scoring import ChurnModels
from app.modelling.clv import jobs as clv_jobs
from app.modelling.registry.shelf import Models
from app.modelling.segments import jobs as segment_jobs
from tests.conftest import NOW, Service
from tests.support.clv import Clv, Fact
from tests.support.modelling import COMPUTE

INACTIVITY = {"kind": "inactivity", "horizon_days": 60}
LABEL = {"kind": "label", "attribute": "churned", "positive": "Yes"}


class Churn(Clv):
    """A service and, when told to, its worker, which knows churn and lifetime value too."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.churn_models = ChurnModels(Models(self.state.secret, kind="churn"))
        known = {
            **segment_jobs.handlers(self.reporting, self.models, self.assigners),
            **clv_jobs.handlers(self.reporting, self.clv_models),
            **jobs.handlers(self.reporting, self.churn_models),
        }
        self.runner = Runner(self.state.database, clock=self.state.clock, compute=COMPUTE, handlers=known)

    async def learn_churn(self, **asked: Any) -> dict[str, Any]:
        """A new model as it is shown once it has learned."""
        result = await self.result(await self.client.post("/v1/churn/models", json=asked))
        found: dict[str, Any] = await self.get(f"/v1/churn/models/{result['model_id']}")
        return found

    async def churn_fails(self, **asked: Any) -> dict[str, Any]:
        """The error of a training that fails."""
        answer = await self.client.post("/v1/churn/models", json=asked)
        job = await self.finish(answer)
        assert job["status"] == "failed", job
        found = await self.get(f"/v1/churn/models/{answer.json()['model_id']}")
        assert (found["status"], found["error"]) == ("failed", job["error"])
        assert found["error"]["code"] != "fault", found["error"]
        error: dict[str, Any] = job["error"]
        return error

    async def activate_churn(self, model_id: str) -> dict[str, Any]:
        return await self.result(await self.client.post(f"/v1/churn/models/{model_id}/activate"))


def buyers(customers: int = 500, *, days: int = 420, seed: int = 20_261_122) -> Iterator[Fact]:
    """Customers who buy at rates of their own until they leave: 8 per cent of an exponential life of 250 days a month.

    Whoever bought lately and often is there, whoever has been silent for long is gone: what a model has to find.
    """
    rng = np.random.default_rng(seed)
    for number in range(customers):
        begun, every = rng.uniform(0, days - 60), rng.gamma(2.0, 8.0) + 4
        at, gone = begun, begun + rng.exponential(250)
        while at < min(gone, days - 1):
            yield f"B-{number:04}", NOW - timedelta(days=days - at), "purchase", 500 + int(rng.gamma(2, 1_500))
            at += rng.exponential(every)


def instant(days_ago: float) -> datetime:
    return NOW - timedelta(days=days_ago)
