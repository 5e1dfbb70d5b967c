"""Audiences in SQL: whoever may be assigned is, in one statement, and whoever may be handed out is streamed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    DateTime,
    Select,
    Text,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)

from app.activation.audiences.exports import Row
from app.db.engine import Session, driver
from app.measurement.campaigns.arms import arm_at, campaign_key, drawn
from app.measurement.campaigns.holdouts import held_out
from app.measurement.campaigns.service import Campaign
from app.measurement.campaigns.units import Span, people
from app.tables.campaigns import HOLDOUT, campaign_assignments
from app.tables.customers import customer_aliases, customers
from app.tables.segments import memberships

FETCHED_AT_ONCE = 10_000
_a, _c, _m, _x = campaign_assignments.c, customers.c, memberships.c, customer_aliases.c


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may be assigned and handed out: the campaign, its secret, the global holdouts that are on.

    merged: names that were merged away are assigned.
    """

    campaign: Campaign
    secret: bytes
    holding: Sequence[dict[str, Any]]
    merged: bool = True


async def prepare(session: Session) -> None:
    """Sets meet in hash tables: right after a first load the planner knows no sizes and would look up one by one."""
    await session.execute(text("set local plan_cache_mode = force_custom_plan"))
    await session.execute(text("set local enable_nestloop = off"))
    await session.execute(text("set local work_mem = '128MB'"))


async def assign(session: Session, rules: Rules, *, now: datetime) -> int:
    """Decide the arm of every current member who may get one and has none; how many these were.

    The holdout is assigned at the same instant and by the same conditions as the rest, so that the arms differ by
    chance alone. Before the campaign starts the instant is its start.
    """
    campaign = rules.campaign
    since = max(now, campaign.starts_at)
    member = _eligible(rules, now=now).offset(0).subquery("eligible").c
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


def _eligible(rules: Rules, *, now: datetime) -> Select[Any]:
    """Current members who agreed to marketing, have no arm yet under any name, and are not kept out."""
    campaign = rules.campaign
    other = memberships.alias("other").c
    mine = campaign_assignments.c.campaign_id == campaign.campaign_id
    conditions = [
        _m.segment_id == campaign.segment_id,
        _m.valid_to.is_(None),
        _c.consent_marketing.is_(True),
        ~exists().where(mine, _a.customer_id == _m.customer_id),
        ~exists().where(_x.customer_id == _m.customer_id, _x.alias == _a.customer_id, mine),
    ]
    for segment_id in campaign.excluded_segment_ids:
        excluded = exists().where(
            other.customer_id == _m.customer_id, other.segment_id == segment_id, other.valid_to.is_(None)
        )
        conditions.append(~excluded)
    if campaign.frequency_cap is not None:
        often = _often_exposed(
            campaign.frequency_cap["exposures"], since=now - timedelta(campaign.frequency_cap["days"])
        )
        conditions.append(~exists().where(often.c.customer_id == _m.customer_id))
    if rules.holding:
        conditions.append(~held_out(rules.holding, _m.customer_id, secret=rules.secret))
    place = drawn(campaign_key(rules.secret, campaign.campaign_id), _m.customer_id).label("place")
    return select(_m.customer_id, place).join(customers, _c.customer_id == _m.customer_id).where(*conditions)


def _often_exposed(exposures: int, *, since: datetime) -> Any:
    """Customers handed out so often since then, in whichever campaigns and under whichever names."""
    person = func.coalesce(_x.customer_id, _a.customer_id).label("customer_id")
    return (
        select(person)
        .join_from(campaign_assignments, customer_aliases, _x.alias == _a.customer_id, isouter=True)
        .where(_a.exposed_at > since, _a.customer_id.is_not(None))
        .group_by(person)
        .having(func.count() >= exposures)
        .subquery("often")
    )


def _handed(rules: Rules, *, arm: str | None) -> tuple[Any, list[Any]]:
    """Assigned customers who may be handed out, as a table, and the conditions: not of the holdout, still agreeing."""
    campaign = rules.campaign
    everybody = people(
        Span(campaign.campaign_id, campaign.arms, campaign.ends_at, None, campaign.ends_at, merged=rules.merged)
    )
    p = everybody.c
    conditions = [~p.mixed, p.arm != HOLDOUT if arm is None else p.arm == arm, _c.consent_marketing.is_(True)]
    if rules.holding:
        conditions.append(~held_out(rules.holding, p.customer_id, secret=rules.secret))
    return everybody, conditions


async def page(
    session: Session, rules: Rules, *, arm: str | None, limit: int, after: str | None
) -> list[dict[str, Any]]:
    """Customers to hand out, in byte order of their identifiers; at most limit + 1."""
    everybody, conditions = _handed(rules, arm=arm)
    p = everybody.c
    query = (
        select(p.customer_id, p.arm, p.since.label("assigned_at"))
        .join_from(everybody, customers, _c.customer_id == p.customer_id)
        .where(*conditions)
        .order_by(p.customer_id)
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(p.customer_id > after)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def parts(session: Session, rules: Rules, *, arm: str | None) -> AsyncIterator[list[Row]]:
    """All customers to hand out (customer_id, arm, assigned_at), some at a time; the server holds the rest."""
    everybody, conditions = _handed(rules, arm=arm)
    p = everybody.c
    query = (
        select(p.customer_id, p.arm, p.since)
        .join_from(everybody, customers, _c.customer_id == p.customer_id)
        .where(*conditions)
    )
    # Through the driver: rows that are made into objects one by one take several times as long.
    compiled = query.compile(dialect=session.dialect)
    connection = await driver(session)
    async with connection.cursor("audience", binary=True) as cursor:
        await cursor.execute(str(compiled).encode(), dict(compiled.params))
        while rows := await cursor.fetchmany(FETCHED_AT_ONCE):
            yield rows
