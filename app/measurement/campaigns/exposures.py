"""Arms that were assigned elsewhere: checked row by row, stored set by set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.clock import InvalidInstant, parse_instant
from app.db.engine import Session
from app.errors import FieldError, TooLarge
from app.measurement.campaigns import holdouts, pushing, service
from app.measurement.campaigns.schemas import MAX_EXPOSURES
from app.measurement.campaigns.service import Campaign
from app.privacy import customer_hash
from app.tables.campaigns import HOLDOUT
from app.tables.metadata import MAX_IDENTIFIER

FIELDS = ("customer_id", "arm", "at")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be read: where it stood, whom it names, the arm, since when."""

    index: int
    customer_id: str
    arm: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    index: int
    field: str
    code: str
    detail: str

    def shown(self) -> dict[str, Any]:
        pointer = f"/exposures/{self.index}" + (f"/{self.field}" if self.field else "")
        return {"index": self.index, "code": self.code, "pointer": pointer, "detail": self.detail}


@dataclass(slots=True)
class Reader:
    """Reads rows; instants repeat, so that each text is read once."""

    campaign: Campaign
    instants: dict[str, datetime | InvalidInstant] = field(default_factory=dict)

    def read(self, index: int, row: Any) -> Row | Refused:
        flaw = self._shape(row) or self._arm(row["arm"])
        if flaw is not None:
            return Refused(index, *flaw)
        at = self._instant(row["at"])
        if isinstance(at, InvalidInstant):
            return Refused(index, "at", at.code, at.detail)
        if not self.campaign.starts_at <= at < self.campaign.ends_at:
            return Refused(index, "at", "outside_campaign", "not between the campaign's start and its end")
        return Row(index, row["customer_id"], row["arm"], at)

    def _shape(self, row: Any) -> tuple[str, str, str] | None:
        if not isinstance(row, dict):
            return "", "invalid_type", "a row is an object"
        for name in FIELDS:
            if name not in row:
                return name, "missing_field", f"a row has {', '.join(FIELDS)}"
            if not isinstance(row[name], str):
                return name, "invalid_type", "must be text"
        for name in row:
            if name not in FIELDS:
                return name, "unknown_field", f"a row has {', '.join(FIELDS)}"
        if not 1 <= len(row["customer_id"]) <= MAX_IDENTIFIER:
            return "customer_id", "invalid_length", f"must have 1 to {MAX_IDENTIFIER} characters"
        return None

    def _arm(self, arm: str) -> tuple[str, str, str] | None:
        if arm not in self.campaign.arms:
            return "arm", "unknown_arm", f"the arms of this campaign are {', '.join(self.campaign.arms)}"
        return None

    def _instant(self, text: str) -> datetime | InvalidInstant:
        if text not in self.instants:
            try:
                self.instants[text] = parse_instant(text)
            except InvalidInstant as error:
                self.instants[text] = error
        return self.instants[text]


async def push(
    session: Session, campaign_id: str, rows: Sequence[Any], *, secret: bytes, now: datetime
) -> dict[str, Any]:
    """Store arms assigned elsewhere; good rows are stored whatever the bad ones. Raises CampaignNotFound, TooLarge.

    Unknown customers are created, as by any push: leaving out those who never did anything would falsify the result.
    """
    if len(rows) > MAX_EXPOSURES:
        flaw = FieldError("/exposures", "too_many_rows", f"send at most {MAX_EXPOSURES} rows")
        raise TooLarge(f"At most {MAX_EXPOSURES} rows are taken at once; {len(rows)} came", errors=[flaw])
    await pushing.lock_people(session)
    campaign = await service.found(session, campaign_id, locked=True)
    reader = Reader(campaign)
    read = [reader.read(index, row) for index, row in enumerate(rows)]
    good = [row for row in read if isinstance(row, Row)]
    refused = [row for row in read if isinstance(row, Refused)]
    whose = await _people(session, good, secret=secret, now=now)
    outcome = await _assign(session, campaign, good, whose=whose)
    refused = sorted([*refused, *outcome.refused], key=lambda each: each.index)
    return {
        "received": len(rows),
        "created": len(outcome.new),
        "updated": 0,
        "duplicates": outcome.duplicates,
        "cross_overs": sum(each.code == "conflict" for each in refused),
        "rejected": [each.shown() for each in refused],
    }


@dataclass(slots=True)
class _Outcome:
    new: dict[str, Row] = field(default_factory=dict)
    duplicates: int = 0
    refused: list[Refused] = field(default_factory=list)


async def _people(
    session: Session, rows: Sequence[Row], *, secret: bytes, now: datetime
) -> dict[str, str | tuple[str, str]]:
    """Who each name means today, or why nothing is taken of them: code and detail."""
    names = sorted({row.customer_id for row in rows})
    found: dict[str, str | tuple[str, str]] = dict(await pushing.survivors(session, names))
    strangers = {customer_hash(secret, name): name for name in names if name not in found}
    for gone in await pushing.erased_among(session, list(strangers)):
        found[strangers[gone]] = ("customer_erased", "this customer was erased; nothing of theirs is taken any more")
    new = [name for name in names if name not in found]
    await pushing.create_customers(session, new)
    found |= {name: name for name in new}
    lasting = await holdouts.lasting(session, at=now)
    if lasting:
        people = sorted({person for person in found.values() if isinstance(person, str)})
        out = await pushing.held_out_among(session, people, holding=lasting, secret=secret)
        why = ("in_global_holdout", "this customer is kept out of every campaign")
        found |= {name: why for name, person in found.items() if person in out}
    return found


async def _assign(
    session: Session, campaign: Campaign, rows: Sequence[Row], *, whose: Mapping[str, str | tuple[str, str]]
) -> _Outcome:
    outcome = _Outcome()
    people = sorted({person for person in whose.values() if isinstance(person, str)})
    arms = await pushing.arms_of(session, campaign.campaign_id, people)
    crossed: set[str] = set()
    for row in rows:
        person = whose[row.customer_id]
        if not isinstance(person, str):
            outcome.refused.append(Refused(row.index, "customer_id", *person))
            continue
        if person not in arms:
            arms[person], outcome.new[person] = row.arm, row
        elif arms[person] == row.arm:
            outcome.duplicates += 1
        else:
            crossed.add(person)
            detail = f"this customer is in {arms[person]}; an arm is decided once"
            outcome.refused.append(Refused(row.index, "arm", "conflict", detail))
    await pushing.store(
        session,
        campaign.campaign_id,
        [(person, row.arm, row.at, None if row.arm == HOLDOUT else row.at) for person, row in outcome.new.items()],
    )
    await pushing.mark_crossed_over(session, campaign.campaign_id, sorted(crossed))
    return outcome
