"""What the demo tells when it is ready: where the service is, the key, calls to try, how to stop."""

from typing import Any

from app.cli.demo.client import Api
from app.cli.demo.notes import Notes

BEST_SEGMENT = "champions"
# All campaigns of the demo belong to it.
INITIATIVE = "demo-mailings"


def guide(api: Api, notes: Notes, *, segmentation: dict[str, Any], found: dict[str, Any]) -> str:
    """The text, with calls that work as they stand."""
    segment = best_segment(segmentation)
    members = api.get(f"/v1/segments/{segment['segment_id']}/members?limit=1")["data"]
    customer = members[0]["customer_id"] if members else "demo-c000001"
    shown = ", ".join(f"{notes.rows[kind]:,} {kind}" for kind in ("customers", "transactions", "events"))
    own = segmentation["segmentation_id"]
    by_month = "/v1/kpis?metric=revenue_net&metric=buyers&interval=month"
    by_segment = f"/v1/kpis?metric=buyers&metric=average_order_value&group_by=segment&segmentation_id={own}"
    calls = (
        (f"the segments of one of the {segment['name']}", f"/v1/customers/{customer}/segments"),
        ("why, feature by feature", f"/v1/customers/{customer}/segments/explanation"),
        ("the segments that k-means found, with their portraits", f"/v1/segmentations/{found['segmentation_id']}"),
        ("who is about to leave, those first with whom most would go", "/v1/churn/at-risk?limit=5"),
        ("why, or why not, the first one may leave", f"/v1/customers/{customer}/churn"),
        ("what customers will be worth, by segment", f"/v1/clv/equity?group_by=segment&segmentation_id={own}"),
        ("what the mailings were worth, by their holdouts", f"/v1/initiatives/{INITIATIVE}/roi"),
        ("revenue and buyers by month", by_month),
        ("buyers and average order value by segment", by_segment),
    )
    tried = "\n\n".join(f"  # {what}\n  {curl(api, path)}" for what, path in calls)
    return f"""
Tessera serves a simulated shop: {shown} (all made up, seed {notes.seed}).

  address  {api.url}   (its documentation: {api.url}/docs)
  API key  {api.key}

Try in another terminal:

{tried}

Ctrl-C stops it. The data stays: the same command starts it again at once.
"""


def curl(api: Api, path: str) -> str:
    return f"curl -s -H 'Authorization: Bearer {api.key}' '{api.url}{path}'"


def best_segment(segmentation: dict[str, Any]) -> dict[str, Any]:
    """The champions, or the largest segment where nobody is one."""
    segments: list[dict[str, Any]] = segmentation["segments"]
    peopled = [each for each in segments if each["size"]]
    best = [each for each in peopled if each["key"] == BEST_SEGMENT]
    return (best or sorted(peopled or segments, key=lambda each: each["size"], reverse=True))[0]
