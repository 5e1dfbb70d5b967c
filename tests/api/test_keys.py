"""API keys over HTTP."""

from datetime import timedelta

import pytest

from tests.conftest import Service

pytestmark = pytest.mark.anyio


async def make(service: Service, **values: object) -> dict[str, str]:
    answer = await service.client.post("/v1/keys", json={"name": "shop", "scopes": ["ingest"], **values})
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


async def status_with(service: Service, key: str) -> int:
    answer = await service.client.post(
        "/v1/transactions", json={"transactions": []}, headers={"Authorization": f"Bearer {key}"}
    )
    return answer.status_code


async def test_a_key_is_shown_once_and_works(service: Service) -> None:
    made = await make(service)
    assert await status_with(service, made["key"]) == 200
    listed = await service.client.get("/v1/keys")
    assert made["key"] not in listed.text
    assert made["key_id"] in listed.text


async def test_a_revoked_key_stops_working_at_once(service: Service) -> None:
    made = await make(service)
    assert await status_with(service, made["key"]) == 200
    assert (await service.client.delete(f"/v1/keys/{made['key_id']}")).status_code == 204
    assert await status_with(service, made["key"]) == 401


async def test_a_key_expires(service: Service) -> None:
    made = await make(service, expires_at="2026-11-01T13:00:00Z")
    assert await status_with(service, made["key"]) == 200
    service.clock.advance(timedelta(hours=2))
    assert await status_with(service, made["key"]) == 401


async def test_a_key_that_would_be_expired_is_refused(service: Service) -> None:
    answer = await service.client.post(
        "/v1/keys", json={"name": "late", "scopes": ["ingest"], "expires_at": "2020-01-01T00:00:00Z"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/expires_at")


async def test_basic_authentication_takes_the_key_as_user_name(service: Service) -> None:
    made = await make(service)
    del service.client.headers["Authorization"]
    answer = await service.client.post("/v1/transactions", json={"transactions": []}, auth=(made["key"], ""))
    assert answer.status_code == 200


async def test_the_same_idempotency_key_makes_one_key_and_never_shows_it_again(service: Service) -> None:
    body, headers = {"name": "once", "scopes": ["ingest"]}, {"Idempotency-Key": "abc"}
    first = await service.client.post("/v1/keys", json=body, headers=headers)
    again = await service.client.post("/v1/keys", json=body, headers=headers)
    assert again.json() == {**first.json(), "key": None}
    assert again.headers["idempotency-replayed"] == "true"
    other = await service.client.post("/v1/keys", json={**body, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_every_change_is_in_the_audit_log_and_nothing_else(service: Service) -> None:
    made = await make(service)
    await service.client.get("/v1/keys")
    await service.client.post("/v1/keys", json={"name": ""})
    await service.client.delete(f"/v1/keys/{made['key_id']}")
    entries = (await service.client.get("/v1/audit-log")).json()["data"]
    assert [(entry["action"], entry["object"]) for entry in entries] == [
        ("DELETE /v1/keys/{key_id}", made["key_id"]),
        ("POST /v1/keys", None),
    ]


async def test_lists_go_by_cursor(service: Service) -> None:
    for number in range(5):
        await make(service, name=f"k{number}")
    names, cursor = [], ""
    while cursor is not None:
        page = (await service.client.get(f"/v1/keys?limit=2{cursor and '&cursor=' + cursor}")).json()
        names += [key["name"] for key in page["data"]]
        cursor = page["next_cursor"]
    assert names == ["k4", "k3", "k2", "k1", "k0", "TESSERA_ADMIN_KEY"]
