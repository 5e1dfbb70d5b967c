"""Pushed arms by the course of every bulk write: those refused are kept with what was sent, and can be tried again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread

from app.activation.exposures.schemas import EXPOSURES, ExposureIn
from app.clock import InvalidInstant, parse_instant
from app.db.engine import Session
from app.measurement.campaigns import service as campaigns
from app.measurement.campaigns.exposures import CROSS_OVER, Exposure, take
from app.records.intake.bulk import Intake, Kind, check, store
from app.records.intake.outcome import Flaw, Outcome

# Of a row whose instant cannot be read; it is refused before anybody looks at the time.
NO_TIME = datetime.max.replace(tzinfo=UTC)


def columns_of(rows: Sequence[ExposureIn]) -> tuple[list[Exposure], list[Flaw]]:
    """Decoded rows as exposures, and the flaws found; instants repeat, so that each text is read once."""
    read: dict[str, datetime | InvalidInstant] = {}
    flaws: list[Flaw] = []
    exposures = []
    for position, row in enumerate(rows):
        if row.at not in read:
            read[row.at] = _instant(row.at)
        at = read[row.at]
        if isinstance(at, InvalidInstant):
            flaws.append(Flaw(position, at.code, "at", at.detail))
            at = NO_TIME
        exposures.append(Exposure(row.customer_id, row.arm, at))
    return exposures, flaws


def _instant(text: str) -> datetime | InvalidInstant:
    try:
        return parse_instant(text)
    except InvalidInstant as error:
        return error


def _taken(exposures: list[Exposure], positions: Sequence[int]) -> list[Exposure]:
    return [exposures[position] for position in positions]


async def _store(
    session: Session, campaign_id: str, exposures: list[Exposure], *, secret: bytes, now: datetime, **_people: object
) -> tuple[Outcome, list[Flaw]]:
    """Store exposures of one campaign. Needs lock_intake."""
    taken = await take(session, campaign_id, exposures, secret=secret, now=now)
    flaws = [Flaw(each.position, each.code, each.field, each.detail) for each in taken.refused]
    return Outcome(created=len(taken.new), duplicates=taken.duplicates), flaws


# The source of exposures is their campaign. Who may push arms is not who may push records.
EXPOSURE_KIND: Kind[ExposureIn, list[Exposure]] = Kind(
    "exposures", EXPOSURES, columns_of, _taken, _store, scope="roi:write"
)


async def push(session: Session, campaign_id: str, body: bytes, *, intake: Intake) -> dict[str, Any]:
    """Take in exposures of a campaign and keep the refused ones. Raises CampaignNotFound, InvalidInput, TooLarge."""
    checked = await to_thread.run_sync(check, EXPOSURE_KIND, body)
    campaign = await campaigns.found(session, campaign_id)
    outcome, _ = await store(session, EXPOSURE_KIND, replace(checked, source=campaign.campaign_id), intake=intake)
    return {**outcome.shown(), "cross_overs": sum(each.code == CROSS_OVER for each in outcome.rejected)}
