"""Rows of costs as columns, every value checked; flawed rows are set apart with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from app.clock import InvalidInstant, parse_day, parse_instant
from app.records.costs.schemas import CostIn
from app.records.intake.amounts import amounts_of, taken
from app.records.intake.outcome import Flaw

_NEGATIVE = "must not be negative; money that came back is a correction under an identifier of its own"
_A_DAY_IS_LONG = len("2026-01-31")


@dataclass(slots=True)
class CostColumns:
    """Costs by column, in one order."""

    cost_id: list[str]
    category: list[str]
    amount_minor: npt.NDArray[np.int64]
    currency: list[str]
    starts_on: list[date | None]
    ends_on: list[date | None]
    campaign_id: list[str | None]
    initiative_id: list[str | None]
    channel: list[str | None]

    def __len__(self) -> int:
        return len(self.cost_id)

    def take(self, positions: Sequence[int]) -> "CostColumns":
        """The rows at these positions, in this order."""
        return CostColumns(**{each.name: taken(getattr(self, each.name), positions) for each in fields(self)})

    def row(self, position: int) -> dict[str, Any]:
        """One row by the names of the table."""
        row = {each.name: getattr(self, each.name)[position] for each in fields(self)}
        return {**row, "amount_minor": int(self.amount_minor[position])}

    def content(self, position: int) -> tuple[Any, ...]:
        """Everything one row says besides its identifier, for telling a duplicate from a conflict."""
        return tuple(value for name, value in self.row(position).items() if name != "cost_id")


def columns_of(rows: Sequence[CostIn], *, zone: tzinfo) -> tuple[CostColumns, list[Flaw]]:
    """Columns of decoded rows and the flaws found; a flawed row's values mean nothing."""
    flaws: list[Flaw] = []
    currency = [row.currency for row in rows]
    columns = CostColumns(
        cost_id=[row.cost_id for row in rows],
        category=[row.category for row in rows],
        amount_minor=amounts_of([row.amount for row in rows], currency, flaws, if_negative=_NEGATIVE),
        currency=currency,
        starts_on=_days([row.from_ for row in rows], zone, "from", flaws),
        ends_on=_days([row.to for row in rows], zone, "to", flaws),
        campaign_id=[row.campaign_id for row in rows],
        initiative_id=[row.initiative_id for row in rows],
        channel=[row.channel for row in rows],
    )
    for position, (start, end) in enumerate(zip(columns.starts_on, columns.ends_on, strict=True)):
        if start is not None and end is not None and end <= start:
            detail = f"must be a day after {start}: it is not part of the window"
            flaws.append(Flaw(position, "bad_window", "to", detail))
    return columns, flaws


def _days(texts: Sequence[str], zone: tzinfo, field: str, flaws: list[Flaw]) -> list[date | None]:
    days: list[date | None] = []
    for position, text in enumerate(texts):
        try:
            days.append(_day(text, zone))
        except InvalidInstant as error:
            days.append(None)
            flaws.append(Flaw(position, error.code, field, error.detail))
    return days


def _day(text: str, zone: tzinfo) -> date:
    if len(text) <= _A_DAY_IS_LONG:
        return parse_day(text)
    return parse_instant(text).astimezone(zone).date()
