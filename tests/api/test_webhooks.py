"""Webhook endpoints over HTTP: made, changed, shown, and what is refused."""

from typing import Any
from uuid import uuid4

import pytest

from app.activation.webhooks.service import MAX_ENDPOINTS
from tests.conftest import Service
from tests.support.webhooks import BOTH, Webhooks

pytestmark = pytest.mark.anyio

URL = "https://platform.example/hooks"


@pytest.fixture
def webhooks(service: Service) -> Webhooks:
    return Webhooks(service)


async def refused(webhooks: Webhooks, **asked: Any) -> tuple[int, str, str]:
    answer = await webhooks.client.post("/v1/webhooks", json={"url": URL, "events": BOTH, **asked})
    [error] = answer.json()["errors"]
    return answer.status_code, error["pointer"], error["code"]


async def test_a_secret_is_shown_once_and_the_endpoint_from_then_on_without_it(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL, description="lists")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    found = await webhooks.client.get(f"/v1/webhooks/{made['endpoint_id']}")
    assert found.json() == made
    assert (made["enabled"], made["segment_ids"], made["pending"], made["oldest_pending_at"]) == (True, None, 0, None)
    assert (await webhooks.client.get("/v1/webhooks")).json() == {"data": [made], "next_cursor": None}
    again = await webhooks.client.get(
        f"/v1/webhooks/{made['endpoint_id']}", headers={"If-None-Match": found.headers["etag"]}
    )
    assert again.status_code == 304


async def test_the_same_idempotency_key_makes_one_endpoint_and_never_shows_its_secret_again(webhooks: Webhooks) -> None:
    body, headers = {"url": URL, "events": BOTH}, {"Idempotency-Key": "once"}
    first = await webhooks.client.post("/v1/webhooks", json=body, headers=headers)
    again = await webhooks.client.post("/v1/webhooks", json=body, headers=headers)
    assert again.json() == {**first.json(), "secret": None}
    assert again.headers["location"] == first.headers["location"] == f"/v1/webhooks/{first.json()['endpoint_id']}"
    assert len((await webhooks.client.get("/v1/webhooks")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://platform.example/hooks", "https_needed"),
        ("https://127.0.0.1/hooks", "address_not_allowed"),
        ("https://[::1]/hooks", "address_not_allowed"),
        ("https://169.254.169.254/", "address_not_allowed"),
        ("https://user:password@platform.example/", "invalid_url"),
        ("ftp://platform.example/", "invalid_url"),
        ("no url", "invalid_url"),
        ("", "string_too_short"),
        ("https://platform.example/" + "x" * 2_048, "string_too_long"),
    ],
)
async def test_a_url_that_may_not_be_sent_to_is_refused(webhooks: Webhooks, url: str, code: str) -> None:
    assert await refused(webhooks, url=url) == (422, "/url", code)
    made = await webhooks.endpoint(URL)
    changed = await webhooks.client.patch(f"/v1/webhooks/{made['endpoint_id']}", json={"url": url})
    assert (changed.status_code, changed.json()["errors"][0]["code"]) == (422, code)


async def test_what_cannot_be_asked_for_is_refused(webhooks: Webhooks) -> None:
    assert await refused(webhooks, events=["segment.moved"]) == (422, "/events/0", "literal_error")
    assert await refused(webhooks, events=[]) == (422, "/events", "too_short")
    assert await refused(webhooks, secret="mine") == (422, "/secret", "extra_forbidden")
    assert await refused(webhooks, segment_ids=[str(uuid4())]) == (422, "/segment_ids/0", "segment_not_found")
    made = await webhooks.endpoint(URL)
    for field in ("url", "events", "enabled"):
        answer = await webhooks.client.patch(f"/v1/webhooks/{made['endpoint_id']}", json={field: None})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")


async def test_a_patch_changes_what_it_names_and_nothing_else(webhooks: Webhooks) -> None:
    await webhooks.make_segments()
    made = await webhooks.endpoint(URL, description="lists", segment_ids=[str(webhooks.vip)])
    path = f"/v1/webhooks/{made['endpoint_id']}"
    del made["secret"]
    for change in (
        {},
        {"events": ["segment.left"]},
        {"segment_ids": None},
        {"description": None, "url": "https://other.example/"},
        {"enabled": False},
        {"enabled": True},
    ):
        made |= change
        assert (await webhooks.client.patch(path, json=change)).json() == made
    assert (await webhooks.client.get(path)).json() == made


async def test_lists_go_by_cursor_newest_first(webhooks: Webhooks) -> None:
    made = [await webhooks.endpoint(URL, description=str(number)) for number in range(3)]
    first = (await webhooks.client.get("/v1/webhooks", params={"limit": 2})).json()
    rest = (await webhooks.client.get("/v1/webhooks", params={"cursor": first["next_cursor"]})).json()
    found = [each["endpoint_id"] for each in first["data"] + rest["data"]]
    assert sorted(found) == sorted(each["endpoint_id"] for each in made)
    path = f"/v1/webhooks/{made[0]['endpoint_id']}"
    tests = [(await webhooks.client.post(f"{path}/test")).json()["delivery_id"] for _ in range(3)]
    page = (await webhooks.client.get(f"{path}/deliveries", params={"limit": 2})).json()
    assert [each["delivery_id"] for each in page["data"]] == [tests[2], tests[1]]
    rest = (await webhooks.client.get(f"{path}/deliveries", params={"cursor": page["next_cursor"]})).json()
    assert [each["delivery_id"] for each in rest["data"]] == [tests[0]]
    other = await webhooks.client.get(f"{path}/deliveries", params={"cursor": page["next_cursor"], "status": "failed"})
    assert (other.status_code, other.json()["code"]) == (422, "bad_cursor")


async def test_a_test_waits_as_a_message_like_any_other(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    path = f"/v1/webhooks/{made['endpoint_id']}"
    answer = await webhooks.client.post(f"{path}/test")
    assert answer.status_code == 202
    assert await webhooks.deliveries(made) == [answer.json()]
    delivery = answer.json()
    assert (delivery["event"], delivery["customer_id"], delivery["status"]) == ("webhook.test", None, "pending")
    shown = (await webhooks.client.get(path)).json()
    assert (shown["pending"], shown["oldest_pending_at"]) == (1, delivery["created_at"])


async def test_nothing_is_sent_to_an_endpoint_that_is_off(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    path = f"/v1/webhooks/{made['endpoint_id']}"
    await webhooks.client.patch(path, json={"enabled": False})
    for answer in (
        await webhooks.client.post(f"{path}/test"),
        await webhooks.client.post(f"{path}/replay", json={"since": "2026-11-01T00:00:00Z"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")


async def test_rotating_gives_another_secret(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    path = f"/v1/webhooks/{made['endpoint_id']}"
    rotated = (await webhooks.client.post(f"{path}/rotate")).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert rotated["rotated_at"] is not None
    assert "whsec_" not in (await webhooks.client.get(path)).text


async def test_a_removed_endpoint_is_gone_with_its_messages(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    path = f"/v1/webhooks/{made['endpoint_id']}"
    await webhooks.client.post(f"{path}/test")
    assert (await webhooks.client.delete(path)).status_code == 204
    assert await webhooks.stored() == []
    body = {"since": "2026-11-01T00:00:00Z"}
    for answer in (
        await webhooks.client.get(path),
        await webhooks.client.patch(path, json={"enabled": True}),
        await webhooks.client.patch(path, json={}),
        await webhooks.client.delete(path),
        await webhooks.client.post(f"{path}/rotate"),
        await webhooks.client.post(f"{path}/test"),
        await webhooks.client.post(f"{path}/replay", json=body),
        await webhooks.client.get(f"{path}/deliveries"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")


async def test_a_replay_of_a_reversed_window_is_refused(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    answer = await webhooks.client.post(
        f"/v1/webhooks/{made['endpoint_id']}/replay",
        json={"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_window")


async def test_there_is_a_bound_on_endpoints(webhooks: Webhooks) -> None:
    for _ in range(MAX_ENDPOINTS):
        await webhooks.endpoint(URL)
    answer = await webhooks.client.post("/v1/webhooks", json={"url": URL, "events": BOTH})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_changes_of_endpoints_are_in_the_audit_log_and_secrets_are_not(webhooks: Webhooks) -> None:
    made = await webhooks.endpoint(URL)
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/rotate")
    log = await webhooks.client.get("/v1/audit-log")
    assert [entry["action"] for entry in log.json()["data"]] == [
        "POST /v1/webhooks/{endpoint_id}/rotate",
        "POST /v1/webhooks",
    ]
    assert "whsec_" not in log.text
