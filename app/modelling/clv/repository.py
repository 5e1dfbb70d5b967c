"""Purchase histories and stored lifetime values in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from sqlalchemy import Select, Text, and_, bindparam, delete, literal, or_, select

from app.db import copy
from app.db.engine import Session
from app.modelling.clv.histories import (
    Cut,
    history_select,
    later_purchases,
    newest_fact,
    population_select,
)
from app.modelling.clv.task import ValueKind
from app.modelling.features.compiler import Range, Reporting, Scope, parameters
from app.tables.customers import customer_aliases, customers
from app.tables.predictions import clv_scores, model_activations, predictive_models
from app.tables.segments import memberships

Integers = npt.NDArray[np.int64]


_STORED = tuple(
    clv_scores.c[name]
    for name in ("customer_id", "p_alive", "expected_purchases", "expected_value_minor", "clv_minor", "scored_at")
)


@dataclass(frozen=True, slots=True)
class Span:
    """What is looked at: facts before an instant, counted in days up to a last one, that one included."""

    as_of: datetime
    last_day: date


@dataclass(frozen=True, slots=True)
class Histories:
    """One row per customer who has bought, in order of identifier; days, and money in minor units.

    age: days since the first purchase day; value_days, value_minor: of how many purchase days after the first the
    value is known, and their sum; is_valued: false where money cannot be added because a rate is missing.
    """

    customer_ids: list[str]
    repeat_purchases: Integers
    age_at_last_purchase: Integers
    age: Integers
    value_days: Integers
    value_minor: Integers
    is_valued: npt.NDArray[np.bool_]


async def histories(session: Session, scope: Scope, span: Span, *, reporting: Reporting, value: ValueKind) -> Histories:
    """Histories of those of the scope who bought before an instant.

    Amounts are first added as they are. Only customers with some in another currency are read again, with rates.
    """
    rows = await _histories(session, _cut(scope, reporting, value), scope, span)
    foreign = [row[0] for row in rows if row[-1]]
    if foreign:
        again = await _histories(session, _cut(foreign, reporting, value, converting=True), foreign, span)
        converted = {row[0]: row for row in again}
        rows = [converted.get(row[0], row) for row in rows]
    ids = [row[0] for row in rows]
    numbers = np.array([row[1:] for row in rows], dtype=np.int64).reshape(len(rows), 6)
    days, since_first, since_last, value_days, value_minor, unrated = numbers.T
    return Histories(ids, days - 1, since_first - since_last, since_first, value_days, value_minor, unrated == 0)


def _cut(scope: Scope, reporting: Reporting, value: ValueKind, *, converting: bool = False) -> Cut:
    by_range = isinstance(scope, Range)
    is_one = not isinstance(scope, Range) and len(scope) == 1
    return Cut(reporting, value, by_range=by_range, converting=converting, is_one=is_one)


async def _histories(session: Session, cut: Cut, scope: Scope, span: Span) -> list[Any]:
    asked = {**parameters(scope, span.as_of), "last_day": span.last_day}
    if cut.is_one:
        [asked["customer_id"]] = asked.pop("customer_ids")
    return list(await session.execute(history_select(cut), asked))


async def population(
    session: Session, scope: Range, span: Span, *, until: datetime | None, reporting: Reporting, value: ValueKind
) -> Integers | None:
    """Distinct histories of a range with how many customers have each, a row of 9 numbers each (population_select);
    null where an amount has no rate.
    """
    cut = _cut(scope, reporting, value)
    rows = await _population(session, cut, scope, span, until)
    if any(row[-1] for row in rows):
        rows = await _population(session, _cut(scope, reporting, value, converting=True), scope, span, until)
        if any(row[-1] for row in rows):
            return None
    return np.array([row[:-1] for row in rows], dtype=np.int64).reshape(len(rows), 9)


async def _population(session: Session, cut: Cut, scope: Range, span: Span, until: datetime | None) -> list[Any]:
    asked = {**parameters(scope, span.as_of), "last_day": span.last_day}
    if until is not None:
        asked["until"] = until
    return list(await session.execute(population_select(cut, is_held_out=until is not None), asked))


async def bought_after(
    session: Session, scope: Range, span: Span, *, until: datetime, reporting: Reporting
) -> Mapping[int, int]:
    """By days after the last one: how many customers of the range who had bought before bought then."""
    asked = {**parameters(scope, span.as_of), "last_day": span.last_day, "until": until}
    rows = await session.execute(later_purchases(_cut(scope, reporting, "revenue")), asked)
    return {row[0]: row[1] for row in rows}


async def newest_purchase(session: Session, *, before: datetime) -> datetime | None:
    """When somebody last bought before an instant; null: nobody did."""
    found: datetime | None = await session.scalar(newest_fact(), {"until": before})
    return found


async def replace_range(session: Session, model_id: UUID, around: Range, *, columns: dict[str, copy.Field]) -> None:
    """Have these be the scores of a range by a model."""
    s = clv_scores.c
    await session.execute(
        delete(clv_scores).where(s.model_id == model_id, s.customer_id > around.after, s.customer_id <= around.upto)
    )
    if len(columns["customer_id"].lengths):
        await copy.copy_into(session, "clv_scores", columns)


async def drop_the_gone(session: Session, model_id: UUID, around: Range) -> None:
    """Remove scores of a range whose customers are no more."""
    s = clv_scores.c
    gone = ~select(customers.c.customer_id).where(customers.c.customer_id == s.customer_id).exists()
    of_range = (s.model_id == model_id, s.customer_id > around.after, s.customer_id <= around.upto)
    await session.execute(delete(clv_scores).where(*of_range, gone))


async def drop_model(session: Session, model_id: UUID) -> None:
    """Remove the scores of a model."""
    await session.execute(delete(clv_scores).where(clv_scores.c.model_id == model_id))


async def drop_behind(session: Session, model_id: UUID, *, after: str) -> None:
    """Remove scores of customers behind an identifier: beyond the last range there is nobody."""
    s = clv_scores.c
    await session.execute(delete(clv_scores).where(s.model_id == model_id, s.customer_id > after))


async def stored(session: Session, model_id: UUID, customer_id: str) -> dict[str, Any] | None:
    """What a customer was scored as; null: not at all."""
    s = clv_scores.c
    query = select(*_STORED).where(s.model_id == model_id, s.customer_id == customer_id)
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else dict(row)


async def score_page(
    session: Session, model_id: UUID, *, segment_id: UUID | None, limit: int, after: tuple[int | None, str] | None
) -> list[dict[str, Any]]:
    """Stored scores, the highest lifetime value first, those without any last; at most limit + 1, after a position."""
    s = clv_scores.c
    query: Select[Any] = select(*_STORED).where(s.model_id == model_id)
    if segment_id is not None:
        m = memberships.c
        query = query.where(
            select(m.customer_id)
            .where(m.customer_id == s.customer_id, m.segment_id == segment_id, m.valid_to.is_(None))
            .exists()
        )
    if after is not None:
        worth, customer_id = after
        later = s.customer_id > customer_id
        query = query.where(
            s.clv_minor.is_(None) & later
            if worth is None
            else or_(s.clv_minor < worth, (s.clv_minor == worth) & later, s.clv_minor.is_(None))
        )
    query = query.order_by(s.clv_minor.desc().nulls_last(), s.customer_id).limit(limit + 1)
    return [dict(row) for row in (await session.execute(query)).mappings()]


@dataclass(frozen=True, slots=True)
class Serving:
    """The model that serves, as far as a customer's forecast needs to know it."""

    model_id: UUID
    artifact_id: UUID


_c, _a, _m = customers.c, customer_aliases.c, predictive_models.c
_ASKED = bindparam("asked", type_=Text(collation="C"))
# Made once: making it costs more than running it.
_WHO_AND_BY_WHAT = select(
    select(_c.customer_id).where(_c.customer_id == _ASKED).scalar_subquery(),
    select(_a.customer_id).where(_a.alias == _ASKED).scalar_subquery(),
    _m.model_id,
    _m.artifact_id,
).select_from(
    select(literal(1)).subquery("once").outerjoin(predictive_models, and_(_m.kind == "clv", _m.status == "active"))
)


async def who_and_by_what(session: Session, customer_id: str) -> tuple[str | None, Serving | None]:
    """The customer that an identifier means today, through merges, and the model that serves, at once.

    Null: nobody; none.
    """
    if "\x00" in customer_id:
        return None, None
    itself, merged_into, model_id, artifact_id = (await session.execute(_WHO_AND_BY_WHAT, {"asked": customer_id})).one()
    return itself or merged_into, None if model_id is None else Serving(model_id, artifact_id)


@dataclass(frozen=True, slots=True)
class First:
    """The model that served first, from when, and when the facts that it learned from end."""

    model_id: UUID
    active_from: datetime
    learned_until: datetime


async def first_to_serve(session: Session) -> First | None:
    """Null: none ever did."""
    a, p = model_activations.c, predictive_models.c
    query = (
        select(a.model_id, a.active_from, p.as_of)
        .join_from(model_activations, predictive_models, p.model_id == a.model_id)
        .where(a.kind == "clv")
        .order_by(a.active_from)
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else First(*row)
