"""Planning campaigns: what is refused, what is filled in, how one is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from app.db.engine import Session
from app.errors import BadWindow, CampaignNotFound, Conflict, FieldError, InvalidInput
from app.measurement.campaigns import repository
from app.measurement.campaigns.arms import Share, shares_of
from app.measurement.campaigns.definitions import named
from app.tables.campaigns import HOLDOUT

DEFAULT_ARM = "treated"
# Thirds written with three digits add up to .999.
SHARES_MAY_MISS = 0.0015


@dataclass(frozen=True, slots=True)
class Campaign:
    """A stored campaign, for those who work with it."""

    campaign_id: str
    segment_id: Any
    starts_at: datetime
    ends_at: datetime
    shares: tuple[Share, ...]
    metrics: tuple[str, ...]
    outcome_window_days: int | None
    frequency_cap: Mapping[str, int] | None
    excluded_segment_ids: Sequence[str]

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms, the holdout among them also where nothing is held out: it may be pushed."""
        return (HOLDOUT, *(each.arm for each in self.shares if each.arm != HOLDOUT))


async def create(session: Session, asked: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Plan a campaign. Raises BadWindow, InvalidInput, UnknownMetric, Conflict."""
    if asked["ends_at"] <= asked["starts_at"]:
        detail = "ends_at must be after starts_at"
        raise BadWindow(detail, errors=[FieldError("/ends_at", "bad_window", detail)])
    variants = _variants(asked)
    metrics = [metric.name for metric in named(asked["metrics"], pointer="/metrics")]
    await _refuse_unknown(session, asked)
    values = {
        **asked,
        "campaign_id": asked["campaign_id"] or str(uuid4()),
        "variants": variants,
        "metrics": metrics,
        "excluded_segment_ids": [str(each) for each in asked["excluded_segment_ids"]],
    }
    made = await repository.create(session, values)
    if made is None:
        detail = f"campaign {values['campaign_id']!r} exists; an arm is decided once, so that campaigns do not change"
        raise Conflict(detail, errors=[FieldError("/campaign_id", "conflict", detail)])
    return shown(made, now=now)


def _variants(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arms besides the holdout; shares that do not add up are refused."""
    held_out: float = asked["holdout_share"]
    variants: list[dict[str, Any]] | None = asked["variants"]
    if variants is None:
        return [{"arm": DEFAULT_ARM, "share": 1 - held_out}]
    arms = [each["arm"] for each in variants]
    for position, arm in enumerate(arms):
        if arm == HOLDOUT or arm in arms[:position]:
            code, detail = ("reserved_arm", "holdout is the name of the control arm")
            if arm != HOLDOUT:
                code, detail = "duplicate_arm", f"{arm!r} stands twice"
            raise InvalidInput(detail, errors=[FieldError(f"/variants/{position}/arm", code, detail)])
    total = held_out + sum(each["share"] for each in variants)
    if abs(total - 1) > SHARES_MAY_MISS:
        detail = f"holdout_share and the shares of the variants add up to {total:.6g}, not to 1"
        raise InvalidInput(detail, errors=[FieldError("/variants", "bad_shares", detail)])
    return variants


async def _refuse_unknown(session: Session, asked: Mapping[str, Any]) -> None:
    """Refuse segments and initiatives that do not exist."""
    excluded = asked["excluded_segment_ids"]
    named_in = [(f"/excluded_segment_ids/{place}", each) for place, each in enumerate(excluded)]
    if asked["segment_id"] is not None:
        named_in.insert(0, ("/segment_id", asked["segment_id"]))
    known = await repository.known_segments(session, [each for _, each in named_in]) if named_in else set()
    flaws = [
        FieldError(pointer, "unknown_segment", f"there is no segment {each}")
        for pointer, each in named_in
        if each not in known
    ]
    initiative_id = asked["initiative_id"]
    if initiative_id is not None and not await repository.initiative_exists(session, initiative_id):
        detail = f"there is no initiative {initiative_id!r}"
        flaws.append(FieldError("/initiative_id", "unknown_initiative", detail))
    if flaws:
        raise InvalidInput(flaws[0].detail, errors=flaws)


async def found(session: Session, campaign_id: str, *, locked: bool = False) -> Campaign:
    """A campaign to work with. Raises CampaignNotFound."""
    row = await repository.find(session, campaign_id, locked=locked)
    if row is None:
        raise CampaignNotFound()
    return read(row)


def read(row: Mapping[str, Any]) -> Campaign:
    return Campaign(
        campaign_id=row["campaign_id"],
        segment_id=row["segment_id"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        shares=shares_of(row["holdout_share"], row["variants"]),
        metrics=tuple(row["metrics"]) or ("revenue_per_customer",),
        outcome_window_days=row["outcome_window_days"],
        frequency_cap=row["frequency_cap"],
        excluded_segment_ids=row["excluded_segment_ids"],
    )


async def get(session: Session, campaign_id: str, *, now: datetime) -> dict[str, Any]:
    """A campaign as it is shown. Raises CampaignNotFound."""
    row = await repository.find(session, campaign_id)
    if row is None:
        raise CampaignNotFound()
    return shown(row, now=now)


def shown(row: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """A campaign with where it stands."""
    status = "planned" if now < row["starts_at"] else "running" if now < row["ends_at"] else "over"
    return {**row, "status": status}


async def of_initiative(session: Session, initiative_id: str) -> list[Campaign]:
    """The campaigns that serve an initiative, by start."""
    return [read(row) for row in await repository.of_initiative(session, initiative_id)]
