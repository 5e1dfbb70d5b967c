"""What a result needs to know of its surroundings: other campaigns of the same customers, names of segments."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.db.engine import Session
from app.measurement.campaigns.service import Campaign
from app.tables.campaigns import HOLDOUT, campaign_assignments, campaigns
from app.tables.segments import segments

SHOWN = 20


async def overlapping(session: Session, campaign: Campaign) -> list[dict[str, Any]]:
    """Other campaigns of the same time that treat customers of this one, with how many; most first, at most SHOWN."""
    c = campaigns.c
    at_the_time = c.campaign_id != campaign.campaign_id, c.starts_at < campaign.ends_at, c.ends_at > campaign.starts_at
    others = list(await session.scalars(select(c.campaign_id).where(*at_the_time).order_by(c.starts_at.desc())))
    if not others:
        return []
    mine, theirs = campaign_assignments.alias("mine").c, campaign_assignments.alias("theirs").c
    customers = func.count().label("customers")
    query = (
        select(theirs.campaign_id, customers)
        .where(
            mine.campaign_id == campaign.campaign_id,
            mine.customer_id == theirs.customer_id,
            theirs.campaign_id.in_(others),
            theirs.arm != HOLDOUT,
        )
        .group_by(theirs.campaign_id)
        .order_by(customers.desc(), theirs.campaign_id)
        .limit(SHOWN)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def segment_names(session: Session, segmentation_id: UUID) -> dict[UUID, dict[str, str]]:
    """Key and name of each segment of a segmentation."""
    s = segments.c
    rows = await session.execute(select(s.segment_id, s.key, s.name).where(s.segmentation_id == segmentation_id))
    return {row[0]: {"segment_key": row[1], "segment_name": row[2]} for row in rows}
