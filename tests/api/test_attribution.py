"""Credit over HTTP: a small table of touches and purchases whose credit was worked out by hand for every model."""

from fractions import Fraction
from typing import Any

import pytest

from tests.conftest import Service
from tests.support.campaigns import ASSIGNED_AT, expose, exposure, plan, post
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}
# customer, day, channel
TOUCHES = (
    ("C-1", "10-01", "search"),
    ("C-1", "10-02", "email"),
    ("C-1", "10-03", "search"),
    ("C-1", "10-05", "email"),
    ("C-2", "10-01", "social"),
    ("C-2", "10-02", "email"),
    ("C-4", "08-20", "social"),  # more than 30 days before the purchase
    ("C-4", "10-20", "search"),
)
# customer (null: a guest), day, amount. Journeys: search > email > search, email, search; without an outcome:
# social > email. C-3 met nothing.
PURCHASES = (
    ("C-1", "10-04", "100.00"),
    ("C-1", "10-06", "50.00"),
    ("C-3", "10-10", "30.00"),
    (None, "10-11", "20.00"),
    ("C-4", "10-25", "20.00"),
)


def touch(number: int, customer_id: str, day: str, channel: str | None, **values: Any) -> dict[str, Any]:
    at = f"2026-{day}T12:00:00Z"
    row = {"event_id": f"E-{number}", "customer_id": customer_id, "type": "click", "occurred_at": at}
    return {**row, **({"channel": channel} if channel else {}), **values}


async def fill(service: Service) -> None:
    await post(service, "events", [touch(number, *each) for number, each in enumerate(TOUCHES)])
    purchases = [
        transaction(f"T-{number}", customer_id=customer_id, occurred_at=f"2026-{day}T12:00:00Z", amount=amount)
        for number, (customer_id, day, amount) in enumerate(PURCHASES)
    ]
    await post(service, "transactions", purchases)


async def asked(service: Service, **params: Any) -> dict[str, Any]:
    answer = await service.client.get("/v1/attribution", params={**OCTOBER, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(service: Service, **params: Any) -> list[dict[str, Any]]:
    answer = await service.client.get("/v1/attribution", params={**OCTOBER, **params})
    assert answer.status_code == 422, answer.text
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def credit(found: dict[str, Any]) -> dict[str, tuple[float, str]]:
    return {row["channel"]: (row["conversions"], row["revenue"]["amount"]) for row in found["data"]}


# By hand. time_decay with a half-life of a day: the touches before the first purchase are 3, 2 and 1 days old and weigh
# 1 : 2 : 4. markov: from search 1/3 go on to email and 2/3 buy, from email 1/3 go on to search, 1/3 buy, 1/3 end, from
# social all go on to email; removing search leaves 2/9 of the purchases, email 4/9, social 19/24, so that the effects
# stand 56 : 40 : 15; those on value stand 328 : 216 : 81.
BY_HAND = {
    "first": {"email": (1, "50.00"), "search": (2, "120.00"), "social": (0, "0.00")},
    "last": {"email": (1, "50.00"), "search": (2, "120.00"), "social": (0, "0.00")},
    "linear": {"email": (1.3333, "83.33"), "search": (1.6667, "86.67"), "social": (0, "0.00")},
    "position": {"email": (1.2, "70.00"), "search": (1.8, "100.00"), "social": (0, "0.00")},
    "time_decay": {"email": (1.2857, "78.57"), "search": (1.7143, "91.43"), "social": (0, "0.00")},
    "markov": {"email": (1.0811, "58.75"), "search": (1.5135, "89.22"), "social": (0.4054, "22.03")},
    "shapley": {"email": (1.5, "100.00"), "search": (1.5, "70.00"), "social": (0, "0.00")},
}


@pytest.mark.parametrize("model", BY_HAND)
async def test_every_model_gives_the_credit_worked_out_by_hand(service: Service, model: str) -> None:
    await fill(service)
    params = {"half_life_days": 1} if model == "time_decay" else {}
    found = await asked(service, model=model, **params)
    assert credit(found) == BY_HAND[model]
    assert sum(Fraction(row["revenue"]["amount"]) for row in found["data"]) == 170
    assert sum(Fraction(str(row["conversions"])) for row in found["data"]) == 3
    nothing = found["unattributed"]
    assert (nothing["conversions"], nothing["revenue"]["amount"], nothing["without_customer"]) == (2, "50.00", 1)
    totals = found["totals"]
    assert (totals["conversions"], totals["revenue"]["amount"], totals["attributed_conversions"]) == (5, "220.00", 3)
    assert totals["journeys_without_outcome"] == (1 if model == "markov" else None)
    assert found["order"] == (1 if model == "markov" else None)
    assert found["game"] == ("conversions" if model == "shapley" else None)


async def test_the_look_back_and_the_window_decide_which_touches_count(service: Service) -> None:
    await fill(service)
    assert credit(await asked(service, model="first", look_back_days=70))["social"] == (1, "20.00")
    short = await asked(service, model="first", look_back_days=2)
    # 3 and 5 days before their purchases nothing counts: of C-4 there is no touch left, of C-1 email is the first.
    assert credit(short) == {"email": (2, "150.00"), "search": (0, "0.00"), "social": (0, "0.00")}
    assert short["unattributed"]["conversions"] == 3


async def test_costs_of_the_ledger_stand_beside_the_credit(service: Service) -> None:
    await fill(service)
    days = {"currency": "EUR", "from": "2026-10-01", "to": "2026-11-01"}
    costs = [
        {"cost_id": "1", "category": "media", "amount": "30.00", "channel": "search", **days},
        {"cost_id": "2", "category": "people", "amount": "6.00", "channel": "search", **days},
        {"cost_id": "3", "category": "technology", "amount": "12.00", "channel": "email", **days},
        {"cost_id": "4", "category": "media", "amount": "7.00", "channel": "radio", **days},
        {"cost_id": "5", "category": "other", "amount": "5.00", **days},
    ]
    await post(service, "costs", costs)
    found = await asked(service, model="last")
    rows = {row["channel"]: row for row in found["data"]}
    search, email, radio = rows["search"], rows["email"], rows["radio"]
    assert (search["cost"]["amount"], search["media_cost"]["amount"]) == ("36.00", "30.00")
    assert (search["roas"], search["cost_per_acquisition"], search["share"]) == (4.0, 18.0, 2 / 3)
    assert (email["roas"], email["cost_per_acquisition"], email["reasons"]) == (None, 12, {"roas": "zero_denominator"})
    assert (radio["roas"], radio["reasons"]) == (0, {"cost_per_acquisition": "zero_denominator"})
    assert (found["unattributed"]["cost"]["amount"], found["totals"]["cost"]["amount"]) == ("5.00", "60.00")
    hours = await asked(service, model="last", **{"from": "2026-10-04T11:00:00Z", "to": "2026-10-04T13:00:00Z"})
    assert hours["data"][0]["reasons"]["roas"] == "no_whole_day"


async def test_what_is_no_touchpoint_gets_no_credit(service: Service) -> None:
    none = ("email_sent", "page_view", "conversion", "survey")
    events = [touch(number, "C-1", "10-02", f"by_{each}", type=each) for number, each in enumerate(none)]
    await post(
        service,
        "events",
        [*events, touch(10, "C-1", "10-01", "shop", type="opened_an_app"), touch(11, "C-1", "10-01", None)],
    )
    await post(service, "transactions", [transaction(occurred_at="2026-10-03T00:00:00Z")])
    assert credit(await asked(service, model="linear")) == {"shop": (1, "10.00")}


async def test_conversions_are_outcomes_without_money_and_campaigns_can_be_credited(service: Service) -> None:
    await post(
        service,
        "events",
        [
            touch(1, "C-1", "10-01", None, campaign_id="spring"),
            touch(2, "C-1", "10-02", "email", campaign_id="autumn"),
            touch(3, "C-1", "10-03", None, type="sign_up"),
            touch(4, "C-2", "10-03", None, type="conversion"),
        ],
    )
    found = await asked(service, model="linear", outcome="conversion", by="campaign")
    assert [(row["campaign"], row["conversions"], row["revenue"]) for row in found["data"]] == [
        ("autumn", 0.5, None),
        ("spring", 0.5, None),
    ]
    assert found["data"][0]["reasons"]["roas"] == "outcome_has_no_currency"
    assert found["unattributed"]["conversions"] == 1


async def test_amounts_are_converted_at_dated_rates_or_refused(service: Service) -> None:
    await post(service, "events", [touch(1, "C-1", "10-01", "search")])
    sold = [transaction("T-1", occurred_at="2026-10-02T00:00:00Z", amount="10.00", currency="USD")]
    await post(service, "transactions", sold)
    errors = await refused(service, model="last")
    assert (errors[0]["code"], "2026-10-02" in errors[0]["detail"]) == ("missing_exchange_rate", True)
    rate = {"on": "2026-10-01", "from": "USD", "to": "EUR", "rate": "0.5"}
    answer = await service.client.put("/v1/exchange-rates", json={"rates": [rate]})
    assert answer.status_code == 200, answer.text
    assert credit(await asked(service, model="last")) == {"search": (1, "5.00")}


async def test_nothing_to_credit_has_a_reason(service: Service) -> None:
    empty = await asked(service, model="markov")
    assert (empty["data"], empty["reason"], empty["data_as_of"]) == ([], "no_outcomes", None)
    assert empty["totals"]["revenue"]["amount"] == "0.00"
    await service.push(transaction())
    assert (await asked(service, model="shapley"))["reason"] == "no_touchpoints"


async def test_questions_without_sense_are_refused_and_say_where(service: Service) -> None:
    for params, pointer, code in (
        ({"model": "best"}, "model", None),
        ({"model": "first", "order": 2}, "order", "not_of_this_model"),
        ({"model": "first", "half_life_days": 2}, "half_life_days", "not_of_this_model"),
        ({"model": "markov", "game": "rate"}, "game", "not_of_this_model"),
        ({"model": "markov", "order": 6}, "order", None),
        ({"model": "time_decay", "half_life_days": 0}, "half_life_days", None),
        ({"model": "last", "from": "\x00"}, "from", "invalid_instant"),
        ({"model": "last", "channel": "email"}, "channel", "extra_forbidden"),
        ({"model": "last", "from": "2026-11-02"}, "from", "bad_window"),
        ({"model": "last", "look_back_days": 0}, "look_back_days", None),
        ({"model": "last", "group_by": "channel"}, "group_by", None),
        ({"model": "last", "group_by": "segment"}, "segmentation_id", "ambiguous"),
        ({"model": "last", "segmentation_id": "0" * 32}, "segmentation_id", "without_group_by"),
    ):
        errors = await refused(service, **params)
        assert pointer in errors[0]["pointer"], errors
        assert code in (None, errors[0]["code"])


async def test_credit_comes_as_csv_too(service: Service) -> None:
    await fill(service)
    answer = await service.client.get("/v1/attribution", params={**OCTOBER, "model": "last", "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    lines = answer.text.splitlines()
    assert lines[1].startswith("email,1.0,0.333")
    assert lines[-1].startswith("(unattributed),2,,50.00")


async def test_a_holdout_shows_by_which_factor_the_model_is_wrong(service: Service) -> None:
    """40 treated, 40 held out. Ten of the treated buy for 30 after a mail, five of the held out for 30 without one.

    The last touch credits 300 to the mail; the holdout says that 150 of it would have been bought anyway: factor 2.
    """
    await plan(service)
    treated, held = [f"T-{n:02}" for n in range(40)], [f"H-{n:02}" for n in range(40)]
    await expose(service, [exposure(each) for each in treated] + [exposure(each, "holdout") for each in held])
    await post(service, "events", [touch(n, each, "10-03", "email") for n, each in enumerate(treated)])
    buyers = [*treated[:10], *held[:5]]
    sold = [
        transaction(f"S-{each}", customer_id=each, occurred_at="2026-10-05T00:00:00Z", amount="30.00")
        for each in buyers
    ]
    # Bought before anybody was assigned: no part of the comparison.
    sold.append(transaction("early", customer_id=treated[0], occurred_at="2026-10-01T00:00:00Z", amount="30.00"))
    await post(service, "transactions", sold)
    assert ASSIGNED_AT < "2026-10-03"
    for by in ("channel", "campaign"):
        if by == "campaign":
            named = [touch(100 + n, each, "10-04", None, campaign_id="autumn") for n, each in enumerate(treated)]
            await post(service, "events", named)
        row = (await asked(service, model="last", by=by))["data"][0]
        beside = row["incrementality"]
        assert (beside["campaigns"], beside["credited"]["amount"]) == (["autumn"], "300.00")
        assert (beside["gain"]["value"], beside["factor"]["value"]) == (150, 2)
        # 5 of 40 against 10 of 40 might be chance: the gain may be 0, so that the factor has no upper end.
        assert beside["gain"]["low"] < 0 < beside["gain"]["high"]
        assert beside["factor"]["low"] == pytest.approx(300 / beside["gain"]["high"])
        assert (beside["factor"]["high"], beside["factor"]["verdict"]) == (None, "not_conclusive")
    # Half of what was bought comes back: credit and gain are both net of it.
    back = [
        {**row, "transaction_id": f"R-{n}", "kind": "refund", "refunds": row["transaction_id"], "amount": "15.00"}
        for n, row in enumerate(sold[:15])
    ]
    await post(service, "transactions", back)
    beside = (await asked(service, model="last"))["data"][0]["incrementality"]
    assert (beside["credited"]["amount"], beside["gain"]["value"], beside["factor"]["value"]) == ("150.00", 75, 2)
