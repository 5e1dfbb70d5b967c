"""Campaigns for tests: planned, pushed and asked in as few calls as possible."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select

from app.tables.customers import customers
from app.tables.segments import memberships, segmentations, segments
from tests.conftest import Service

CAMPAIGN = {
    "campaign_id": "autumn",
    "name": "Autumn mailing",
    "objective": "second purchase",
    "channel": "email",
    "starts_at": "2026-10-01T00:00:00Z",
    "ends_at": "2026-11-01T00:00:00Z",
    "holdout_share": 0.5,
}
ASSIGNED_AT = "2026-10-02T00:00:00Z"


async def plan(service: Service, **values: Any) -> dict[str, Any]:
    answer = await service.client.post("/v1/campaigns", json={**CAMPAIGN, **values})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def exposure(customer_id: str, arm: str = "treated", at: str = ASSIGNED_AT) -> dict[str, str]:
    return {"customer_id": customer_id, "arm": arm, "at": at}


async def expose(service: Service, rows: Sequence[dict[str, Any]], campaign_id: str = "autumn") -> dict[str, Any]:
    """Push arms in calls as large as allowed; the last answer."""
    found: dict[str, Any] = {}
    for start in range(0, len(rows), 10_000):
        body = {"exposures": rows[start : start + 10_000]}
        answer = await service.client.post(f"/v1/campaigns/{campaign_id}/exposures", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
    return found


async def results(service: Service, campaign_id: str = "autumn", **params: Any) -> dict[str, Any]:
    answer = await service.client.get(f"/v1/campaigns/{campaign_id}/results", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def post(service: Service, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    """Push records in calls as large as allowed; all must be stored."""
    for start in range(0, len(rows), 10_000):
        answer = await service.client.post(f"/v1/{kind}", json={kind: rows[start : start + 10_000]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] == []


def comparison(found: dict[str, Any], arm: str = "treated", metric: str = "revenue_per_customer") -> dict[str, Any]:
    rows: list[dict[str, Any]] = found["comparisons"]
    return next(row for row in rows if (row["arm"], row["metric"]) == (arm, metric))


async def segment_of(
    service: Service, people: list[str], *, consent: bool | None = True, since: datetime | None = None
) -> str:
    """A segment with these members; customers are made."""
    segmentation_id, segment_id, now = uuid4(), uuid4(), since or service.clock.now()
    open_range = {"version": 1, "valid_from": now, "since": now, "evaluated_at": now, "reason": {}}
    async with service.app.state.service.database.write() as session:
        known = set(await session.scalars(select(customers.c.customer_id)))
        new = [each for each in people if each not in known]
        if new:
            rows = [{"customer_id": each, "consent_marketing": consent} for each in new]
            await session.execute(insert(customers), rows)
        await session.execute(
            insert(segmentations).values(
                segmentation_id=segmentation_id, name=str(segmentation_id), method="rules", request={}
            )
        )
        named = {"segment_id": segment_id, "segmentation_id": segmentation_id, "key": "k", "name": "k", "position": 0}
        await session.execute(insert(segments).values(**named))
        member = {"segmentation_id": segmentation_id, "segment_id": segment_id, **open_range}
        await session.execute(insert(memberships), [{"customer_id": each, **member} for each in people])
    return str(segment_id)
