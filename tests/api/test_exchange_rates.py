"""Putting exchange rates over HTTP and listing them."""

from typing import Any

import pytest

from tests.conftest import Service

pytestmark = pytest.mark.anyio


def rate(on: str = "2026-10-30", **values: Any) -> dict[str, Any]:
    return {"on": on, "from": "USD", "to": "EUR", "rate": "0.9231", **values}


async def put(service: Service, *rates: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.put("/v1/exchange-rates", json={"rates": rates})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(service: Service, **query: Any) -> dict[str, Any]:
    answer = await service.client.get("/v1/exchange-rates", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_rate_that_is_put_again_is_created_then_updated_or_a_duplicate(service: Service) -> None:
    first = await put(service, rate(), rate("2026-10-29"))
    again = await put(service, rate(rate=0.9231), rate("2026-10-29", rate="0.93"), rate("2026-10-28"))
    assert (first["created"], first["updated"], first["duplicates"]) == (2, 0, 0)
    assert (again["created"], again["updated"], again["duplicates"]) == (1, 1, 1)
    assert [(row["on"], row["rate"]) for row in (await listed(service))["data"]] == [
        ("2026-10-28", "0.9231"),
        ("2026-10-29", "0.93"),
        ("2026-10-30", "0.9231"),
    ]


async def test_an_earlier_body_put_again_overrules_the_later_one(service: Service) -> None:
    # 100 rows and more are what a bulk body of facts is remembered by; rates must not be.
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 6) for day in range(1, 29)]
    old, new = [rate(day, rate="1.1") for day in days], [rate(day, rate="1.2") for day in days]
    await put(service, *old)
    await put(service, *new)
    assert (await put(service, *old))["updated"] == len(days)
    assert {row["rate"] for row in (await listed(service))["data"]} == {"1.1"}


async def test_two_rates_for_one_day_and_pair_in_one_body_contradict(service: Service) -> None:
    answer = await put(service, rate(rate="1"), rate(rate="1.0"), rate(rate="2"), rate(to="GBP"))
    assert (answer["created"], answer["duplicates"]) == (2, 1)
    assert [(row["code"], row["pointer"]) for row in answer["rejected"]] == [("conflict", "/rates/2/rate")]


async def test_rates_are_exact(service: Service) -> None:
    rates: list[tuple[Any, str]] = [
        ("0.000000000001", "0.000000000001"),
        ("999999999999.999999999999", "999999999999.999999999999"),
        (100, "100"),
        ("1.50", "1.5"),
        (1e-05, "0.00001"),
        (0.1, "0.1"),
    ]
    await put(service, *[rate(f"2026-10-{i:02}", rate=sent) for i, (sent, _) in enumerate(rates, 1)])
    assert [row["rate"] for row in (await listed(service))["data"]] == [stored for _, stored in rates]


BAD: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"rate": "0.0000000000001"}, ("invalid_number", "rate")),
    ({"rate": "1000000000000"}, ("invalid_number", "rate")),
    ({"rate": "0"}, ("rate_not_positive", "rate")),
    ({"rate": -1}, ("rate_not_positive", "rate")),
    ({"rate": "1,5"}, ("invalid_number", "rate")),
    ({"rate": "1e2"}, ("invalid_number", "rate")),
    ({"rate": "1_0"}, ("invalid_number", "rate")),
    ({"rate": " 1"}, ("invalid_number", "rate")),
    ({"rate": "١"}, ("invalid_number", "rate")),
    ({"rate": "NaN"}, ("invalid_number", "rate")),
    ({"rate": "9" * 100_000}, ("invalid_number", "rate")),
    ({"rate": True}, ("invalid_type", "rate")),
    ({"rate": None}, ("invalid_type", "rate")),
    ({"from": "EUR"}, ("same_currency", "to")),
    ({"from": "usd"}, ("unknown_currency", "from")),
    ({"to": "XXX"}, ("unknown_currency", "to")),
    ({"to": "EU\x00"}, ("nul_character", "to")),
    ({"on": "1899-12-31"}, ("absurd_day", "on")),
    ({"on": "2200-01-01"}, ("absurd_day", "on")),
    ({"on": "2026-10-30T00:00:00Z"}, ("invalid_day", "on")),
    ({"on": "2026-02-29"}, ("invalid_day", "on")),
]


async def test_bad_rates_are_refused_with_their_places_and_cost_no_other(service: Service) -> None:
    answer = await put(service, *[rate(**change) for change, _ in BAD], rate("2026-10-29"))
    found = [(row["code"], row["pointer"]) for row in answer["rejected"]]
    wanted = [(code, f"/rates/{i}/{field}") for i, (_, (code, field)) in enumerate(BAD)]
    assert (answer["created"], found) == (1, wanted)
    kept = (await service.client.get("/v1/rejections", params={"kind": "exchange_rates"})).json()["data"]
    assert {row["code"] for row in kept} == {code for _, (code, _) in BAD}


async def test_more_rates_than_one_body_may_carry_are_refused_as_a_whole(service: Service) -> None:
    answer = await service.client.put("/v1/exchange-rates", json={"rates": [rate()] * 10_001})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (413, "/rates")
    assert (await listed(service))["data"] == []


async def test_ten_thousand_rates_go_in_at_once(service: Service) -> None:
    codes = ("USD", "GBP", "JPY", "CHF", "SEK")
    days = [
        f"{year}-{month:02}-{day:02}" for year in range(2020, 2026) for month in range(1, 13) for day in range(1, 29)
    ]
    rows = [rate(day, **{"from": code}) for day in days for code in codes][:10_000]
    assert (await put(service, *rows))["created"] == len(rows) == 10_000
    assert (await put(service, *rows))["duplicates"] == 10_000


async def test_rates_are_listed_by_day_and_pair_page_by_page(service: Service) -> None:
    rows = [rate(on, **{"from": code}) for on in ("2026-10-02", "2026-10-01") for code in ("USD", "GBP", "CHF")]
    await put(service, *rows)
    seen: list[tuple[str, str]] = []
    cursor: str | None = None
    while cursor or not seen:
        found = await listed(service, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [(row["on"], row["from"]) for row in found["data"]]
        cursor = found["next_cursor"]
    assert seen == [(on, code) for on in ("2026-10-01", "2026-10-02") for code in ("CHF", "GBP", "USD")]


async def test_rates_can_be_listed_by_currency_and_days(service: Service) -> None:
    await put(service, rate("2026-10-01"), rate("2026-10-02"), rate("2026-10-03"), rate("2026-10-02", to="GBP"))
    found = await listed(service, **{"from": "USD", "to": "EUR", "on_from": "2026-10-02", "on_to": "2026-10-03"})
    assert found["data"] == [{"on": "2026-10-02", "from": "USD", "to": "EUR", "rate": "0.9231"}]
    assert [row["to"] for row in (await listed(service, to="GBP"))["data"]] == ["GBP"]


async def test_a_bad_filter_is_refused(service: Service) -> None:
    for query in ["from=us", "to=%00", "on_from=yesterday", "on_to=2026-13-01", "limit=0", "cursor=x"]:
        assert (await service.client.get(f"/v1/exchange-rates?{query}")).status_code == 422, query
