"""Features on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, WithJsonSchema
from pydantic.functional_validators import BeforeValidator

from app.clock import parse_instant
from app.modelling.features.resolving import SAMPLE, SHOWN_AT_MOST


def _read(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("an instant is RFC 3339 text such as 2026-01-31T12:00:00Z")
    return parse_instant(value)


# RFC 3339 with an offset; numbers and naive times, which pydantic would read too, are refused.
Instant = Annotated[datetime, BeforeValidator(_read), WithJsonSchema({"type": "string", "format": "date-time"})]


class FeatureOut(BaseModel):
    """One feature of the registry."""

    name: str
    unit: str = Field(description="What it counts; a currency code for money.")
    dtype: Literal["integer", "number", "category"]
    kind: Literal["money", "count", "days", "share", "number", "category"]
    source: Literal["transactions", "items", "events"]
    missing: str = Field(description="`zero`: 0 where nothing happened. Otherwise the reason given with null.")
    window_days: int | None = Field(description="Only facts of so many days before as_of; null: all facts before it.")
    meaning: str


class AttributeOut(BaseModel):
    """A customer attribute that can be used as a feature."""

    name: str = Field(description="`attributes.` and the name in the customer's attributes.")
    dtype: Literal["number", "category", "date"] = Field(
        description="What its values are today; settled when a segmentation is trained. A date counts the days from it "
        "to as_of."
    )
    known_share: float = Field(description="Share of the sampled customers with such a value, 0 to 1.")


class FeatureList(BaseModel):
    data: list[FeatureOut]
    attributes: list[AttributeOut] = Field(
        description=f"What customers have as attributes, those most known first, at most {SHOWN_AT_MOST}."
    )
    sampled_customers: int = Field(
        description=f"How many customers `attributes` was seen in: the first {SAMPLE:,} by identifier, or all."
    )
    next_cursor: None


class CustomerFeatures(BaseModel):
    """The features of one customer at one instant."""

    customer_id: str = Field(description="The customer that the identifier means today, through merges.")
    as_of: datetime = Field(description="Only facts strictly before this instant were looked at.")
    features: dict[str, float | int | str | None] = Field(description="Null is undefined, never 0.")
    reasons: dict[str, str] = Field(description="Why a feature is null, by its name.")
    units: dict[str, str]
