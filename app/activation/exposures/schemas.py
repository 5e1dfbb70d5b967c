"""Exposures on the wire."""

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field

from app.records.intake.answers import RejectedRow
from app.records.intake.envelope import Envelope, Identifier

EXAMPLE: dict[str, Any] = {"exposures": [{"customer_id": "C-17", "arm": "gift", "at": "2026-10-02T09:00:00Z"}]}


class ExposureIn(msgspec.Struct, forbid_unknown_fields=True):
    """A customer's arm, a variant's or `holdout`, and since when their deeds count."""

    customer_id: Identifier
    arm: Annotated[str, msgspec.Meta(max_length=100)]
    at: Annotated[str, msgspec.Meta(description="RFC 3339, with its offset.")]


EXPOSURES = Envelope("exposures", ExposureIn, has_source=False)


class ExposuresAnswer(BaseModel):
    """What became of the rows: received = created + duplicates + number of rejected."""

    received: int
    created: int
    updated: int = Field(description="Always 0: an arm is decided once.")
    duplicates: int
    rejected: list[RejectedRow]
    cross_overs: int = Field(description="Of the rejected: those with another arm than the customer's.")
