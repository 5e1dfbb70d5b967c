"""Customers on the wire."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from app.records.intake.envelope import Envelope, Identifier

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Attributes = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="Free JSON by name (1 to 100 characters), at most 64 kB in all. A null removes the attribute.",
    ),
]


class ConsentIn(msgspec.Struct, forbid_unknown_fields=True):
    """What the customer allowed; a flag that is absent or null says nothing, withdrawing it is false."""

    profiling: bool | None = None
    marketing: bool | None = None


class CustomerIn(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of one customer; whatever is absent or null stays as it is."""

    customer_id: Identifier
    attributes: Attributes | None = None
    consent: ConsentIn | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None


CUSTOMERS = Envelope("customers", CustomerIn, has_source=False)


class ConsentOut(BaseModel):
    """Null: nobody was asked."""

    profiling: bool | None
    marketing: bool | None


class CustomerOut(BaseModel):
    """What was pushed of a customer."""

    customer_id: str
    attributes: dict[str, Any]
    consent: ConsentOut
    created_at: datetime | None = Field(description="When the customer came to be, by the caller's account.")
    updated_at: datetime | None = Field(description="The newest `updated_at` that was pushed.")
    first_seen_at: datetime = Field(description="When the customer was first named here.")


class CustomerProfile(CustomerOut):
    """A customer with everything that is known today: further sections carry their own `as_of`."""

    model_config = ConfigDict(extra="allow")

    merged_from: str | None = Field(description="The identifier asked for, where it was merged into this customer.")


class CustomerPage(BaseModel):
    data: list[CustomerOut]
    next_cursor: str | None
