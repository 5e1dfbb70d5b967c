"""Audiences in SQL, a stretch of customers at a time: whoever may be assigned is, whoever may be handed out is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    Text,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
)

from app.activation.audiences.exports import Group
from app.db.engine import Session
from app.measurement.campaigns.arms import arm_at, campaign_key, drawn
from app.measurement.campaigns.holdouts import held_out
from app.measurement.campaigns.service import Campaign
from app.measurement.campaigns.units import Span, Stretch, merged_into, people
from app.tables.campaigns import HOLDOUT, campaign_assignments
from app.tables.customers import customer_aliases, customers
from app.tables.segments import memberships

# So many members or assigned customers are a stretch: written in a second or two, held in some ten megabytes.
STRETCH = 100_000
_SETTINGS = text(
    "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_nestloop', 'off', true)"
)
_a, _c, _m, _x = campaign_assignments.c, customers.c, memberships.c, customer_aliases.c


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may be assigned and handed out: the campaign, its secret, the global holdouts that are on."""

    campaign: Campaign
    secret: bytes
    holding: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of customers, and whether others were merged into some of them."""

    stretch: Stretch
    merged: bool


async def prepare(session: Session) -> None:
    """Sets meet in order or in hash tables: right after a first load the planner would look up one by one."""
    await session.execute(_SETTINGS)


async def piece(session: Session, *, after: str, upto: str | None) -> Piece:
    """The customers after one, up to and with another."""
    stretch = Stretch(after, upto)
    merged = select(_x.alias).where(stretch.holds(_x.customer_id)).exists()
    return Piece(stretch, bool(await session.scalar(select(merged))))


async def end_of_stretch(session: Session, rules: Rules, *, after: str) -> str | None:
    """The last customer of the stretch that begins after one; null: there are no more than fit into it."""
    campaign = rules.campaign
    members = (_m.customer_id, _m.segment_id == campaign.segment_id, _m.valid_to.is_(None))
    assigned = (_a.customer_id, _a.campaign_id == campaign.campaign_id)
    ends = [
        select(column).where(column > after, *own).order_by(column).offset(STRETCH - 1).limit(1).scalar_subquery()
        for column, *own in (members, assigned)
    ]
    end: str | None = await session.scalar(select(func.least(*ends)))
    return end


async def assign(session: Session, rules: Rules, found: Piece, *, now: datetime) -> int:
    """Decide the arm of every current member of a piece who may get one and has none; how many these were.

    The holdout is assigned at the same instant and by the same conditions as the rest, so that the arms differ by
    chance alone. Before the campaign starts the instant is its start.
    """
    campaign = rules.campaign
    since = max(now, campaign.starts_at)
    member = _eligible(rules, found, now=now).offset(0).subquery("eligible").c
    # The offsets keep PostgreSQL from drawing anew wherever the place and the arm are used.
    decided = (
        select(member.customer_id, arm_at(member.place, campaign.shares).label("arm")).offset(0).subquery("decided").c
    )
    instant = literal(since, DateTime(timezone=True))
    chosen = select(
        literal(campaign.campaign_id, Text),
        decided.customer_id,
        decided.arm,
        instant,
        case((decided.arm != HOLDOUT, instant)),
    ).order_by(decided.customer_id)
    names = ["campaign_id", "customer_id", "arm", "assigned_at", "exposed_at"]
    done = await session.execute(insert(campaign_assignments).from_select(names, chosen))
    return done.rowcount


def _eligible(rules: Rules, found: Piece, *, now: datetime) -> Select[Any]:
    """Current members who agreed to marketing, have no arm yet under any name, and are not kept out."""
    campaign, stretch = rules.campaign, found.stretch
    # The offset keeps PostgreSQL from looking at everybody else's consent first: asked again, hardly anybody is new.
    new = _without_arm(rules, found).offset(0).subquery("without_arm").c.customer_id
    other = memberships.alias("other").c
    conditions = [_c.consent_marketing.is_(True), stretch.holds(_c.customer_id)]
    for segment_id in campaign.excluded_segment_ids:
        in_it = (other.segment_id == segment_id, other.valid_to.is_(None), stretch.holds(other.customer_id))
        conditions.append(~exists().where(other.customer_id == new, *in_it))
    if campaign.frequency_cap is not None:
        often = _often_exposed(
            found, campaign.frequency_cap["exposures"], since=now - timedelta(campaign.frequency_cap["days"])
        )
        conditions.append(~exists().where(often.c.customer_id == new))
    if rules.holding:
        conditions.append(~held_out(rules.holding, new, secret=rules.secret))
    place = drawn(campaign_key(rules.secret, campaign.campaign_id), new).label("place")
    return select(new, place).join(customers, _c.customer_id == new).where(*conditions)


def _without_arm(rules: Rules, found: Piece) -> Select[Any]:
    """Current members without an arm in the campaign, be it under a name that was merged into theirs."""
    campaign_id, stretch = rules.campaign.campaign_id, found.stretch
    mine = (_a.campaign_id == campaign_id, _a.customer_id == _m.customer_id, stretch.holds(_a.customer_id))
    query = select(_m.customer_id).where(
        _m.segment_id == rules.campaign.segment_id,
        _m.valid_to.is_(None),
        stretch.holds(_m.customer_id),
        ~exists().where(*mine),
    )
    if not found.merged:
        return query
    elsewhere = merged_into(campaign_id, stretch).subquery("elsewhere")
    return query.where(~exists().where(elsewhere.c.customer_id == _m.customer_id))


def _often_exposed(found: Piece, exposures: int, *, since: datetime) -> Subquery:
    """Customers of a piece handed out so often since then, in whichever campaigns and under whichever names."""
    recent = _a.exposed_at > since
    query = select(_a.customer_id).where(recent, found.stretch.holds(_a.customer_id))
    if not found.merged:
        return query.group_by(_a.customer_id).having(func.count() >= exposures).subquery("often")
    merged = select(_x.customer_id).join(campaign_assignments, _a.customer_id == _x.alias)
    every = union_all(query, merged.where(recent, found.stretch.holds(_x.customer_id))).subquery("every")
    return select(every.c.customer_id).group_by(every.c.customer_id).having(func.count() >= exposures).subquery("often")


def _handed(rules: Rules, found: Piece, *, arm: str | None) -> tuple[Subquery, list[ColumnElement[bool]]]:
    """Assigned customers who may be handed out, as a table, and the conditions: not of the holdout, still agreeing."""
    campaign = rules.campaign
    span = Span(campaign.campaign_id, campaign.arms, campaign.ends_at, None, campaign.ends_at, merged=found.merged)
    everybody = people(span, found.stretch)
    p = everybody.c
    conditions = [~p.mixed, p.arm != HOLDOUT if arm is None else p.arm == arm, _c.consent_marketing.is_(True)]
    if rules.holding:
        conditions.append(~held_out(rules.holding, p.customer_id, secret=rules.secret))
    return everybody, [*conditions, found.stretch.holds(_c.customer_id)]


async def page(session: Session, rules: Rules, found: Piece, *, arm: str | None, limit: int) -> list[dict[str, Any]]:
    """Customers of a piece to hand out, in byte order of their identifiers; at most limit + 1."""
    everybody, conditions = _handed(rules, found, arm=arm)
    p = everybody.c
    query = (
        select(p.customer_id, p.arm, p.since.label("assigned_at"))
        .join_from(everybody, customers, _c.customer_id == p.customer_id)
        .where(*conditions)
        .order_by(p.customer_id)
        .limit(limit + 1)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def groups(session: Session, rules: Rules, found: Piece, *, arm: str | None) -> list[Group]:
    """All customers of a piece to hand out, by arm and assigned_at; their identifiers as JSON strings, a line each.

    Put together by PostgreSQL: rows that become objects one by one take several times as long.
    """
    everybody, conditions = _handed(rules, found, arm=arm)
    p = everybody.c
    names = func.string_agg(cast(func.to_json(p.customer_id), Text), literal("\n"))
    query = (
        select(p.arm, p.since, names)
        .join_from(everybody, customers, _c.customer_id == p.customer_id)
        .where(*conditions)
        .group_by(p.arm, p.since)
    )
    return [(row[0], row[1], row[2]) for row in await session.execute(query)]
