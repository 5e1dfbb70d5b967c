"""Audiences on the wire."""

from datetime import datetime

from pydantic import BaseModel, Field


class AudienceMember(BaseModel):
    """A customer to be treated."""

    customer_id: str
    arm: str = Field(description="What to do with them; never `holdout`.")
    assigned_at: datetime


class AudiencePage(BaseModel):
    data: list[AudienceMember]
    next_cursor: str | None
