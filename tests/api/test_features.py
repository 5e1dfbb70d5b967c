"""Features over HTTP."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.modelling.features.definitions import FEATURES
from tests.conftest import NOW, Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

# The clock of `service` stands at 2026-11-01T12:00Z, 31 days and two hours after the default transaction.
PATH = "/v1/customers/C-1/features"


async def test_the_registry_lists_every_feature_with_its_unit(service: Service) -> None:
    listed = (await service.client.get("/v1/features")).json()
    assert [each["name"] for each in listed["data"]] == [feature.name for feature in FEATURES]
    by_name = {each["name"]: each for each in listed["data"]}
    assert by_name["total_spend"]["unit"] == "EUR"
    assert (by_name["visit_count_90d"]["unit"], by_name["visit_count_90d"]["window_days"]) == ("events", 90)
    assert all(each["meaning"] and each["missing"] for each in listed["data"])


async def test_the_registry_lists_the_attributes_that_customers_have(service: Service) -> None:
    assert (await service.client.get("/v1/features")).json()["attributes"] == []
    people = [
        {"customer_id": "C-1", "attributes": {"age": 19, "city": "Rome", "born": "2000-01-01", "tags": ["x"]}},
        {"customer_id": "C-2", "attributes": {"age": "20", "city": "12"}},
        {"customer_id": "C-3", "attributes": {"age": 21}},
        {"customer_id": "C-4"},
    ]
    assert (await service.client.post("/v1/customers", json={"customers": people})).status_code == 200
    listed = (await service.client.get("/v1/features")).json()
    assert listed["sampled_customers"] == 4
    assert listed["attributes"] == [
        {"name": "attributes.age", "dtype": "number", "known_share": 0.75},
        {"name": "attributes.city", "dtype": "category", "known_share": 0.5},
        {"name": "attributes.born", "dtype": "date", "known_share": 0.25},
    ]


def test_the_page_lists_the_registry() -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")
    ]
    assert rows == [
        [
            feature.name,
            "reporting currency" if feature.is_money else feature.unit,
            feature.dtype,
            f"{feature.window_days} days" if feature.window_days else "all",
            feature.missing,
            feature.meaning,
        ]
        for feature in FEATURES
    ]


async def test_a_customer_s_features_come_with_units_and_reasons(service: Service) -> None:
    await service.push(transaction(amount="10.10"), transaction("T-2", amount="20.20"))
    found = (await service.client.get(PATH)).json()
    assert (found["customer_id"], found["as_of"]) == ("C-1", "2026-11-01T12:00:00Z")
    assert found["features"]["total_spend"] == 30.3
    assert found["features"]["days_since_last_purchase"] == 31
    assert found["features"]["days_since_last_event"] is None
    assert found["reasons"].keys() == {name for name, value in found["features"].items() if value is None}
    assert (found["reasons"]["days_since_last_event"], found["reasons"]["last_nps"]) == ("no_events", "no_answers")
    assert (found["features"]["peak_quarter"], found["units"]["peak_quarter"]) == ("Q4", "quarter")
    assert found["units"]["total_spend"] == "EUR"


async def test_a_customer_without_purchases_has_no_recency_and_spent_nothing(service: Service) -> None:
    await service.client.post("/v1/customers", json={"customers": [{"customer_id": "C-1"}]})
    found = (await service.client.get(PATH)).json()
    assert found["features"]["total_spend"] == 0
    assert found["features"]["days_since_last_purchase"] is None
    assert found["reasons"]["average_order_value"] == "no_purchases"


async def test_as_of_sees_nothing_that_happened_then_or_later(service: Service) -> None:
    await service.push(transaction(), transaction("T-2", occurred_at="2026-10-05T10:00:00Z"))
    at = {"as_of": "2026-10-05T12:00:00+02:00"}
    found = (await service.client.get(PATH, params=at)).json()
    assert found["as_of"] == "2026-10-05T10:00:00Z"
    assert (found["features"]["purchase_count"], found["features"]["days_since_last_purchase"]) == (1, 4)


@pytest.mark.parametrize("as_of", ["2026-10-05T10:00:00", "2026-10-05", "1760000000", "yesterday", ""])
async def test_an_instant_without_an_offset_is_refused(service: Service, as_of: str) -> None:
    await service.push(transaction())
    answer = await service.client.get(PATH, params={"as_of": as_of})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "as_of"


@pytest.mark.parametrize("customer_id", ["nobody", "with%00nul"])
async def test_an_unknown_customer_is_not_found(service: Service, customer_id: str) -> None:
    answer = await service.client.get(f"/v1/customers/{customer_id}/features")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")


async def test_a_merged_identifier_answers_the_survivor_with_the_facts_of_both(service: Service) -> None:
    await service.push(transaction(customer_id="C-2"), transaction("T-2"))
    await service.client.post("/v1/customers/merge", json={"from": "C-2", "into": "C-1"})
    found = (await service.client.get("/v1/customers/C-2/features")).json()
    assert (found["customer_id"], found["features"]["purchase_count"]) == ("C-1", 2)


async def test_a_missing_rate_is_named_with_currency_and_first_day(service: Service) -> None:
    await service.push(transaction(currency="USD"), transaction("T-2", currency="GBP"))
    answer = await service.client.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_exchange_rates")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["GBP", "USD"]
    assert "2026-10-01" in answer.json()["detail"]
    profile = (await service.client.get("/v1/customers/C-1")).json()
    assert profile["features"]["reason"] == "missing_exchange_rates"


async def test_the_profile_shows_the_same_features(service: Service) -> None:
    await service.push(transaction())
    service.clock.advance(timedelta(days=1))
    found = (await service.client.get(PATH)).json()
    profile = (await service.client.get("/v1/customers/C-1")).json()
    assert {"customer_id": "C-1", **profile["features"]} == found
    assert found["as_of"] == (NOW + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
