"""Everybody's features in memory, to learn from them or to describe them; read range by range as steps of a job."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from app.jobs.runtime import JobContext
from app.modelling.features.columns import FeatureColumns, Values, joined
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import Feature, features_named
from app.modelling.features.derived import Derived
from app.modelling.features.repository import count_customers
from app.modelling.segments.evaluation import Reading, next_range, read_columns
from app.modelling.segments.judgement.columns import CIRCUMSTANCES, JUDGED
from app.modelling.segments.task import People

CUSTOMERS = "customers"
REVENUE = features_named(["total_spend"])
# Behaviour after a fit is judged once there was some time to behave.
LEAST_AFTER = timedelta(days=7)


async def people(
    context: JobContext,
    features: Sequence[Feature],
    derived: Sequence[Derived] = (),
    *,
    as_of: datetime,
    fitted_at: datetime,
    reporting: Reporting,
) -> People:
    """What a version reads and what it is judged by; some 8 bytes per customer and column stay in memory.

    fitted_at: what the version learned from ends there; what customers spent since is behaviour it had not seen.
    """
    wanted = tuple(dict.fromkeys([*features, *JUDGED]))
    columns = tuple({each.name: each for each in (*derived, *CIRCUMSTANCES)}.values())
    whole = await _read(context, Reading(wanted, columns, as_of, reporting))
    now = context.clock.now()
    if now - fitted_at < LEAST_AFTER:
        return People(whole.values)
    before, after = as_of, now
    if as_of > fitted_at:
        before, after = fitted_at, as_of
    other = await _read(context, Reading(REVENUE, (), before if as_of == after else after, reporting))
    spend = _aligned(whole.customer_ids, other)
    total = np.nan_to_num(whole.values[REVENUE[0].name])
    gained = spend - total if after != as_of else total - spend
    return People(whole.values, np.maximum(gained, 0.0), (after - before) / timedelta(days=1))


async def _read(context: JobContext, reading: Reading) -> FeatureColumns:
    parts: list[Values] = []
    ids: list[str] = []
    after = ""
    async with context.step(unit=CUSTOMERS) as step:
        step.progress(done=0, total=await count_customers(step.session))
    names = [*(each.name for each in reading.features), *(each.name for each in reading.derived)]
    while True:
        async with context.step(unit=CUSTOMERS) as step:
            around = await next_range(step.session, after)
            if around is None:
                return FeatureColumns(ids, joined(parts, names))
            columns = await read_columns(step.session, reading, scope=around)
            ids += columns.customer_ids
            step.progress(done=len(ids))
        parts.append(columns.values)
        after = around.upto


def _aligned(customer_ids: Sequence[str], other: FeatureColumns) -> npt.NDArray[Any]:
    """The other's spend in the order of these customers; 0 for whoever was not there."""
    places = {customer_id: place for place, customer_id in enumerate(other.customer_ids)}
    spend = np.append(np.nan_to_num(other.values[REVENUE[0].name]), 0.0)
    return spend[[places.get(customer_id, -1) for customer_id in customer_ids]]
