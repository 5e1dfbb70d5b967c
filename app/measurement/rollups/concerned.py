"""The words of the ledger: what an entry says, whom it concerns, and how facts are added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

# An hour, and as much as a day may begin late by the clocks of its zone.
TWO_HOURS = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Basis:
    """In which currency, and by whose days, facts are added up."""

    currency: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Horizon:
    """The first and the last instant of transactions, and when the newest came in; nulls where there are none."""

    first_fact_at: datetime | None = None
    newest_fact_at: datetime | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger."""

    entry_id: int
    customer_ids: Sequence[str]
    segmentation_id: UUID | None
    guest_hours: Sequence[datetime]
    rates_from: date | None
    rates_to: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerned:
    """Whose facts may have changed; and who else's memberships may have, and in which segmentations."""

    by_facts: Sequence[str]
    by_membership: Sequence[str] = ()
    segmentation_ids: Sequence[UUID] = ()

    @property
    def everybody(self) -> list[str]:
        return [*self.by_facts, *self.by_membership]


class Stretch(NamedTuple):
    """A customer in a segment from an instant to another; null: since or for ever."""

    customer_id: str
    segmentation_id: UUID
    segment_id: UUID
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the sums understand it: days [first, end), where periods start, who is counted by which interval."""

    first: date
    end: date
    starts: Sequence[date]
    people_by: str | None
    segmentation_id: UUID | None
    of_guests: bool | None


@dataclass(frozen=True, slots=True)
class Bought:
    """What one cohort bought in one period, both numbered from 1: by how many, for how much, how many without rate."""

    cohort: int
    period: int
    buyers: int
    revenue_minor: int
    unconverted: int


def concerned_by(entries: Sequence[Entry]) -> Concerned:
    """Whose contributions the entries may have changed."""
    by_facts = {each for entry in entries if entry.segmentation_id is None for each in entry.customer_ids}
    changed = [entry for entry in entries if entry.segmentation_id is not None]
    others = {each for entry in changed for each in entry.customer_ids}.difference(by_facts)
    segmentation_ids = {entry.segmentation_id for entry in changed if entry.segmentation_id is not None}
    return Concerned(
        by_facts=sorted(by_facts),
        by_membership=sorted(others),
        segmentation_ids=sorted(segmentation_ids),
    )


def guest_days(entries: Sequence[Entry], zone: ZoneInfo) -> list[date]:
    """The reporting days that the hours of guests' facts have a part in, and perhaps a day more."""
    hours = {hour for entry in entries for hour in entry.guest_hours}
    return sorted({each.astimezone(zone).date() for hour in hours for each in (hour, hour + TWO_HOURS)})
