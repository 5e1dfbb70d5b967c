"""Planning campaigns, pushing arms, reading results over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.tables.segments import segments
from tests.conftest import Service
from tests.support.campaigns import ASSIGNED_AT, CAMPAIGN, comparison, expose, exposure, plan, post, results, segment_of
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"


async def refused(service: Service, **values: Any) -> tuple[int, str, str]:
    """Status, code and pointer of a campaign that is not planned."""
    answer = await service.client.post("/v1/campaigns", json={**CAMPAIGN, **values})
    error = answer.json()["errors"][0]
    return answer.status_code, error["code"], error["pointer"]


async def test_a_campaign_is_planned_listed_and_read(service: Service) -> None:
    made = await plan(service)
    assert made["variants"] == [{"arm": "treated", "share": 0.5}]
    assert (made["metrics"], made["status"]) == (["revenue_per_customer"], "over")
    await plan(service, campaign_id="winter", starts_at="2026-12-01T00:00:00Z", ends_at="2026-12-31T00:00:00Z")
    first = (await service.client.get("/v1/campaigns", params={"limit": 1})).json()
    second = (await service.client.get("/v1/campaigns", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [each["campaign_id"] for each in first["data"] + second["data"]] == ["winter", "autumn"]
    assert second["next_cursor"] is None
    answer = await service.client.get("/v1/campaigns/autumn")
    assert answer.json() == made
    again = await service.client.get("/v1/campaigns/autumn", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert (await service.client.get("/v1/campaigns/none")).json()["code"] == "campaign_not_found"
    assert (await service.client.get("/v1/campaigns/a%00b")).status_code == 404


async def test_the_same_campaign_again_is_answered_again_with_its_key_and_refused_without(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await service.client.post("/v1/campaigns", json=CAMPAIGN, headers=headers)
    again = await service.client.post("/v1/campaigns", json=CAMPAIGN, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (await service.client.post("/v1/campaigns", json=CAMPAIGN)).status_code == 409


async def test_what_cannot_be_planned_is_refused_where_it_is_wrong(service: Service) -> None:
    half = {"arm": "a", "share": 0.3}
    assert await refused(service, variants=[half]) == (422, "bad_shares", "/variants")
    assert await refused(service, variants=[{"arm": "holdout", "share": 0.5}]) == (
        422,
        "reserved_arm",
        "/variants/0/arm",
    )
    twice = [{"arm": "a", "share": 0.25}, {"arm": "a", "share": 0.25}]
    assert await refused(service, variants=twice) == (422, "duplicate_arm", "/variants/1/arm")
    assert await refused(service, segment_id=NOBODY) == (422, "unknown_segment", "/segment_id")
    assert await refused(service, initiative_id="none") == (422, "unknown_initiative", "/initiative_id")
    assert await refused(service, ends_at=CAMPAIGN["starts_at"]) == (422, "bad_window", "/ends_at")
    assert await refused(service, metrics=["happiness"]) == (422, "unknown_metric", "/metrics")


async def test_pushed_rows_are_judged_one_by_one(service: Service) -> None:
    await plan(service)
    rows: list[Any] = [
        exposure("A"),
        exposure("A"),
        exposure("A", "holdout"),
        exposure("B", "gift"),
        exposure("C", at="2026-10-02T00:00:00"),
        exposure("C", at="2027-01-01T00:00:00Z"),
        {"customer_id": "D", "arm": "treated"},
        exposure("E", "holdout"),
        17,
    ]
    found = await expose(service, rows)
    assert (found["received"], found["created"], found["duplicates"], found["cross_overs"]) == (9, 2, 1, 1)
    assert [(row["index"], row["code"], row["pointer"]) for row in found["rejected"]] == [
        (2, "conflict", "/exposures/2/arm"),
        (3, "unknown_arm", "/exposures/3/arm"),
        (4, "naive_instant", "/exposures/4/at"),
        (5, "outside_campaign", "/exposures/5/at"),
        (6, "missing_field", "/exposures/6/at"),
        (8, "invalid_type", "/exposures/8"),
    ]
    again = await expose(service, [exposure("A"), exposure("E", "treated")])
    assert (again["created"], again["duplicates"], again["cross_overs"]) == (0, 1, 1)
    shown = await results(service)
    assert shown["excluded"]["refused_cross_overs"] == 2
    assert {arm["arm"]: arm["n"] for arm in shown["arms"]} == {"holdout": 1, "treated": 1}
    too_many = await service.client.post("/v1/campaigns/autumn/exposures", json={"exposures": [1] * 10_001})
    assert too_many.status_code == 413


async def test_who_never_did_anything_counts_and_the_erased_do_not_come_back(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure("A"), exposure("B"), exposure("C", "holdout"), exposure("D", "holdout")])
    assert (await service.client.get("/v1/customers/A")).status_code == 200
    assert (await service.client.delete("/v1/customers/A")).status_code == 200
    again = await expose(service, [exposure("A")])
    assert [row["code"] for row in again["rejected"]] == ["customer_erased"]
    found = await results(service)
    assert {arm["arm"]: arm["n"] for arm in found["arms"]} == {"holdout": 2, "treated": 1}
    assert found["excluded"]["erased"] == 1
    assert comparison(found)["effect"] == {"value": None, "reason": "too_few", "n": 3}


async def test_revenue_is_net_of_refunds_from_assignment_to_the_end_of_the_window(service: Service) -> None:
    await plan(service, outcome_window_days=10)
    await expose(service, [exposure("A"), exposure("B"), exposure("C", "holdout"), exposure("D", "holdout")])
    at = "2026-10-{:02}T00:00:00Z"
    await service.push(
        transaction("before", customer_id="A", occurred_at="2026-10-01T23:59:59Z", amount="100.00"),
        transaction("first", customer_id="A", occurred_at=ASSIGNED_AT, amount="30.00"),
        transaction("late", customer_id="A", occurred_at=at.format(12), amount="70.00"),
        transaction("back", customer_id="A", occurred_at=at.format(5), amount="50.00", kind="refund"),
        transaction("free", customer_id="B", occurred_at=at.format(5), amount="0.00"),
        transaction("other", customer_id="C", occurred_at=at.format(6), amount="8.00"),
        transaction("guest", customer_id=None, occurred_at=at.format(6), amount="9.00"),
    )
    found = await results(service, metric="revenue_per_customer,purchase_rate,average_order_value")
    arms = {arm["arm"]: (arm["buyers"], arm["revenue_net"]["amount"]) for arm in found["arms"]}
    assert arms == {"holdout": (1, "8.00"), "treated": (1, "-20.00")}
    effect = comparison(found)["effect"]
    # Means -10 and 4; variances 200 and 32, each over 2 customers: standard error 10.7703.
    assert effect["value"] == -14.0
    assert comparison(found, metric="purchase_rate")["effect"]["value"] == 0.0
    order_value = comparison(found, metric="average_order_value")
    assert (order_value["treated"], order_value["control"]) == (30.0, 8.0)


async def test_customers_whose_window_is_not_over_are_left_out_and_counted(service: Service) -> None:
    await plan(service, ends_at="2026-12-01T00:00:00Z", outcome_window_days=10)
    late = "2026-10-28T00:00:00Z"
    await expose(
        service, [exposure("A"), exposure("B", "holdout"), exposure("C", at=late), exposure("D", "holdout", late)]
    )
    found = await results(service)
    assert {arm["arm"]: arm["n"] for arm in found["arms"]} == {"holdout": 1, "treated": 1}
    maturity = found["maturity"]
    assert (maturity["mature"], maturity["pending"], maturity["share"]) == (2, 2, 0.5)
    assert maturity["complete_at"] == "2026-11-07T00:00:00Z"
    service.clock.advance(timedelta(days=10))
    assert (await results(service))["maturity"]["pending"] == 0


async def test_amounts_without_a_rate_are_refused_and_dated_rates_are_used(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure("A"), exposure("B", "holdout")])
    await service.push(transaction("T", customer_id="A", occurred_at="2026-10-03T10:00:00Z", currency="USD"))
    answer = await service.client.get("/v1/campaigns/autumn/results")
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_exchange_rates")
    assert "2026-10-03" in answer.json()["errors"][0]["detail"]
    rate = {"on": "2026-10-02", "from": "USD", "to": "EUR", "rate": "0.8"}
    assert (await service.client.put("/v1/exchange-rates", json={"rates": [rate]})).status_code == 200
    found = await results(service)
    assert found["arms"][1]["revenue_net"] == {"amount": "8.00", "currency": "EUR"}


async def test_merged_names_count_once_and_in_no_arm_when_they_were_in_two(service: Service) -> None:
    await plan(service)
    same, mixed = ("A", "A2"), ("B", "B2")
    rows = [exposure("A"), exposure("A2"), exposure("B"), exposure("B2", "holdout"), exposure("C", "holdout")]
    await expose(service, [*rows, exposure("D"), exposure("E", "holdout")])
    await service.push(
        transaction("T-1", customer_id="A", occurred_at="2026-10-03T10:00:00Z", amount="5.00"),
        transaction("T-2", customer_id="A2", occurred_at="2026-10-04T10:00:00Z", amount="6.00"),
        transaction("T-3", customer_id="B", occurred_at="2026-10-04T10:00:00Z", amount="100.00"),
    )
    for into, merged in (same, mixed):
        answer = await service.client.post("/v1/customers/merge", json={"from": merged, "into": into})
        assert answer.status_code == 200, answer.text
    found = await results(service)
    arms = {arm["arm"]: (arm["n"], arm["buyers"], arm["revenue_net"]["amount"]) for arm in found["arms"]}
    assert arms == {"holdout": (2, 0, "0.00"), "treated": (2, 1, "11.00")}
    assert (found["excluded"]["cross_overs"], found["excluded"]["duplicates"]) == (1, 1)
    again = await expose(service, [exposure("A2"), exposure("B2", "holdout")])
    assert (again["duplicates"], again["created"]) in {(1, 0), (2, 0)}


async def test_an_empty_arm_a_whale_and_no_variance_give_reasons_and_no_error(service: Service) -> None:
    await plan(service)
    empty = await results(service, metric="revenue_per_customer,visit_rate,average_order_value")
    assert {row["effect"]["reason"] for row in empty["comparisons"]} == {"no_exposures", "zero_denominator"}
    assert empty["sample_ratio"]["ok"] is None
    await expose(service, [exposure(f"C-{i}", "treated" if i % 2 else "holdout") for i in range(20)])
    calm = await results(service, metric="revenue_per_customer,purchase_rate")
    assert comparison(calm)["effect"]["reason"] == "zero_variance"
    assert comparison(calm)["lift"]["reason"] == "zero_denominator"
    assert comparison(calm, metric="purchase_rate")["effect"]["low"] < 0
    whale = transaction("W", customer_id="C-1", occurred_at="2026-10-03T10:00:00Z", amount="50000000000.00")
    small = [
        transaction(f"S-{i}", customer_id=f"C-{i}", occurred_at="2026-10-03T10:00:00Z", amount=f"{i}.00")
        for i in range(2, 20)
    ]
    await service.push(whale, *small)
    wild = comparison(await results(service))
    assert wild["effect"]["value"] > 4e9
    cut = comparison(await results(service, winsorize=0.9))
    # Of 19 amounts other than 0 the one at 90 % lies a fifth of the way from the 17th, 18.00, to the 18th, 19.00.
    assert cut["treated"] == pytest.approx((18.2 + sum(range(3, 18, 2)) + 18.2) / 10)


async def test_margins_that_nobody_told_are_unknown_and_not_zero(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure(f"C-{i}", "treated" if i % 2 else "holdout") for i in range(4)])
    told = [
        transaction(f"T-{i}", customer_id=f"C-{i}", occurred_at="2026-10-03T10:00:00Z", margin=f"{i}.00")
        for i in range(3)
    ]
    await service.push(*told)
    known = comparison(await results(service, metric="margin_per_customer"), metric="margin_per_customer")
    assert (known["treated"], known["control"]) == (0.5, 1.0)
    await service.push(transaction("T-9", customer_id="C-3", occurred_at="2026-10-03T10:00:00Z"))
    unknown = comparison(await results(service, metric="margin_per_customer"), metric="margin_per_customer")
    assert unknown["effect"]["reason"] == "margin_unknown"


async def test_what_customers_did_before_narrows_the_interval(service: Service) -> None:
    await plan(service, outcome_window_days=20)
    await expose(service, [exposure(f"C-{i:02}", "treated" if i % 2 else "holdout") for i in range(40)])
    rows = [
        transaction(f"{when}-{i}", customer_id=f"C-{i:02}", occurred_at=when, amount=f"{10 + i // 2 + extra}.00")
        for i in range(40)
        for when, extra in (("2026-09-20T10:00:00Z", 0), ("2026-10-05T10:00:00Z", i % 2 * 3 + i % 3))
    ]
    await service.push(*rows)
    found = comparison(await results(service))
    plain, better = found["effect"], found["cuped"]
    assert better["variance_explained"] > 0.9
    assert better["high"] - better["low"] < (plain["high"] - plain["low"]) / 3
    assert better["low"] < 3 < better["high"]


async def test_other_campaigns_of_the_same_customers_are_named(service: Service) -> None:
    await plan(service)
    await plan(service, campaign_id="sale")
    await plan(service, campaign_id="last-year", starts_at="2025-10-01T00:00:00Z", ends_at="2025-11-01T00:00:00Z")
    await expose(service, [exposure("A"), exposure("B", "holdout")])
    await expose(service, [exposure("A"), exposure("B", "holdout")], "sale")
    found = await results(service)
    assert found["overlaps"] == [{"campaign_id": "sale", "customers": 1}]
    assert "overlapping_campaigns" in {each["code"] for each in found["warnings"]}


async def test_visits_clicks_and_conversions_are_counted_once_per_customer(service: Service) -> None:
    await plan(service)
    await expose(service, [exposure(f"C-{i}", "treated" if i < 4 else "holdout") for i in range(8)])
    kinds = [("C-0", "visit"), ("C-0", "page_view"), ("C-1", "page_view"), ("C-1", "email_click"), ("C-2", "sign_up")]
    rows = [
        {"event_id": f"E-{i}", "customer_id": who, "type": kind, "occurred_at": "2026-10-03T10:00:00Z"}
        for i, (who, kind) in enumerate(kinds)
    ]
    await post(service, "events", rows)
    await service.push(transaction("T", customer_id="C-3", occurred_at="2026-10-03T10:00:00Z"))
    found = await results(service, metric="visit_rate,click_rate,conversion_rate,purchase_rate")
    rates = {row["metric"]: row["treated"] for row in found["comparisons"]}
    assert rates == {"visit_rate": 0.5, "click_rate": 0.25, "conversion_rate": 0.5, "purchase_rate": 0.25}


async def test_segments_are_those_of_the_assignment_and_looked_at_together(service: Service) -> None:
    people = [f"C-{i:02}" for i in range(40)]
    before = datetime(2026, 9, 1, tzinfo=UTC)
    segment_id = await segment_of(service, people[:20], since=before)
    async with service.app.state.service.database.read() as session:
        segmentation_id = str(await session.scalar(select(segments.c.segmentation_id)))
    await plan(service)
    await expose(service, [exposure(each, "treated" if i % 2 else "holdout") for i, each in enumerate(people)])
    rows = [
        transaction(
            f"T-{i}", customer_id=each, occurred_at="2026-10-05T10:00:00Z", amount=f"{10 + i % 2 * 5 + i % 3}.00"
        )
        for i, each in enumerate(people)
    ]
    await service.push(*rows)
    found = comparison(await results(service, by_segment=segmentation_id))
    pieces = {row["segment_id"]: row for row in found["by_segment"]}
    assert set(pieces) == {segment_id, None}
    inside = pieces[segment_id]
    assert (inside["n_treated"], inside["n_control"], inside["segment_key"]) == (10, 10, "k")
    p_values = [row["effect"]["p_value"] for row in found["by_segment"]]
    adjusted = [row["effect"]["p_value_adjusted"] for row in found["by_segment"]]
    assert adjusted == pytest.approx([min(1, max(p_values), 2 * p) if p == min(p_values) else p for p in p_values])
    assert found["effect"]["n"] == 40


async def test_unknown_questions_are_refused(service: Service) -> None:
    await plan(service)
    for params, code in (
        ({"metric": "happiness"}, "unknown_metric"),
        ({"confidence": 2}, "invalid_input"),
        ({"by_segment": NOBODY}, "segmentation_not_found"),
        ({"from": "2026-10-01"}, "invalid_input"),
    ):
        answer: httpx.Response = await service.client.get("/v1/campaigns/autumn/results", params=params)
        assert answer.json()["code"] == code, answer.text


async def test_global_holdouts_are_one_at_a_time_and_keep_their_history(service: Service) -> None:
    made = await service.client.post("/v1/holdouts", json={"share": 0.1})
    assert made.status_code == 201
    assert (await service.client.post("/v1/holdouts", json={"share": 0.2})).status_code == 409
    past = await service.client.post("/v1/holdouts", json={"share": 0.2, "starts_at": "2020-01-01T00:00:00Z"})
    assert past.json()["code"] == "bad_window"
    service.clock.advance(timedelta(days=1))
    place = f"/v1/holdouts/{made.json()['holdout_id']}/end"
    assert (await service.client.post(place)).json()["ends_at"] == "2026-11-02T12:00:00Z"
    assert (await service.client.post(place)).status_code == 409
    assert (await service.client.post(f"/v1/holdouts/{NOBODY}/end")).status_code == 404
    assert (await service.client.post("/v1/holdouts", json={"share": 0.2})).status_code == 201
    listed = (await service.client.get("/v1/holdouts")).json()["data"]
    assert [each["share"] for each in listed] == [0.2, 0.1]
