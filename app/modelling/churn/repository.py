"""Churn in SQL: what customers are scored from, and the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from sqlalchemy import (
    ColumnElement,
    Dialect,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from app.db import copy
from app.db.arrays import texts
from app.db.engine import Session, driver
from app.ml.columns import Floats
from app.modelling.features.attributes import PREFIX
from app.modelling.features.compiler import VARYING, Range, Reporting, Scope, feature_select, parameters
from app.modelling.features.definitions import Feature
from app.modelling.features.json_values import type_and_text
from app.tables.customers import customers
from app.tables.predictions import churn_scores, clv_scores, predictive_models
from app.tables.segments import memberships, segmentation_versions, segments
from app.tables.transactions import transactions

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is read of customers to score them. uses_clv: with what the active lifetime value model says of each."""

    features: tuple[Feature, ...]
    reporting: Reporting
    uses_clv: bool


# A row is customer_id, the features, whether amounts could not be added, the active churn model, the horizon of the
# active lifetime value model in days and what it says; these three null where there is none.
TAIL = 4


@lru_cache(maxsize=64)
def _text(asked: Asked, dialect: Dialect, *, by_range: bool, converting: bool) -> tuple[bytes, Mapping[str, Any]]:
    wanted = feature_select(asked.features, reporting=asked.reporting, by_range=by_range, converting=converting)
    inner = wanted.order_by(None).subquery("wanted")
    active, valuing = predictive_models.alias("active"), predictive_models.alias("valuing")
    rows = inner.outerjoin(active, and_(active.c.kind == "churn", active.c.status == "active"))
    columns: list[ColumnElement[Any]] = [*inner.c, active.c.model_id]
    if asked.uses_clv:
        rows = rows.outerjoin(valuing, and_(valuing.c.kind == "clv", valuing.c.status == "active")).outerjoin(
            clv_scores,
            and_(clv_scores.c.model_id == valuing.c.model_id, clv_scores.c.customer_id == inner.c.customer_id),
        )
        columns += [valuing.c.request["horizon_days"].as_integer(), clv_scores.c.clv_minor]
    else:
        columns += [literal(None), literal(None)]
    statement = select(*columns).select_from(rows).order_by(inner.c.customer_id)
    spelled_out = statement.compile(dialect=dialect).construct_expanded_state(dict.fromkeys(VARYING))
    processors = spelled_out.processors
    fixed = {
        name: processors[name](value) if name in processors else value
        for name, value in spelled_out.parameters.items()
        if name not in VARYING
    }
    return spelled_out.statement.encode(), fixed


async def read(
    cursor: psycopg.AsyncCursor[Any], dialect: Dialect, asked: Asked, *, scope: Scope, as_of: datetime
) -> list[tuple[Any, ...]]:
    """One row per existing customer of the scope, in order of identifier; see TAIL.

    Amounts are first added as they are; customers with some in another currency are read again, with rates.
    """
    rows = await _run(cursor, dialect, asked, scope=scope, as_of=as_of, converting=False)
    foreign = [row[0] for row in rows if row[-TAIL]]
    if not foreign:
        return rows
    converted = {row[0]: row for row in await _run(cursor, dialect, asked, scope=foreign, as_of=as_of, converting=True)}
    return [converted.get(row[0], row) for row in rows]


async def _run(
    cursor: psycopg.AsyncCursor[Any], dialect: Dialect, asked: Asked, *, scope: Scope, as_of: datetime, converting: bool
) -> list[tuple[Any, ...]]:
    text, fixed = _text(asked, dialect, by_range=isinstance(scope, Range), converting=converting)
    named = {} if isinstance(scope, Range) else {"customer_ids": texts(scope)}
    # The text is that of our own select; whatever callers said is among the parameters.
    await cursor.execute(text, {**fixed, **parameters(scope, as_of), **named})
    return await cursor.fetchall()


async def cursor_of(session: Session) -> psycopg.AsyncCursor[Any]:
    """A cursor in the transaction of a session; numbers read faster as bytes."""
    return (await driver(session)).cursor(binary=True)


async def replace_range(
    session: Session,
    model_id: UUID,
    around: Range,
    *,
    customer_ids: Sequence[str],
    scores: "Scores",
    scored_at: datetime,
) -> None:
    """Make the scores of a range of customers these. Needs lock_activation, or two would write the same rows."""
    s = churn_scores.c
    await session.execute(
        delete(churn_scores).where(s.model_id == model_id, s.customer_id > around.after, s.customer_id <= around.upto)
    )
    rows = len(customer_ids)
    if not rows:
        return
    unknown = np.isnan(scores.values_minor)
    values = np.where(unknown, 0.0, scores.values_minor)
    at_risk = np.where(unknown, 0.0, np.rint(values * scores.probabilities))
    micros = (scored_at - EPOCH) // MICROSECOND
    await copy.copy_into(
        session,
        "churn_scores",
        {
            "model_id": copy.uuid([model_id.bytes] * rows),
            "customer_id": copy.text(customer_ids),
            "churn_probability": copy.double(scores.probabilities),
            "expected_value_minor": copy.bigint(values.astype(np.int64), unknown),
            "value_at_risk_minor": copy.bigint(at_risk.astype(np.int64), unknown),
            "scored_at": copy.timestamptz(np.full(rows, micros, np.int64)),
        },
    )


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities, and expected values in whole minor units; NaN where that is unknown."""

    probabilities: Floats
    values_minor: Floats


async def drop_behind(session: Session, model_id: UUID, *, after: str) -> None:
    """Forget scores behind the last customer that there is."""
    s = churn_scores.c
    await session.execute(delete(churn_scores).where(s.model_id == model_id, s.customer_id > after))


async def drop_retired(session: Session, *, at_most: int) -> int:
    """Forget scores by models that serve no longer, some at a time; how many."""
    s, m = churn_scores.c, predictive_models.c
    retired = select(m.model_id).where(m.kind == "churn", m.status == "archived")
    some = select(s.model_id, s.customer_id).where(s.model_id.in_(retired)).limit(at_most).subquery()
    done = await session.execute(
        delete(churn_scores).where(s.model_id == some.c.model_id, s.customer_id == some.c.customer_id)
    )
    return done.rowcount


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Which scores to list: of a model, in a segment or anywhere, from a probability on.

    left: name and text of the attribute that says of whom it is known that they left; they are not listed.
    """

    model_id: UUID
    segment_id: UUID | None
    min_probability: float
    left: tuple[str, str] | None


# Value at risk, probability and customer of the last row of a page.
Position = tuple[int | None, float, str]


async def at_risk(session: Session, asked: AtRisk, *, limit: int, after: Position | None) -> list[dict[str, Any]]:
    """Customers by value at risk, the highest first, those without one last, by probability; at most limit + 1.

    Whoever refused profiling or marketing is left out.
    """
    s, c = churn_scores.c, customers.c
    query = (
        select(s.customer_id, s.churn_probability, s.expected_value_minor, s.value_at_risk_minor, s.scored_at)
        .join_from(churn_scores, customers, c.customer_id == s.customer_id)
        .where(
            s.model_id == asked.model_id,
            s.churn_probability >= asked.min_probability,
            c.consent_profiling.is_not(False),
            c.consent_marketing.is_not(False),
            _has_not_left(asked.left),
        )
        .order_by(s.value_at_risk_minor.desc().nulls_last(), s.churn_probability.desc(), s.customer_id)
        .limit(limit + 1)
    )
    if asked.segment_id is not None:
        m = memberships.c
        query = query.where(
            exists().where(m.segment_id == asked.segment_id, m.customer_id == s.customer_id, m.valid_to.is_(None))
        )
    if after is not None:
        query = query.where(_behind(after))
    return [dict(row) for row in (await session.execute(query)).mappings()]


def _has_not_left(left: tuple[str, str] | None) -> ColumnElement[bool]:
    if left is None:
        return true()
    name, word = left
    _, text = type_and_text(customers.c.attributes[name.removeprefix(PREFIX)])
    return func.coalesce(text.element, "") != word


def _behind(after: Position) -> ColumnElement[bool]:
    s = churn_scores.c
    value, probability, customer_id = after
    later = or_(
        s.churn_probability < probability, and_(s.churn_probability == probability, s.customer_id > customer_id)
    )
    if value is None:
        # The first bound says no more than `later`, but the index can begin there.
        return and_(s.value_at_risk_minor.is_(None), s.churn_probability <= probability, later)
    return or_(
        s.value_at_risk_minor < value, s.value_at_risk_minor.is_(None), and_(s.value_at_risk_minor == value, later)
    )


async def stored(session: Session, model_id: UUID, customer_id: str) -> dict[str, Any] | None:
    """What a model said of a customer when everybody was scored last; null: nothing."""
    s = churn_scores.c
    query = select(s.churn_probability, s.value_at_risk_minor, s.scored_at)
    row = (await session.execute(query.where(s.model_id == model_id, s.customer_id == customer_id))).one_or_none()
    return dict(row._mapping) if row else None


async def by_segment(
    session: Session, segmentation_id: UUID, model_id: UUID, *, band: ColumnElement[Any]
) -> list[dict[str, Any]]:
    """One row per segment of the active version, in its order; mean_probability null: nobody in it was scored."""
    s, m, g = churn_scores.c, memberships.c, segments.c
    counts = [func.count().filter(band == word).label(word) for word in ("low", "medium", "high")]
    rows = memberships.outerjoin(churn_scores, and_(s.model_id == model_id, s.customer_id == m.customer_id))
    theirs = (
        select(
            m.segment_id,
            func.count().label("customers"),
            func.count(s.customer_id).label("scored"),
            func.avg(s.churn_probability).label("mean_probability"),
            func.coalesce(func.sum(s.expected_value_minor), 0).label("expected_value_minor"),
            func.coalesce(func.sum(s.value_at_risk_minor), 0).label("value_at_risk_minor"),
            *counts,
        )
        .select_from(rows)
        .where(m.segmentation_id == segmentation_id, m.valid_to.is_(None))
        .group_by(m.segment_id)
        .subquery("theirs")
    )
    query = (
        select(g.segment_id, g.key, g.name, theirs)
        .join_from(segments, theirs, theirs.c.segment_id == g.segment_id)
        .where(g.segmentation_id == segmentation_id)
        .order_by(g.position, g.key)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]


def known_band(band: ColumnElement[Any]) -> ColumnElement[Any]:
    """The band of whoever was scored; null for others."""
    return case((churn_scores.c.customer_id.is_not(None), band))


async def active_segmentations(session: Session) -> list[UUID]:
    """Those with an active version, at most two: more than one is one too many to choose for the caller."""
    v = segmentation_versions.c
    query = select(v.segmentation_id).where(v.status == "active").order_by(v.segmentation_id).limit(2)
    return list(await session.scalars(query))


async def segmentation_exists(session: Session, segmentation_id: UUID) -> bool:
    v = segmentation_versions.c
    return bool(await session.scalar(select(exists().where(v.segmentation_id == segmentation_id))))


async def history(session: Session, *, before: datetime) -> tuple[datetime | None, datetime | None]:
    """When customers first and last bought before an instant; nulls: nobody ever did."""
    t = transactions.c
    bought = and_(t.kind == "purchase", t.customer_id.is_not(None), t.occurred_at < before)
    row = (await session.execute(select(func.min(t.occurred_at), func.max(t.occurred_at)).where(bought))).one()
    return row[0], row[1]


async def has_items(session: Session) -> bool:
    """Whether any purchase has lines."""
    t = transactions.c
    return bool(await session.scalar(select(exists().where(t.line_count > 0))))


async def drawn(session: Session, *, share: float) -> list[str]:
    """About this share of the customers, the same whenever they are asked for, in order of identifier."""
    most = 2**31 - 1
    number = func.hashtext(customers.c.customer_id).op("&")(most)
    query = select(customers.c.customer_id).where(number < int(share * most)).order_by(customers.c.customer_id)
    return list(await session.scalars(query))


async def newest_successor(session: Session, model_id: UUID) -> datetime | None:
    """When the training of a model was last repeated; null: never."""
    m = predictive_models.c
    found: datetime | None = await session.scalar(select(func.max(m.created_at)).where(m.continues == model_id))
    return found
