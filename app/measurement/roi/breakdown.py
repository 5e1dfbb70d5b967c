"""An initiative's return in parts: by channel, by segment, and what became of the customers' predicted value."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.measurement.campaigns.outcomes import ArmSums
from app.measurement.campaigns.overlaps import segment_names
from app.measurement.campaigns.repository import of_initiative
from app.measurement.costs import Spent
from app.measurement.roi.changes import predicted_value
from app.measurement.roi.evidence import Found, Work, gain_of
from app.measurement.roi.showing import Showing
from app.stats.comparison.difference import Difference
from app.stats.comparison.sums import Sums
from app.stats.estimate import Undetermined
from app.stats.returns.gains import added_up, incremental_total
from app.tables.campaigns import HOLDOUT

Shown = dict[str, Any]
NO_NAME: Mapping[str, str | None] = {"segment_key": None, "segment_name": None}


def _together(gains: Sequence[Difference | Undetermined]) -> Difference | Undetermined:
    known = [each for each in gains if isinstance(each, Difference)]
    if known or not gains:
        return added_up(known)
    return gains[0]


async def by_channel(
    session: Session, work: Work, chosen: Found, costs: Sequence[Spent], *, showing: Showing
) -> list[Shown]:
    """The campaigns of each channel against what was booked on them; known by their holdouts alone."""
    channels = {row["campaign_id"]: row["channel"] for row in await of_initiative(session, work.initiative_id)}
    members: defaultdict[str | None, list[str]] = defaultdict(list)
    for campaign in work.campaigns:
        members[channels[campaign.campaign_id]].append(campaign.campaign_id)
    outcomes = {each.campaign.campaign_id: each for each in chosen.outcomes}
    rows = []
    for channel, ids in sorted(members.items(), key=lambda each: (each[0] is None, each[0] or "")):
        gains = [gain_of(outcomes[each].arms, work) for each in ids if each in outcomes]
        gain = _together(gains)
        cost = sum(each.amount_minor for each in costs if each.group[0] in ids)
        shown = {"gain": showing.gain(gain), "cost": showing.money(cost), "roi": showing.roi(gain, cost)}
        rows.append({"channel": channel, "campaign_ids": ids, **shown})
    return rows


def by_arm(work: Work, chosen: Found, costs: Sequence[Spent], *, showing: Showing) -> list[Shown]:
    """Each treated arm of each campaign against its holdout; what is booked falls on the treated alike: of a campaign on
    its own, of the initiative on all.
    """
    booked: defaultdict[str | None, int] = defaultdict(int)
    for each in costs:
        booked[each.group[0]] += each.amount_minor
    own = {outcomes.campaign.campaign_id: _treated(outcomes.arms) for outcomes in chosen.outcomes}
    everybody = sum(own.values())
    rows = []
    for outcomes in chosen.outcomes:
        campaign_id = outcomes.campaign.campaign_id
        control = [arm for arm in outcomes.arms if arm.arm == HOLDOUT]
        for arm in outcomes.arms:
            if arm.arm == HOLDOUT:
                continue
            gain = gain_of([*control, arm], work)
            cost = _part(booked[campaign_id], arm.n, own[campaign_id]) + _part(booked[None], arm.n, everybody)
            shown = {"gain": showing.gain(gain), "cost_allocated": showing.money(cost), "roi": showing.roi(gain, cost)}
            rows.append({"campaign_id": campaign_id, "arm": arm.arm, "treated": arm.n, **shown})
    return rows


def _treated(arms: Sequence[ArmSums]) -> int:
    return sum(arm.n for arm in arms if arm.arm != HOLDOUT)


def _part(cost: int, some: int, whole: int) -> int:
    return round(cost * some / whole) if whole else 0


async def by_segment(
    session: Session, work: Work, chosen: Found, cost: int, *, segmentation_id: UUID, showing: Showing
) -> list[Shown]:
    """The gain in each segment of the customers when assigned; the cost falls on the treated alike."""
    names: Mapping[UUID, Mapping[str, str | None]] = await segment_names(session, segmentation_id)
    gains: defaultdict[UUID | None, list[Difference | Undetermined]] = defaultdict(list)
    treated: defaultdict[UUID | None, int] = defaultdict(int)
    for outcomes in chosen.outcomes:
        pieces: defaultdict[UUID | None, list[ArmSums]] = defaultdict(list)
        for piece in outcomes.by_segment:
            pieces[piece.segment_id].append(piece)
        for segment_id, arms in pieces.items():
            gains[segment_id].append(gain_of(arms, work))
            treated[segment_id] += _treated(arms)
    everybody = sum(treated.values())
    rows = []
    for segment_id in sorted(gains, key=lambda each: (each is None, str(each))):
        gain = _together(gains[segment_id])
        share = _part(cost, treated[segment_id], everybody)
        shown = {"gain": showing.gain(gain), "cost_allocated": showing.money(share), "roi": showing.roi(gain, share)}
        name = NO_NAME if segment_id is None else names.get(segment_id, NO_NAME)
        rows.append({"segment_id": segment_id, **name, "treated": treated[segment_id], **shown})
    return rows


async def equity(session: Session, work: Work) -> Difference | Undetermined:
    """By how much the predicted lifetime value of the treated exceeds what it would be, by the holdouts."""
    gains: list[Difference | Undetermined] = []
    for campaign in work.campaigns:
        arms = await predicted_value(session, campaign.campaign_id)
        if arms is None:
            return Undetermined("no_active_model", 0)
        control = arms.pop(HOLDOUT, Sums(0, 0, 0))
        gains.append(incremental_total(list(arms.values()), control))
    return _together(gains)
