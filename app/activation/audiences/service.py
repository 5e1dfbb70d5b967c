"""Handing out audiences: who asks when gets whom, and what is put on record by it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from app.activation.audiences import repository
from app.activation.audiences.exports import HEADER, FileFormat, Group, writer
from app.activation.audiences.repository import Piece, Rules
from app.db.engine import Database, Session
from app.errors import FieldError, InvalidInput, NoAudience
from app.measurement.campaigns import holdouts, service
from app.measurement.campaigns.pushing import lock_people
from app.tables.campaigns import HOLDOUT


async def rules_of(session: Session, campaign_id: str, *, arm: str | None, secret: bytes, now: datetime) -> Rules:
    """The rules to hand out by. Raises CampaignNotFound, NoAudience, InvalidInput."""
    campaign = await service.found(session, campaign_id)
    if campaign.segment_id is None:
        raise NoAudience("This campaign has no segment: its arms are assigned elsewhere and pushed")
    if now >= campaign.ends_at:
        raise NoAudience("This campaign is over: nobody is handed out any more")
    if arm is not None and arm not in campaign.arms[1:]:
        detail = f"{arm!r} is not handed out; arms of this campaign are {', '.join(campaign.arms[1:])}"
        code = "holdout_is_not_handed_out" if arm == HOLDOUT else "unknown_arm"
        raise InvalidInput(detail, errors=[FieldError("arm", code, detail)])
    return Rules(campaign, secret, await holdouts.lasting(session, at=now))


async def _assigned(session: Session, rules: Rules, *, after: str, now: datetime) -> tuple[Piece, int]:
    """The next piece of the audience, with the arms of its new members decided; how many these were."""
    await lock_people(session)
    # Two hand-outs at one time would both assign the same new members: the second waits.
    await service.found(session, rules.campaign.campaign_id, locked=True)
    await repository.prepare(session)
    upto = await repository.end_of_stretch(session, rules, after=after)
    found = await repository.piece(session, after=after, upto=upto)
    return found, await repository.assign(session, rules, found, now=now)


async def page(
    session: Session, rules: Rules, *, arm: str | None, limit: int, position: Sequence[Any] | None, now: datetime
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Customers to hand out, in order, and where the next page begins; null: there is none.

    position: after whom, and up to whom members have been assigned already; null: all of them. A page never goes
    beyond its piece, so that none has to assign more than one.
    """
    after, upto = position or ("", "")
    if after == upto:
        found, _ = await _assigned(session, rules, after=after, now=now)
    else:
        await repository.prepare(session)
        found = await repository.piece(session, after=after, upto=upto)
    rows = await repository.page(session, rules, found, arm=arm, limit=limit)
    upto = found.stretch.upto
    if len(rows) > limit:
        return rows[:limit], [rows[limit - 1]["customer_id"], upto]
    return rows, None if upto is None else [upto, upto]


async def lines(
    database: Database, rules: Rules, *, arm: str | None, file_format: FileFormat, now: datetime
) -> AsyncIterator[bytes]:
    """All customers to hand out as the bytes of a file, piece by piece.

    The arms of a piece are committed before its lines leave: whoever was streamed is on record, wherever a stream is
    cut off, and asked again all of them come again.
    """
    if file_format == "csv":
        yield HEADER
    written = writer(file_format)

    def following(after: str) -> asyncio.Task[_Part]:
        return asyncio.create_task(_part(database, rules, arm=arm, after=after, now=now))

    part = following("")
    try:
        while True:
            groups, upto, new = await part
            # Where nobody is new the next piece is read while this one leaves; who is new waits for their turn.
            if upto is not None and not new:
                part = following(upto)
            if groups:
                yield written(groups)
            if upto is None:
                return
            if new:
                part = following(upto)
    finally:
        part.cancel()
        await asyncio.wait([part])


# What can be handed out of a piece, where it ended, and how many were new in it.
_Part = tuple[list[Group], str | None, int]


async def _part(database: Database, rules: Rules, *, arm: str | None, after: str, now: datetime) -> _Part:
    async with database.write() as session:
        found, new = await _assigned(session, rules, after=after, now=now)
        return await repository.groups(session, rules, found, arm=arm), found.stretch.upto, new
