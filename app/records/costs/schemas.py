"""Costs on the wire."""

from datetime import date
from typing import Annotated, Literal, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from app.records.intake.envelope import Amount, Envelope, Identifier, Word
from app.tables.money import COST_CATEGORIES

Category = Literal["media", "technology", "development", "people", "compliance", "incentive", "other"]
assert get_args(Category) == COST_CATEGORIES, "the wire and the table know the same categories"

Day = Annotated[
    str,
    msgspec.Meta(description="A date, or an RFC 3339 instant, which means the reporting day that it falls on."),
]


class CostIn(msgspec.Struct, forbid_unknown_fields=True):
    """Money spent, spread evenly over the days from `from` up to, not including, `to`."""

    cost_id: Identifier
    category: Category
    amount: Amount
    currency: str
    from_: Day = msgspec.field(name="from")
    to: Day
    campaign_id: Identifier | None = None
    initiative_id: Identifier | None = None
    channel: Word | None = None


COSTS = Envelope("costs", CostIn, has_source=False)


class Money(BaseModel):
    """An amount as exact decimal text, with its currency."""

    amount: str
    currency: str


class CostOut(BaseModel):
    """A cost as it was stored."""

    model_config = ConfigDict(populate_by_name=True)

    cost_id: str
    category: Category
    amount: Money
    from_: date = Field(alias="from", description="The first day.")
    to: date = Field(description="The day after the last one.")
    campaign_id: str | None
    initiative_id: str | None
    channel: str | None


class CostPage(BaseModel):
    data: list[CostOut]
    next_cursor: str | None
