"""Customer attributes as features: of a type that is settled once, read as they stood at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.modelling.features.facts import TICK, Expression, Feature, Kind
from app.modelling.features.json_values import JsonValue, type_and_text
from app.tables.conversion import reporting_day
from app.tables.customers import customers, past_attributes

PREFIX = "attributes."
# What an attribute can be as a feature; a date counts the days from it to as_of.
AttributeType = Literal["number", "category", "date"]
_UNITS: dict[AttributeType, str] = {"number": "as given", "category": "as given", "date": "days"}
_KINDS: dict[AttributeType, Kind] = {"number": "number", "category": "category", "date": "number"}
_MEANINGS: dict[AttributeType, str] = {
    "number": "The customer's attribute as a number; false is 0, true is 1.",
    "category": "The customer's attribute as text.",
    "date": "Days in the reporting time zone from the date in the customer's attribute to as_of; below 0 when it lies ahead.",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One attribute of a customer as expressions see it; its type is null when nothing was known."""

    as_of: ColumnElement[Any]
    value: JsonValue
    timezone: ZoneInfo

    @property
    def today(self) -> ColumnElement[Any]:
        return reporting_day(self.as_of, self.timezone)

    @property
    def next_day_begins(self) -> ColumnElement[Any]:
        """When the next day begins in the reporting time zone, at the first of two midnights where clocks go back."""
        tomorrow: ColumnElement[Any] = func.timezone(
            literal(str(self.timezone)), cast(self.today + 1, DateTime), type_=_INSTANT
        )
        return case((reporting_day(tomorrow - TICK, self.timezone) > self.today, tomorrow - _HOUR), else_=tomorrow)


_INSTANT = DateTime(timezone=True)
_HOUR = timedelta(hours=1)


def holding(as_of: ColumnElement[Any]) -> FromClause:
    """The attributes that held at an instant, beside each row of customers: one row, one column `document`.

    An attribute holds from the instant of its update on, that instant included.
    """
    c, p = customers.c, past_attributes.c
    then = select(p.attributes).where(p.customer_id == c.customer_id, p.valid_from <= as_of, p.valid_to > as_of)
    document = case(
        (c.attributes_since <= as_of, c.attributes),
        (c.attributes_since > as_of, then.correlate(customers).scalar_subquery()),
    ).label("document")
    # The offset keeps the planner from repeating the expression for every attribute read.
    return select(document).correlate(customers).offset(literal_column("0")).lateral("held")


def beside(
    customers_and_more: FromClause, names: Sequence[str], *, as_of: ColumnElement[Any]
) -> tuple[FromClause, list[JsonValue]]:
    """Rows of customers with these attributes beside them, each looked up once, and the value of each."""
    held = holding(as_of)
    rows: FromClause = customers_and_more.join(held, true())
    values = []
    for place, name in enumerate(names):
        key = literal(name.removeprefix(PREFIX), Text)
        json = held.c.document.op("->", return_type=JSONB())(key)
        found = select(*type_and_text(json)).correlate(held).offset(literal_column("0")).lateral(f"attribute_{place}")
        rows = rows.join(found, true())
        values.append(JsonValue(found.c.type, found.c.text))
    return rows, values


def next_holding(as_of: ColumnElement[Any]) -> ColumnElement[Any]:
    """When other attributes begin to hold, of those that are stored; null: never."""
    c, p = customers.c, past_attributes.c
    bounds = func.least(
        func.min(p.valid_from).filter(p.valid_from > as_of), func.min(p.valid_to).filter(p.valid_to > as_of)
    )
    ahead = (
        select(bounds).where(p.customer_id == c.customer_id, p.valid_to > as_of).correlate(customers).scalar_subquery()
    )
    return case((c.attributes_since > as_of, func.least(c.attributes_since, ahead)))


def is_attribute(name: str) -> bool:
    return name.startswith(PREFIX) and len(name) > len(PREFIX)


@lru_cache(maxsize=4096)
def attribute_feature(name: str, dtype: AttributeType) -> Feature:
    """The feature `attributes.<key>`, whose values of any other type than this are unknown."""
    return Feature(
        name,
        dtype,
        unit=_UNITS[dtype],
        kind=_KINDS[dtype],
        grain="attributes",
        missing="unknown",
        meaning=_MEANINGS[dtype],
        expression=_EXPRESSIONS[dtype],
        changes_at=_day_changes if dtype == "date" else None,
    )


def _day_changes(held: Held) -> ColumnElement[Any]:
    return case((held.value.is_date, held.next_day_begins))


_EXPRESSIONS: dict[AttributeType, Expression] = {
    "number": lambda held: held.value.number,
    "category": lambda held: held.value.text,
    "date": lambda held: cast(held.today - held.value.day(held.timezone), Integer),
}
