"""Pushing costs over HTTP and listing them."""

from typing import Any

import pytest

from app.config import Settings
from tests.conftest import ADMIN_KEY, Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    """Days are cut an hour or two before UTC does."""
    return Settings(
        _env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR", reporting_timezone="Europe/Berlin", pool_size=4
    )


def cost(cost_id: str = "K-1", **values: Any) -> dict[str, Any]:
    return {
        "cost_id": cost_id,
        "category": "media",
        "amount": "100.00",
        "currency": "EUR",
        "from": "2026-10-01",
        "to": "2026-11-01",
        **values,
    }


async def push(service: Service, *costs: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.post("/v1/costs", json={"costs": costs})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(service: Service, **query: Any) -> dict[str, Any]:
    answer = await service.client.get("/v1/costs", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_cost_comes_back_as_it_was_sent(service: Service) -> None:
    sent = cost(campaign_id="autumn", initiative_id="crm", channel="email", amount=12.5, currency="KWD")
    assert (await push(service, sent))["created"] == 1
    del sent["currency"]
    # The Kuwaiti dinar has three decimals (ISO 4217).
    assert (await listed(service))["data"] == [{**sent, "amount": {"amount": "12.500", "currency": "KWD"}}]


async def test_the_same_cost_again_is_a_duplicate_and_another_content_a_conflict(service: Service) -> None:
    await push(service, cost())
    answer = await push(service, cost(amount=100), cost(amount="99.00"), cost("K-2"))
    assert (answer["created"], answer["duplicates"]) == (1, 1)
    assert [(row["code"], row["pointer"]) for row in answer["rejected"]] == [("conflict", "/costs/1/cost_id")]


async def test_every_field_of_a_cost_tells_a_conflict(service: Service) -> None:
    await push(service, cost())
    changes: list[dict[str, Any]] = [
        {"category": "people"},
        {"currency": "USD"},
        {"from": "2026-10-02"},
        {"to": "2026-11-02"},
        {"channel": "web"},
        {"campaign_id": "a"},
        {"initiative_id": "i"},
    ]
    for change in changes:
        assert [row["code"] for row in (await push(service, cost(**change)))["rejected"]] == ["conflict"], change


async def test_an_instant_counts_as_the_reporting_day_it_falls_on(service: Service) -> None:
    # Berlin is two hours ahead of UTC until 2026-10-25, one hour after it (IANA time zone database).
    await push(service, cost(**{"from": "2026-09-30T22:00:00Z", "to": "2026-10-31T22:59:59Z"}))
    (got,) = (await listed(service))["data"]
    assert (got["from"], got["to"]) == ("2026-10-01", "2026-10-31")


BAD: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"to": "2026-10-01"}, ("bad_window", "to")),
    ({"to": "2026-09-30"}, ("bad_window", "to")),
    ({"from": "2026-10-01T08:00:00Z", "to": "2026-10-01T20:00:00Z"}, ("bad_window", "to")),
    ({"from": "2026-02-30"}, ("invalid_day", "from")),
    ({"from": "1899-12-31"}, ("absurd_day", "from")),
    ({"to": "2200-01-01"}, ("absurd_day", "to")),
    ({"from": "2026-10-01T00:00:00"}, ("naive_instant", "from")),
    ({"from": ""}, ("invalid_day", "from")),
    ({"to": "x" * 100_000}, ("invalid_instant", "to")),
    ({"from": None}, ("invalid_type", "from")),
    ({"category": "bribes"}, ("invalid_value", "category")),
    ({"amount": "-1.00"}, ("negative_amount", "amount")),
    ({"amount": "1.001"}, ("inexact_amount", "amount")),
    ({"amount": "1e3"}, ("invalid_amount", "amount")),
    ({"amount": 1e19}, ("amount_too_large", "amount")),
    ({"currency": "eur"}, ("unknown_currency", "currency")),
    ({"cost_id": "a\x00b"}, ("nul_character", "cost_id")),
    ({"customer_id": "C-1"}, ("unknown_field", "customer_id")),
]


async def test_bad_costs_are_refused_with_their_places_and_cost_no_other(service: Service) -> None:
    rows = [cost(**{"cost_id": f"bad-{i}", **change}) for i, (change, _) in enumerate(BAD)]
    answer = await push(service, *rows, cost("good"))
    found = [(row["code"], row["pointer"]) for row in answer["rejected"]]
    wanted = [(code, f"/costs/{i}/{field}") for i, (_, (code, field)) in enumerate(BAD)]
    assert (answer["created"], found) == (1, wanted)


async def test_ten_thousand_unknown_currencies_are_refused_without_delay(service: Service) -> None:
    # One pass over the rows for each currency would be 10**8 steps.
    answer = await push(service, *[cost(f"K-{i}", currency=f"X{i}") for i in range(10_000)])
    assert {row["code"] for row in answer["rejected"]} == {"unknown_currency"}
    assert len(answer["rejected"]) == 10_000


async def test_a_source_is_not_part_of_the_envelope_of_costs(service: Service) -> None:
    answer = await service.client.post("/v1/costs", json={"costs": [], "source": "erp"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/source")


async def test_a_refused_cost_can_be_retried(service: Service) -> None:
    await push(service, cost(category="bribes"))
    (kept,) = (await service.client.get("/v1/rejections", params={"kind": "costs"})).json()["data"]
    answer = await service.client.post(f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": cost()})
    assert (answer.status_code, answer.json().get("created")) == (200, 1), answer.text


async def test_costs_are_listed_by_identifier_page_by_page(service: Service) -> None:
    await push(service, *[cost(f"K-{i:02}") for i in reversed(range(7))])
    seen: list[str] = []
    cursor: str | None = None
    while cursor or not seen:
        found = await listed(service, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [row["cost_id"] for row in found["data"]]
        cursor = found["next_cursor"]
    assert seen == [f"K-{i:02}" for i in range(7)]


async def test_costs_of_one_campaign_or_initiative_can_be_listed(service: Service) -> None:
    await push(service, cost("K-1", campaign_id="a"), cost("K-2", initiative_id="i"), cost("K-3", campaign_id="a"))
    assert [row["cost_id"] for row in (await listed(service, campaign_id="a"))["data"]] == ["K-1", "K-3"]
    assert [row["cost_id"] for row in (await listed(service, initiative_id="i"))["data"]] == ["K-2"]
    assert (await listed(service, campaign_id="a", initiative_id="i"))["data"] == []


async def test_a_cursor_of_one_list_of_costs_is_refused_by_another(service: Service) -> None:
    await push(service, *[cost(f"K-{i}", campaign_id="a") for i in range(3)])
    cursor = (await listed(service, limit=1))["next_cursor"]
    answer = await service.client.get("/v1/costs", params={"cursor": cursor, "campaign_id": "a"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


async def test_a_nul_character_in_a_filter_is_refused(service: Service) -> None:
    assert (await service.client.get("/v1/costs?campaign_id=%00")).status_code == 422
