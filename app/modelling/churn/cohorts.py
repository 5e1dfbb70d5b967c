"""Customers as they were at cutoffs and what they then did, read range by range as steps of a job: the past of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Integer, cast, exists, literal

from app.clock import format_instant
from app.db.engine import Session
from app.errors import FieldError, InvalidInput
from app.jobs.runtime import JobContext
from app.modelling.churn import repository
from app.modelling.churn.definitions import FROM_ITEMS, FROM_PURCHASES, POSITIVE_WORDS, RECENCY, Definition
from app.modelling.churn.task import Observed
from app.modelling.features.attributes import attribute_feature
from app.modelling.features.columns import FeatureColumns, Values, joined
from app.modelling.features.compiler import AS_OF, Reporting, Scope
from app.modelling.features.definitions import BY_NAME, Feature
from app.modelling.features.derived import Derived
from app.modelling.features.resolving import observed
from app.modelling.segments.evaluation import Reading, chunks, next_range, read_columns
from app.tables.customers import customers
from app.tables.transactions import transactions

MOST_COHORTS = 4
# Of more customers as many are drawn, the same at every cutoff: bounds what stays in memory.
MOST_CUSTOMERS = 200_000
# How much history there must be before the earliest cutoff, as a share of the horizon.
LEAST_HISTORY = 0.5
# A cutoff before which so few had ever bought teaches nothing.
LEAST_CUSTOMERS = 100
BOUGHT = "bought_within_horizon"


def bought_within(horizon_days: int) -> Derived:
    """Whether the customer bought in [as_of, as_of + horizon); a purchase of amount 0 counts as activity."""
    t = transactions.c
    until = AS_OF + literal(timedelta(days=horizon_days))
    bought = exists().where(
        t.customer_id == customers.c.customer_id, t.kind == "purchase", t.occurred_at >= AS_OF, t.occurred_at < until
    )
    return Derived(BOUGHT, "number", cast(bought, Integer))


def cutoffs(as_of: datetime, horizon_days: int, *, history_from: datetime | None) -> list[datetime]:
    """Instants to look at customers from, in order of time, each a horizon before the next; the last is the test's.

    What happened after one ends where the next begins, so that nothing learned from is also judged by. Raises
    InvalidInput where the history is too short.
    """
    horizon = timedelta(days=horizon_days)
    if history_from is None:
        detail = "no customer has bought anything before as_of"
        raise InvalidInput(detail, errors=[FieldError("/as_of", "no_purchases", detail)])
    found = [
        as_of - horizon * step
        for step in range(MOST_COHORTS, 0, -1)
        if as_of - horizon * step - history_from >= horizon * LEAST_HISTORY
    ]
    if not found:
        days = (as_of - history_from) // timedelta(days=1)
        most = int(days / (1 + LEAST_HISTORY))
        detail = (
            f"the history of purchases is {days} days long; {horizon_days} days to wait for what happens, and half as "
            f"many before them to know customers by, need {int(horizon_days * (1 + LEAST_HISTORY))}: "
            f"horizon_days can be {max(most, 0)} at most"
        )
        raise InvalidInput(detail, errors=[FieldError("/definition/horizon_days", "horizon_exceeds_history", detail)])
    return found


async def default_features(session: Session, definition: Definition) -> list[str]:
    """What to learn from where nobody said."""
    names = list(FROM_PURCHASES)
    if await repository.has_items(session):
        names += FROM_ITEMS
    if definition.kind == "label":
        _, attributes = await observed(session)
        names += [each.name for each in attributes if each.name != definition.label]
    return names


@dataclass(frozen=True, slots=True)
class Looking:
    """What is read of customers at a cutoff, besides what came of them."""

    features: tuple[Feature, ...]
    definition: Definition
    reporting: Reporting


async def of_inactivity(
    context: JobContext, looking: Looking, *, at: Sequence[datetime], customer_ids: Sequence[str] | None
) -> list[Observed]:
    """The cohorts of these cutoffs: who had bought within the look-back, and whether they did again in the horizon."""
    horizon = looking.definition.horizon_days
    assert horizon is not None, "inactivity has a horizon"
    derived = (bought_within(horizon),)
    found = []
    for cutoff in at:
        reading = Reading(looking.features, derived, cutoff, looking.reporting)
        values = (await _read(context, reading, customer_ids=customer_ids)).values
        kept = values[RECENCY] <= looking.definition.look_back_days
        cohort = {name: column[kept] for name, column in values.items() if name != BOUGHT}
        if kept.sum() >= LEAST_CUSTOMERS or cutoff == at[-1]:
            found.append(Observed(cohort, values[BOUGHT][kept] == 0, format_instant(cutoff)))
    return found


async def of_label(
    context: JobContext, looking: Looking, *, as_of: datetime, customer_ids: Sequence[str] | None
) -> tuple[Observed, str]:
    """Everybody at one instant with what the label says of them, NaN where it says nothing; and which word is positive."""
    label = attribute_feature(looking.definition.label, "category")
    features = tuple(dict.fromkeys([*(each for each in looking.features if each.name != label.name), label]))
    reading = Reading(features, (), as_of, looking.reporting)
    values = dict((await _read(context, reading, customer_ids=customer_ids)).values)
    said = values.pop(label.name)
    positive = settled_positive(said, looking.definition.positive)
    return Observed(values, _outcomes(said, positive), format_instant(as_of)), positive


def settled_positive(said: npt.NDArray[Any], asked: str | None) -> str:
    """The text of the label that means having left. Raises InvalidInput."""
    words: set[str] = {each for each in said.tolist() if each is not None}
    if not words:
        detail = "no customer has this attribute"
        raise InvalidInput(detail, errors=[FieldError("/definition/attribute", "unknown_feature", detail)])
    found = words & {asked} if asked is not None else {each for each in words if each.casefold() in POSITIVE_WORDS}
    if len(found) == 1:
        return found.pop()
    shown = ", ".join(sorted(words)[:10])
    detail = f"name the value that means having left; customers have {shown}"
    raise InvalidInput(detail, errors=[FieldError("/definition/positive", "one_class", detail)])


def _outcomes(said: npt.NDArray[Any], positive: str) -> npt.NDArray[Any]:
    return np.array([np.nan if each is None else float(each == positive) for each in said.tolist()])


async def _read(context: JobContext, reading: Reading, *, customer_ids: Sequence[str] | None) -> FeatureColumns:
    """Columns of everybody, or of these customers; some 8 bytes per customer and column stay in memory."""
    names = [*(each.name for each in reading.features), *(each.name for each in reading.derived)]
    parts: list[Values] = []
    ids: list[str] = []
    after, some = "", iter(chunks(customer_ids or ()))
    while True:
        async with context.step(unit="customers") as step:
            scope: Scope | None = next(some, None)
            if customer_ids is None:
                around = await next_range(step.session, after)
                scope, after = around, after if around is None else around.upto
            if scope is None:
                return FeatureColumns(ids, joined(parts, names))
            columns = await read_columns(step.session, reading, scope=scope)
            ids += columns.customer_ids
            step.progress(done=len(ids))
        parts.append(columns.values)


def with_history(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """These, and what tells when customers bought, which the population and models of purchases are told by."""
    always = (RECENCY, "purchase_days", "days_since_first_purchase")
    return tuple(dict.fromkeys([*features, *(BY_NAME[name] for name in always)]))
