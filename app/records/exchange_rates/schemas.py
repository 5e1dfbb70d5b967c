"""Exchange rates on the wire."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.records.intake.envelope import Amount, Envelope

Rate = Annotated[
    Amount, msgspec.Meta(description="What one unit of `from` is worth in `to`: positive, at most 12 decimals, exact.")
]


class RateIn(msgspec.Struct, forbid_unknown_fields=True):
    """What one unit of a currency was worth in another on one day."""

    on: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date"})]
    from_: Annotated[str, msgspec.Meta(description="ISO 4217 code.")] = msgspec.field(name="from")
    to: Annotated[str, msgspec.Meta(description="ISO 4217 code.")]
    rate: Rate


RATES = Envelope("rates", RateIn, has_source=False)


@dataclass(frozen=True, slots=True)
class RateFilter:
    """Which rates to list."""

    from_: Annotated[str | None, Query(alias="from", pattern="^[A-Z]{3}$", description="ISO 4217 code.")] = None
    to: Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="ISO 4217 code.")] = None
    on_from: Annotated[date | None, Query(description="The first day.")] = None
    on_to: Annotated[date | None, Query(description="The day after the last one.")] = None


class RateOut(BaseModel):
    """A rate as it stands."""

    model_config = ConfigDict(populate_by_name=True)

    on: date
    from_: str = Field(alias="from")
    to: str
    rate: str


class RatePage(BaseModel):
    data: list[RateOut]
    next_cursor: str | None
