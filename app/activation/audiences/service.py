"""Handing out audiences: who asks when gets whom, and what is put on record by it."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from app.activation.audiences import repository
from app.activation.audiences.exports import HEADER, FileFormat, writer
from app.activation.audiences.repository import Rules
from app.db.engine import Database, Session
from app.errors import FieldError, InvalidInput, NoAudience
from app.measurement.campaigns import holdouts, service
from app.measurement.campaigns.pushing import lock_people
from app.measurement.campaigns.units import has_merged
from app.tables.campaigns import HOLDOUT


async def hand_out(
    session: Session, campaign_id: str, *, arm: str | None, assigning: bool, secret: bytes, now: datetime
) -> Rules:
    """Decide the arms of new members, unless only a further page is asked for; the rules to hand out by.

    Raises CampaignNotFound, NoAudience, InvalidInput.
    """
    await lock_people(session)
    # Two hand-outs at one time would both assign the same new members: the second waits.
    campaign = await service.found(session, campaign_id, locked=True)
    if campaign.segment_id is None:
        raise NoAudience("This campaign has no segment: its arms are assigned elsewhere and pushed")
    if now >= campaign.ends_at:
        raise NoAudience("This campaign is over: nobody is handed out any more")
    if arm is not None and arm not in campaign.arms[1:]:
        detail = f"{arm!r} is not handed out; arms of this campaign are {', '.join(campaign.arms[1:])}"
        code = "holdout_is_not_handed_out" if arm == HOLDOUT else "unknown_arm"
        raise InvalidInput(detail, errors=[FieldError("arm", code, detail)])
    lasting = await holdouts.lasting(session, at=now)
    rules = Rules(campaign, secret, lasting, merged=await has_merged(session, campaign_id))
    if assigning:
        await repository.prepare(session)
        await repository.assign(session, rules, now=now)
    return rules


async def page(
    session: Session, rules: Rules, *, arm: str | None, limit: int, after: str | None
) -> list[dict[str, Any]]:
    """Customers to hand out, in order; at most limit + 1."""
    return await repository.page(session, rules, arm=arm, limit=limit, after=after)


async def lines(database: Database, rules: Rules, *, arm: str | None, file_format: FileFormat) -> AsyncIterator[bytes]:
    """All customers to hand out as the bytes of a file, from one snapshot."""
    written = writer(file_format)
    if file_format == "csv":
        yield HEADER
    async with database.read() as session:
        await repository.prepare(session)
        async for rows in repository.parts(session, rules, arm=arm):
            yield written(rows)
