"""Initiatives and their return through HTTP: each kind of evidence, what it costs, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest

from app.clock import format_instant
from tests.conftest import Service

pytestmark = pytest.mark.anyio

# The service's clock stands at 2026-11-01T12:00Z.
STARTS, ENDS = "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"


async def post(service: Service, path: str, body: dict[str, Any], status: int = 201) -> dict[str, Any]:
    answer = await service.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def initiative(service: Service, **asked: Any) -> dict[str, Any]:
    body = {"initiative_id": "spring", "name": "Spring", "objective": "more", "starts_at": STARTS, "ends_at": ENDS}
    return await post(service, "/v1/initiatives", {**body, **asked})


async def roi(service: Service, **query: Any) -> dict[str, Any]:
    answer = await service.client.get("/v1/initiatives/spring/roi", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def purchase(number: int, customer: str, on: str, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"T-{number}",
        "customer_id": customer,
        "occurred_at": on,
        "amount": amount,
        "currency": "EUR",
        **more,
    }


async def costs(service: Service, amount: str, **more: Any) -> None:
    row = {"cost_id": f"C-{amount}", "category": "media", "amount": amount, "currency": "EUR"}
    row |= {"from": "2026-10-01", "to": "2026-11-01", "initiative_id": "spring"}
    await post(service, "/v1/costs", {"costs": [row | more]}, 200)


async def campaign_with_holdout(service: Service) -> None:
    """Four treated who spend 30, 34, 38 and nothing; three held out who spend 24, 25, 26."""
    await post(
        service,
        "/v1/campaigns",
        {
            "campaign_id": "mail",
            "name": "Mail",
            "objective": "more",
            "channel": "email",
            "starts_at": STARTS,
            "ends_at": ENDS,
            "holdout_share": 0.5,
            "initiative_id": "spring",
        },
    )
    spent = {"t1": "30", "t2": "34", "t3": "38", "t4": None, "h1": "24", "h2": "25", "h3": "26"}
    await post(service, "/v1/customers", {"customers": [{"customer_id": each} for each in spent]}, 200)
    arms = [
        {"customer_id": each, "arm": "treated" if each[0] == "t" else "holdout", "at": "2026-10-02T00:00:00Z"}
        for each in spent
    ]
    await post(service, "/v1/campaigns/mail/exposures", {"exposures": arms}, 200)
    rows = [
        purchase(place, each, "2026-10-10T00:00:00Z", amount)
        for place, (each, amount) in enumerate(spent.items())
        if amount
    ]
    await service.push(*rows)


async def test_the_worked_example_and_its_margin(service: Service) -> None:
    asked = {"gain": 540000, "cost": "120000.00", "currency": "EUR"}
    found = await post(service, "/v1/roi/calculate", asked, 200)
    assert (found["roi"], found["net_gain"]) == (3.5, {"amount": "420000.00", "currency": "EUR"})
    assert found["break_even_margin"] == pytest.approx(2 / 9)
    assert (await post(service, "/v1/roi/calculate", {**asked, "margin_rate": 0.4}, 200))["roi"] == 0.8
    nothing = await post(service, "/v1/roi/calculate", {**asked, "cost": 0}, 200)
    assert (nothing["roi"], nothing["reasons"]) == (None, {"roi": "zero_denominator"})


async def test_a_plan_that_contradicts_itself_is_told_how(service: Service) -> None:
    plan = {"visitors": 10_000, "conversion_rate": 0.03, "average_order_value": "50.00"}
    asked = {"gain": 1, "cost": 1, "currency": "EUR"}
    sound = await post(service, "/v1/roi/calculate", {**asked, "scenario": {**plan, "revenue": "15000"}}, 200)
    assert sound["scenario"]["consistent"] is True
    odd = await post(service, "/v1/roi/calculate", {**asked, "scenario": {**plan, "revenue": "18000"}}, 200)
    assert odd["scenario"]["difference"] == {"amount": "3000.00", "currency": "EUR"}
    assert "15000.00 EUR, not 18000.00" in odd["scenario"]["detail"]


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"currency": "ZZZ"}, "/currency", "unknown_currency"),
        ({"gain": "1.234"}, "/gain", "inexact_amount"),
        ({"cost": -1}, "/cost", "out_of_range"),
        ({"gain": True}, "/gain", "value_error"),
        ({"margin_rate": 0}, "/margin_rate", "greater_than"),
        ({"profit": 1}, "/profit", "extra_forbidden"),
    ],
)
async def test_amounts_that_mean_nothing_are_refused_where_they_stand(
    service: Service, change: dict[str, Any], pointer: str, code: str
) -> None:
    asked = {"gain": 5, "cost": 1, "currency": "EUR", **change}
    found = await post(service, "/v1/roi/calculate", asked, 422)
    assert [(each["pointer"], each["code"]) for each in found["errors"]] == [(pointer, code)]


async def test_a_holdout_is_evidence_a_with_the_interval_of_the_total(service: Service) -> None:
    await initiative(service)
    await campaign_with_holdout(service)
    await costs(service, "10.00")
    found = await roi(service)
    # (30 + 34 + 38 + 0) - 4 x 25 = 2; of 10.00, that is a loss of 80 %.
    assert (found["method"], found["evidence"], found["treated"]) == ("holdout", "A", 4)
    assert found["gain"]["value"] == pytest.approx(2.0)
    assert found["roi"]["value"] == pytest.approx(-0.8)
    assert found["gain"]["low"] < 2.0 < found["gain"]["high"]
    assert found["cost"] == {
        "total": {"amount": "10.00", "currency": "EUR"},
        "by_category": {"media": {"amount": "10.00", "currency": "EUR"}},
    }
    assert 0.0 < found["probability_positive"] < 1.0
    assert found["customer_equity"] == {"value": None, "n": 0, "reason": "no_active_model"}
    (arm,) = found["by_arm"]
    assert (arm["campaign_id"], arm["arm"], arm["treated"], arm["cost_allocated"]["amount"]) == (
        "mail",
        "treated",
        4,
        "10.00",
    )
    assert arm["roi"]["value"] == pytest.approx(-0.8)
    assert found["by_channel"][0]["channel"] == "email"
    assert found["by_channel"][0]["gain"]["value"] == pytest.approx(2.0)
    # Booked on the initiative, not on the campaign of the channel.
    assert found["by_channel"][0]["roi"]["reason"] == "zero_denominator"
    assert "not settled" in found["summary"]


async def test_a_gain_in_margin_takes_the_stated_rate_or_says_what_is_missing(service: Service) -> None:
    await initiative(service, value="margin", margin_rate=0.5)
    await campaign_with_holdout(service)
    assert (await roi(service))["gain"]["value"] == pytest.approx(1.0)


async def test_margins_that_nobody_stated_are_no_margins_of_zero(service: Service) -> None:
    await initiative(service, value="margin")
    await campaign_with_holdout(service)
    found = await roi(service, method="holdout")
    assert (found["gain"]["value"], found["gain"]["reason"]) == (None, "margin_unknown")
    assert (found["roi"]["value"], found["roi"]["reason"]) == (None, "margin_unknown")


async def test_before_and_after_is_graded_c_and_warns(service: Service) -> None:
    await initiative(service, baseline={"from": "2026-09-26T00:00:00Z", "to": STARTS})
    now = service.app.state.service.clock.now()
    # 10.00 on each day of the baseline, 12.00 on each of the 31 days after.
    days = [now.replace(hour=10) - timedelta(days=36 - day) for day in range(36)]
    rows = [
        purchase(place, "a", format_instant(day), "12.00" if day.month == 10 else "10.00")
        for place, day in enumerate(days)
    ]
    await service.push(*rows)
    await costs(service, "31.00")
    found = await roi(service)
    assert (found["method"], found["evidence"]) == ("before_after", "C")
    assert found["gain"]["value"] == pytest.approx(62.0)
    assert found["roi"]["value"] == pytest.approx(1.0)
    assert {each["code"] for each in found["warnings"]} == {"seasonality", "baseline_shorter"}
    assert [(each["method"], each["chosen"]) for each in found["tried"]] == [
        ("holdout", False),
        ("difference_in_differences", False),
        ("before_after", True),
    ]
    assert "holdout" in found["better_evidence"]


async def test_a_declared_gain_is_graded_d_and_has_no_interval(service: Service) -> None:
    declared = {"amount": "300.00", "currency": "EUR", "by": "finance", "why": "hours saved"}
    made = await initiative(service, declared=declared)
    assert made["declared"] == declared
    await costs(service, "100.00")
    found = await roi(service)
    assert (found["method"], found["evidence"]) == ("declared", "D")
    assert (found["roi"]["value"], found["roi"]["low"], found["roi"]["reason"]) == (2.0, None, "not_measured")
    assert found["probability_positive"] is None
    assert found["warnings"][0]["detail"] == "declared by finance: hours saved"


async def test_nothing_known_is_said_to_be_nothing_known(service: Service) -> None:
    await initiative(service)
    found = await roi(service)
    assert found["gain"] == {"value": None, "n": 0, "reason": "no_exposures"}
    assert found["roi"]["reason"] == "no_exposures"
    assert "no_costs" in {each["code"] for each in found["warnings"]}


async def test_differences_in_differences_compare_those_of_like_purchases(service: Service) -> None:
    await initiative(service)
    body = {"campaign_id": "mail", "name": "Mail", "objective": "more", "starts_at": STARTS, "ends_at": ENDS}
    await post(service, "/v1/campaigns", {**body, "holdout_share": 0, "initiative_id": "spring"})
    rows, number = [], 0
    # Before: everybody buys once for 20 in September. After: the treated for 30 to 34, the others for 21 to 25; a third
    # group bought in June only and is like nobody treated.
    for place in range(5):
        for who, september, october in (("t", "20", 30 + place), ("u", "20", 21 + place), ("v", None, 90)):
            customer = f"{who}{place}"
            rows.append(purchase(number := number + 1, customer, "2026-06-10T00:00:00Z", "5"))
            if september:
                rows.append(purchase(number := number + 1, customer, "2026-09-10T00:00:00Z", september))
            rows.append(purchase(number := number + 1, customer, "2026-10-10T00:00:00Z", str(october)))
    await service.push(*rows)
    arms = [{"customer_id": f"t{place}", "arm": "treated", "at": "2026-10-02T00:00:00Z"} for place in range(5)]
    await post(service, "/v1/campaigns/mail/exposures", {"exposures": arms}, 200)
    found = await roi(service, method="difference_in_differences")
    # Each of the five changed by 9 more than those like them.
    assert found["gain"]["value"] == pytest.approx(45.0)
    assert (found["treated"], found["gain"]["method"]) == (5, "difference_in_differences")
    # Nobody's trend before varies: whether the trends were alike cannot be tested, and so it is no B.
    assert (found["parallel_trends"], found["evidence"]) == (None, "C")


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"ends_at": STARTS}, "/ends_at"),
        ({"baseline": {"from": "2026-09-01T00:00:00Z", "to": "2026-10-02T00:00:00Z"}}, "/baseline/to"),
        ({"baseline": {"from": "2026-09-02T00:00:00Z", "to": "2026-09-01T00:00:00Z"}}, "/baseline/to"),
        ({"margin_rate": 0.4}, "/margin_rate"),
        ({"declared": {"amount": "1", "currency": "USD", "by": "x", "why": "y"}}, "/declared/currency"),
    ],
)
async def test_initiatives_that_mean_nothing_are_refused(service: Service, asked: dict[str, Any], pointer: str) -> None:
    body = {"name": "Spring", "objective": "more", "starts_at": STARTS, "ends_at": ENDS, **asked}
    found = await post(service, "/v1/initiatives", body, 422)
    assert [each["pointer"] for each in found["errors"]] == [pointer]


async def test_initiatives_are_listed_shown_and_taken_once(service: Service) -> None:
    made = await initiative(service, target={"metric": "revenue_per_customer", "value": 1.5})
    assert (await service.client.get("/v1/initiatives/spring")).json() == made
    assert (await service.client.get("/v1/initiatives")).json()["data"] == [made]
    again = {"initiative_id": "spring", "name": "x", "objective": "", "starts_at": STARTS, "ends_at": ENDS}
    assert (await post(service, "/v1/initiatives", again, 409))["code"] == "conflict"
    assert (await service.client.get("/v1/initiatives/none/roi")).status_code == 404
