"""Rows of events as columns, every value checked; flawed rows are set apart with the reason."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from app.records.events.schemas import NO_PROPERTIES, TYPE_PATTERN, EventIn
from app.records.intake.amounts import column_or_none, taken
from app.records.intake.envelope import flaw_of_document
from app.records.intake.instants import micros_of
from app.records.intake.outcome import Flaw

_TYPE = re.compile(TYPE_PATTERN.removesuffix("$"))
SURVEY = "survey"
# The scales of the two questions, as api.md fixes them.
ANSWERS = {"csat": (1, 5), "nps": (0, 10)}


@dataclass(slots=True)
class EventColumns:
    """Events by column, in one order; None for a column says that it is null, or empty, in every row."""

    event_id: list[str]
    customer_id: list[str | None]
    type: list[str]
    occurred_at: npt.NDArray[np.int64]
    channel: list[str | None] | None = None
    campaign_id: list[str | None] | None = None
    value: list[float | None] | None = None
    properties: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.event_id)

    def take(self, positions: Sequence[int]) -> "EventColumns":
        """The rows at these positions, in this order."""
        return EventColumns(**{each.name: taken(getattr(self, each.name), positions) for each in fields(self)})

    def content(self, position: int) -> tuple[Any, ...]:
        """Everything one row says, for telling a duplicate from a conflict."""
        return (
            self.customer_id[position],
            int(self.occurred_at[position]),
            self.type[position],
            *(None if each is None else each[position] for each in (self.channel, self.campaign_id, self.value)),
            comparable(b"{}" if self.properties is None else self.properties[position]),
        )


def columns_of(rows: Sequence[EventIn]) -> tuple[EventColumns, list[Flaw]]:
    """Columns of decoded rows and the flaws found; a flawed row's values mean nothing."""
    occurred_at, wrong = micros_of([row.occurred_at for row in rows])
    columns = EventColumns(
        event_id=[row.event_id for row in rows],
        customer_id=[row.customer_id for row in rows],
        type=[row.type for row in rows],
        occurred_at=occurred_at,
        channel=column_or_none([row.channel for row in rows]),
        campaign_id=column_or_none([row.campaign_id for row in rows]),
        value=column_or_none([row.value for row in rows]),
        properties=_properties(rows),
    )
    flaws = [Flaw(position, code, "occurred_at", detail) for position, code, detail in wrong]
    return columns, [*flaws, *_type_flaws(columns.type), *_property_flaws(columns)]


def _properties(rows: Sequence[EventIn]) -> list[bytes] | None:
    if all(row.properties is NO_PROPERTIES for row in rows):
        return None
    documents = [bytes(row.properties) for row in rows]
    return [b"{}" if document == b"null" else document for document in documents]


def _type_flaws(types: Sequence[str]) -> Iterator[Flaw]:
    wrong = {each for each in set(types) if not _TYPE.fullmatch(each)}
    if wrong:
        detail = "must be snake_case of at most 100 characters: a-z, 0-9 and _, a letter first"
        yield from (Flaw(p, "invalid_event_type", "type", detail) for p, each in enumerate(types) if each in wrong)


def _property_flaws(columns: EventColumns) -> Iterator[Flaw]:
    for position, raw in enumerate(columns.properties or ()):
        if raw == b"{}":
            continue
        if (flaw := flaw_of_document(raw)) is not None:
            yield Flaw(position, flaw[0], "properties", flaw[1])
        elif not raw.lstrip().startswith(b"{"):
            yield Flaw(position, "invalid_type", "properties", "must be a JSON object")
        elif columns.type[position] == SURVEY:
            yield from _survey_flaws(position, orjson.loads(raw))


def _survey_flaws(position: int, answers: dict[str, Any]) -> Iterator[Flaw]:
    for question, (lowest, highest) in ANSWERS.items():
        answer = answers.get(question)
        if answer is not None and not (type(answer) is int and lowest <= answer <= highest):
            detail = f"{question} must be a whole number from {lowest} to {highest}"
            yield Flaw(position, "invalid_survey", f"properties/{question}", detail)


def comparable(raw: bytes) -> Any:
    """A document in a form that is equal exactly when the documents mean the same: 1 is 1.0, but true is not 1."""
    return _comparable(orjson.loads(raw))


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((name, _comparable(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", [_comparable(item) for item in value]
    return (value,) if isinstance(value, bool) else value
