"""The campaigns of the demo as experiments: who was in which arm, and the initiative that they belong to."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from app.cli.demo.client import AlreadyThere, Api
from app.cli.demo.guide import INITIATIVE
from app.cli.demo.progress import step
from app.cli.demo.shop import Shop
from app.cli.demo.wire import customer_id

BATCH = 10_000


def tell(api: Api, shop: Shop) -> None:
    """Make the initiative and its campaigns known, with all arms. What is known already stays as it is."""
    if not shop.campaigns:
        return
    with step(f"{len(shop.campaigns)} campaigns with their holdouts"):
        with suppress(AlreadyThere):
            api.call("POST", "/v1/initiatives", body=initiative(shop))
        for position, campaign in enumerate(shop.campaigns):
            with suppress(AlreadyThere):
                api.call("POST", "/v1/campaigns", body=campaign_of(shop, position))
            for body in exposures(shop, position):
                api.call("POST", f"/v1/campaigns/{campaign.campaign_id}/exposures", body=body)


def initiative(shop: Shop) -> dict[str, Any]:
    """All campaigns together, in contribution margin."""
    return {
        "initiative_id": INITIATIVE,
        "name": "Mailings of two years (simulated)",
        "objective": "more margin from customers who bought before",
        "starts_at": f"{shop.campaigns[0].starts_on}T00:00:00Z",
        "ends_at": f"{max(each.ends_on for each in shop.campaigns)}T00:00:00Z",
        "value": "margin",
    }


def campaign_of(shop: Shop, position: int) -> dict[str, Any]:
    campaign = shop.campaigns[position]
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "objective": campaign.plan.objective,
        "channel": "email",
        "starts_at": f"{campaign.starts_on}T00:00:00Z",
        "ends_at": f"{campaign.ends_on}T00:00:00Z",
        "holdout_share": campaign.plan.holdout_share,
        "metrics": ["revenue_per_customer", "purchase_rate"],
        "initiative_id": INITIATIVE,
    }


def exposures(shop: Shop, position: int) -> Iterator[dict[str, Any]]:
    """Who was in which arm, in bodies of at most BATCH rows."""
    who, treated = shop.assignments.of(position)
    at = f"{shop.campaigns[position].starts_on}T00:00:00Z"
    rows = [
        {"customer_id": customer_id(number), "arm": "treated" if is_treated else "holdout", "at": at}
        for number, is_treated in zip(who.tolist(), treated.tolist(), strict=True)
    ]
    for start in range(0, len(rows), BATCH):
        yield {"exposures": rows[start : start + BATCH]}
