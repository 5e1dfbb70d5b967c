"""Which type a customer attribute has as a feature: settled from the values that are stored, at training."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, column, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import JSONB

from app.db.engine import Session
from app.modelling.features.attributes import PREFIX, AttributeType, attribute_feature, beside, is_attribute
from app.modelling.features.definitions import BY_NAME, Feature, unknown_features
from app.modelling.features.groups import AS_OF
from app.modelling.features.json_values import JsonValue, type_and_text
from app.tables.customers import customers

# Attributes typed by one statement: each is one more join to plan.
AT_ONCE = 20
# GET /v1/features looks at so many customers, the first by identifier, and shows so many attributes at most.
SAMPLE = 5_000
SHOWN_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Observed:
    """An attribute that customers have, what it would be as a feature, and the share of customers who have it."""

    name: str
    dtype: AttributeType
    known_share: float


async def resolve_features(session: Session, names: Sequence[str], *, as_of: datetime) -> tuple[Feature, ...]:
    """The features of these names, in this order; attributes with the type of what customers had at an instant.

    Raises UnknownFeature, naming the place of each that does not exist or that no customer has.
    """
    types = await _types(session, [name for name in names if name not in BY_NAME and is_attribute(name)], as_of)
    found = [BY_NAME.get(name) or _attribute(name, types) for name in names]
    unknown = [(place, _why(names[place])) for place, each in enumerate(found) if each is None]
    if unknown:
        raise unknown_features(unknown)
    return tuple(each for each in found if each is not None)


def _attribute(name: str, types: dict[str, AttributeType]) -> Feature | None:
    return attribute_feature(name, types[name]) if name in types else None


def _why(name: str) -> str:
    if is_attribute(name):
        return f"no customer has a text, number or truth value as {name!r}"
    return f"{name!r} is not a feature"


async def _types(session: Session, names: Sequence[str], as_of: datetime) -> dict[str, AttributeType]:
    """The type of each attribute that somebody had."""
    found: dict[str, AttributeType] = {}
    asked = [name for name in dict.fromkeys(names) if "\x00" not in name]
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        row = (await session.execute(_types_select(some), {"as_of": as_of})).one()
        for place, name in enumerate(some):
            known, numbers, dates = row[3 * place : 3 * place + 3]
            if known:
                found[name] = _type(numbers=numbers, dates=dates)
    return found


def _type(*, numbers: bool, dates: bool) -> AttributeType:
    return "number" if numbers else "date" if dates else "category"


def _types_select(names: Sequence[str]) -> Select[Any]:
    """One row; for each name how many customers have it, whether it always is a number, and whether always a date."""
    rows, values = beside(customers, names, as_of=AS_OF)
    return select(*(column for value in values for column in _typed(value))).select_from(rows)


def _typed(value: JsonValue) -> tuple[ColumnElement[Any], ...]:
    known = value.text.is_not(None)
    return (
        func.count(value.text),
        func.bool_and(value.is_number).filter(known),
        func.bool_and(value.is_date).filter(known),
    )


async def observed(session: Session) -> tuple[int, list[Observed]]:
    """How many customers were looked at, and their attributes today, those most known first."""
    sample = select(customers.c.attributes).order_by(customers.c.customer_id).limit(SAMPLE).cte("sample")
    pair = (
        func.jsonb_each(sample.c.attributes).table_valued(column("key", Text), column("value", JSONB)).lateral("pair")
    )
    # The offset keeps the planner from repeating the expressions.
    each = (
        select(pair.c.key, *type_and_text(pair.c.value))
        .select_from(sample.join(pair, true()))
        .offset(literal_column("0"))
        .subquery()
    )
    known, numbers, dates = _typed(JsonValue(each.c.type, each.c.text))
    query = (
        select(each.c.key, known.label("known"), numbers, dates)
        .group_by(each.c.key)
        .having(known > 0)
        .order_by(known.desc(), each.c.key.collate("C"))
        .limit(SHOWN_AT_MOST)
    )
    sampled = int((await session.execute(select(func.count()).select_from(sample))).scalar_one())
    return sampled, [
        Observed(PREFIX + key, _type(numbers=numbers, dates=dates), count / sampled)
        for key, count, numbers, dates in await session.execute(query)
    ]
