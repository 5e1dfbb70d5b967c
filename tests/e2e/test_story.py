"""One story from end to end, as docs/story.md tells it: three clients with three keys, from purchases to a return."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import ServiceProcess, service

pytestmark = pytest.mark.slow

CUSTOMERS = 600
# Every sixth has not agreed to marketing.
CONSENTING = [number for number in range(CUSTOMERS) if number % 6]
HOLDOUT_SHARE = 0.4
# What the story makes true: each treated customer spends 20.00 more.
TRUE_EFFECT, MAIL_COST = 20.0, 2


class Client:
    """A client of the API with a key of its own."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        answer = self.http.request(method, path, json=body, params=query)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def finished(self, started: dict[str, Any]) -> dict[str, Any]:
        """The result of a job."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            job = self.call("GET", f"/v1/jobs/{started['id']}")
            if job["status"] == "succeeded":
                found: dict[str, Any] = job["result"]
                return found
            assert job["status"] in ("queued", "running"), job
            time.sleep(0.1)
        raise AssertionError("the job did not end")


@contextmanager
def clients(process: ServiceProcess) -> Iterator[tuple[Client, Client, Client]]:
    """The CRM, the marketing platform and the dashboard, each with the scopes that it needs and no other."""
    scopes = (["ingest"], ["segments:read", "segments:write"], ["kpis:read", "roi:read", "roi:write"])
    with process.client() as admin:
        keys = [Client(admin).call("POST", "/v1/keys", {"name": each[0], "scopes": each})["key"] for each in scopes]
    made = [process.client(headers={"Authorization": f"Bearer {key}"}) for key in keys]
    try:
        crm, marketing, dashboard = (Client(each) for each in made)
        yield crm, marketing, dashboard
    finally:
        for each in made:
            each.close()


def name(number: int) -> str:
    return f"c{number:04}"


def written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def purchase(number: int, amount: int, at: datetime, label: str) -> dict[str, Any]:
    return {
        "transaction_id": f"{label}-{number}",
        "customer_id": name(number),
        "occurred_at": written(at),
        "amount": f"{amount}.00",
        "currency": "USD",
    }


def test_from_purchases_to_a_return_with_evidence(tmp_path: Path) -> None:
    with service(tmp_path / "home") as process, clients(process) as (crm, marketing, dashboard):
        began = datetime.now(UTC)
        push_history(crm, began)
        segment_id = segment_of_regulars(marketing)
        plan(dashboard, segment_id, began)
        treated = hand_out(marketing)
        outcomes(crm, treated)
        results = dashboard.call("GET", "/v1/campaigns/autumn/results")
        check_results(results, treated)
        check_return(dashboard.call("GET", "/v1/initiatives/loyalty/roi"), treated)
        refuse_what_is_not_theirs(crm, marketing, dashboard)


def push_history(crm: Client, began: datetime) -> None:
    customers = [
        {"customer_id": name(number), "consent": {"profiling": True, "marketing": number in CONSENTING}}
        for number in range(CUSTOMERS)
    ]
    assert crm.call("POST", "/v1/customers", {"customers": customers})["created"] == CUSTOMERS
    past = [purchase(number, 30 + number % 40, began - timedelta(days=40), "past") for number in range(CUSTOMERS)]
    assert crm.call("POST", "/v1/transactions", {"transactions": past})["created"] == CUSTOMERS


def segment_of_regulars(marketing: Client) -> str:
    rules = [{"key": "regulars", "name": "Regulars", "when": {"feature": "purchase_count", "op": ">=", "value": 1}}]
    asked = {"name": "Regulars", "method": "rules", "rules": rules}
    made = marketing.finished(marketing.call("POST", "/v1/segmentations", asked))
    path = f"/v1/segmentations/{made['segmentation_id']}"
    marketing.finished(marketing.call("POST", f"{path}/activate"))
    (segment,) = marketing.call("GET", path)["segments"]
    assert segment["size"] == CUSTOMERS
    found: str = segment["segment_id"]
    return found


def plan(dashboard: Client, segment_id: str, began: datetime) -> None:
    window = {"starts_at": written(began), "ends_at": written(began + timedelta(days=30))}
    initiative = {"initiative_id": "loyalty", "name": "Loyalty", "objective": "more per customer", **window}
    dashboard.call("POST", "/v1/initiatives", initiative)
    campaign = {
        "campaign_id": "autumn",
        "name": "Autumn mailing",
        "objective": "another purchase",
        "channel": "email",
        "segment_id": segment_id,
        "holdout_share": HOLDOUT_SHARE,
        "initiative_id": "loyalty",
        **window,
    }
    dashboard.call("POST", "/v1/campaigns", campaign)


def hand_out(marketing: Client) -> set[str]:
    """The treated, by name; asked twice, because a mail program does."""
    first, again = (marketing.http.get("/v1/campaigns/autumn/audience", params={"format": "ndjson"}) for _ in range(2))
    assert first.status_code == 200, first.text
    assert first.text == again.text
    rows = [json.loads(line) for line in first.text.splitlines()]
    assert {row["arm"] for row in rows} == {"treated"}
    treated = {row["customer_id"] for row in rows}
    assert treated <= {name(number) for number in CONSENTING}
    return treated


def outcomes(crm: Client, treated: set[str]) -> None:
    now = datetime.now(UTC)
    bought = [
        purchase(number, 10 + number % 30 + (int(TRUE_EFFECT) if name(number) in treated else 0), now, "now")
        for number in CONSENTING
    ]
    assert crm.call("POST", "/v1/transactions", {"transactions": bought})["created"] == len(CONSENTING)
    spent = {
        "cost_id": "mails",
        "campaign_id": "autumn",
        "category": "media",
        "amount": f"{MAIL_COST * len(treated)}.00",
        "currency": "USD",
        "from": now.date().isoformat(),
        "to": (now.date() + timedelta(days=1)).isoformat(),
    }
    assert crm.call("POST", "/v1/costs", {"costs": [spent]})["created"] == 1


def check_results(results: dict[str, Any], treated: set[str]) -> None:
    sizes = {arm["arm"]: arm["n"] for arm in results["arms"]}
    assert sizes == {"treated": len(treated), "holdout": len(CONSENTING) - len(treated)}
    assert results["sample_ratio"]["ok"] is True
    (comparison,) = results["comparisons"]
    for interval in (comparison["effect"], comparison["always_valid"]):
        assert 0 < interval["low"] < TRUE_EFFECT < interval["high"]
    # The campaign goes on, so that nobody's time is over: said, and not hidden.
    assert results["maturity"]["pending"] == len(CONSENTING)


def check_return(found: dict[str, Any], treated: set[str]) -> None:
    cost = MAIL_COST * len(treated)
    assert (found["evidence"], found["treated"]) == ("A", len(treated))
    assert found["cost"]["total"]["amount"] == f"{cost}.00"
    true_gain = TRUE_EFFECT * len(treated)
    assert found["gain"]["low"] < true_gain < found["gain"]["high"]
    assert found["roi"]["low"] < (true_gain - cost) / cost < found["roi"]["high"]
    assert found["probability_positive"] > 0.99


def refuse_what_is_not_theirs(crm: Client, marketing: Client, dashboard: Client) -> None:
    for client, path in (
        (crm, "/v1/segmentations"),
        (marketing, "/v1/initiatives/loyalty/roi"),
        (dashboard, "/v1/campaigns/autumn/audience"),
    ):
        assert client.http.get(path).status_code == 403
