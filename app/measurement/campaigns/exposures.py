"""Arms that were assigned elsewhere: checked against the campaign one by one, stored set by set."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from app.db.engine import Session
from app.measurement.campaigns import holdouts, pushing, service
from app.measurement.campaigns.service import Campaign
from app.privacy import customer_hash
from app.tables.campaigns import HOLDOUT

CUSTOMER_ERASED = "customer_erased"
CROSS_OVER = "conflict"


@dataclass(frozen=True, slots=True)
class Exposure:
    """Whom an arm was assigned to, and since when."""

    customer_id: str
    arm: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """One that is not stored: where it stood, and which field is wrong why."""

    position: int
    code: str
    field: str
    detail: str


@dataclass(slots=True)
class Taken:
    """What became of exposures: those of new customers of the campaign, those known already, those refused."""

    new: dict[str, Exposure] = field(default_factory=dict)
    duplicates: int = 0
    refused: list[Refused] = field(default_factory=list)


async def take(
    session: Session, campaign_id: str, exposures: Sequence[Exposure], *, secret: bytes, now: datetime
) -> Taken:
    """Store arms assigned elsewhere; good ones are stored whatever the bad ones. Raises CampaignNotFound.

    Unknown customers are created, as by any push: leaving out those who never did anything would falsify the result.
    """
    await pushing.lock_people(session)
    campaign = await service.found(session, campaign_id, locked=True)
    flaws = {position: flaw for position, each in enumerate(exposures) if (flaw := _flaw(campaign, position, each))}
    good = {each.customer_id for position, each in enumerate(exposures) if position not in flaws}
    named = {each.customer_id for each in exposures}
    whose = await _people(session, named, wanted=good, secret=secret, now=now)
    return await _assign(session, campaign, exposures, flaws=flaws, whose=whose)


def _flaw(campaign: Campaign, position: int, exposure: Exposure) -> Refused | None:
    if exposure.arm not in campaign.arms:
        detail = f"the arms of this campaign are {', '.join(campaign.arms)}"
        return Refused(position, "unknown_arm", "arm", detail)
    if not campaign.starts_at <= exposure.at < campaign.ends_at:
        detail = "not between the campaign's start and its end"
        return Refused(position, "outside_campaign", "at", detail)
    return None


async def _people(
    session: Session, named: AbstractSet[str], *, wanted: AbstractSet[str], secret: bytes, now: datetime
) -> dict[str, str | tuple[str, str]]:
    """Who each name means today, or why nothing is taken of them: code and detail. Of strangers only the wanted are made."""
    names = sorted(named)
    found: dict[str, str | tuple[str, str]] = dict(await pushing.survivors(session, names))
    strangers = {customer_hash(secret, name): name for name in names if name not in found}
    for gone in await pushing.erased_among(session, list(strangers)):
        found[strangers[gone]] = (CUSTOMER_ERASED, "this customer was erased; nothing of theirs is taken any more")
    strange = [name for name in names if name not in found]
    await pushing.create_customers(session, [name for name in strange if name in wanted])
    found |= {name: name for name in strange}
    lasting = await holdouts.lasting(session, at=now)
    if lasting:
        people = sorted({person for person in found.values() if isinstance(person, str)})
        out = await pushing.held_out_among(session, people, holding=lasting, secret=secret)
        why = ("in_global_holdout", "this customer is kept out of every campaign")
        found |= {name: why for name, person in found.items() if person in out}
    return found


async def _assign(
    session: Session,
    campaign: Campaign,
    exposures: Sequence[Exposure],
    *,
    flaws: Mapping[int, Refused],
    whose: Mapping[str, str | tuple[str, str]],
) -> Taken:
    taken = Taken()
    people = sorted({person for person in whose.values() if isinstance(person, str)})
    arms = await pushing.arms_of(session, campaign.campaign_id, people)
    crossed: set[str] = set()
    for position, each in enumerate(exposures):
        person = whose[each.customer_id]
        if not isinstance(person, str):
            # Whatever else is wrong: of the erased nothing is kept, so that this has to be said first.
            code, detail = person
            taken.refused.append(Refused(position, code, "customer_id", detail))
        elif position in flaws:
            taken.refused.append(flaws[position])
        elif person not in arms:
            arms[person], taken.new[person] = each.arm, each
        elif arms[person] == each.arm:
            taken.duplicates += 1
        else:
            crossed.add(person)
            detail = f"this customer is in {arms[person]}; an arm is decided once"
            taken.refused.append(Refused(position, CROSS_OVER, "arm", detail))
    await pushing.store(
        session,
        campaign.campaign_id,
        [(person, each.arm, each.at, None if each.arm == HOLDOUT else each.at) for person, each in taken.new.items()],
    )
    await pushing.mark_crossed_over(session, campaign.campaign_id, sorted(crossed))
    return taken
