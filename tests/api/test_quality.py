"""The data-quality report: everything that is wrong with a small, known history, each flaw once."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from app.operations.quality.definitions import CUSTOMERS, EVENTS, TRANSACTIONS
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

HOUR, DAY = 3_600, 86_400
DOCS = Path(__file__).parents[2] / "docs" / "quality.md"


async def ask(service: Service, **params: str) -> dict[str, Any]:
    answer = await service.client.get("/v1/quality", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def received(service: Service, table: str, at: dict[str, str], *, key: str, column: str = "received_at") -> None:
    """Have rows been received when the test says: the database itself writes down when they really were."""
    url = make_url(service.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        for identifier, instant in at.items():
            done = connection.execute(f"update {table} set {column} = %s where {key} = %s", (instant, identifier))
            assert done.rowcount == 1


def event(event_id: str, **values: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "customer_id": "C-1",
        "type": "visit",
        "occurred_at": "2026-10-20T10:00:00Z",
        **values,
    }


def missing(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {each["field"]: (each["rows"], each["of"]) for each in found["missing"]}


async def test_an_empty_service_has_nothing_to_say_and_says_why(service: Service) -> None:
    found = await ask(service)
    assert (found["from"], found["to"]) == ("2026-10-02T12:00:00Z", "2026-11-01T12:00:00Z")
    assert found["customers"]["missing"][0] == {
        "field": "attributes",
        "rows": 0,
        "of": 0,
        "share": None,
        "reason": "zero_denominator",
    }
    for kind in ("transactions", "events"):
        assert (found[kind]["received"], found[kind]["possible_duplicates"]) == (0, 0)
        assert found[kind]["sources"] == {"complete": True, "data": []}
    assert (found["transactions"]["without_exchange_rate"], found["rejections"]) == ([], [])


async def test_what_is_missing_is_counted_among_those_that_should_have_it(service: Service) -> None:
    answer = await service.client.post(
        "/v1/customers",
        json={
            "customers": [
                {"customer_id": "known", "attributes": {"age": 30}, "consent": {"marketing": True, "profiling": False}},
                {"customer_id": "not asked", "attributes": {"age": 31}},
            ]
        },
    )
    assert answer.json()["created"] == 2, answer.text
    await service.push(
        transaction("whole", customer_id="known", channel="web", campaign_id="autumn", margin="1.00", items=[ITEM]),
        transaction("guest", customer_id=None, channel="shop"),
        transaction("refund", customer_id="only named", kind="refund", refunds="whole"),
        transaction("lost refund", customer_id="only named", kind="refund"),
        transaction("of another month", customer_id="known"),
    )
    await service.client.post("/v1/events", json={"events": [event("1", channel="email"), event("2")]})
    at = "2026-10-20T12:00:00Z"
    everything = dict.fromkeys(("whole", "guest", "refund", "lost refund"), at)
    received(service, "transactions", {**everything, "of another month": "2026-09-30T23:59:59Z"}, key="transaction_id")
    received(service, "events", {"1": at, "2": at}, key="event_id")
    heard = dict.fromkeys(("known", "not asked", "only named"), at)
    received(service, "customers", {**heard, "C-1": "2026-09-01T00:00:00Z"}, key="customer_id", column="first_seen_at")

    found = await ask(service, **{"from": "2026-10-01"})
    assert found["customers"]["received"] == 3
    # "only named" is known by a fact alone.
    assert missing(found["customers"]) == {
        "attributes": (1, 3),
        "consent_profiling": (2, 3),
        "consent_marketing": (2, 3),
    }
    assert found["transactions"]["received"] == 4
    assert missing(found["transactions"]) == {
        "customer_id": (1, 4),
        "channel": (2, 4),
        "campaign_id": (3, 4),
        "margin": (3, 4),
        "items": (3, 4),
        "refunds": (1, 2),
    }
    assert missing(found["events"]) == {"customer_id": (0, 2), "channel": (1, 2), "campaign_id": (2, 2)}
    assert found["transactions"]["missing"][0]["share"] == 0.25


ITEM = {"product_id": "P-1", "quantity": 1, "unit_price": "10.00"}


async def test_lateness_falls_into_classes_and_the_future_apart(service: Service) -> None:
    # Received at noon of October 20th; the bounds belong to the class that they end.
    happened = {
        "now": "2026-10-20T11:30:00Z",
        "an hour": "2026-10-20T11:00:00Z",
        "a little more": "2026-10-20T10:59:59.999999Z",
        "a day": "2026-10-19T12:00:00Z",
        "two days": "2026-10-18T12:00:00Z",
        "thirty days": "2026-09-20T12:00:00Z",
        "a year": "2025-10-20T12:00:00Z",
        "a clock ahead": "2026-10-20T12:05:00Z",
        "tomorrow": "2026-10-21T12:00:00Z",
    }
    await service.push(*(transaction(name, occurred_at=at) for name, at in happened.items()))
    received(service, "transactions", dict.fromkeys(happened, "2026-10-20T12:00:00Z"), key="transaction_id")
    late = (await ask(service))["transactions"]["lateness"]
    assert [(each["within_seconds"], each["rows"]) for each in late["classes"]] == [
        (HOUR, 3),
        (DAY, 2),
        (7 * DAY, 1),
        (30 * DAY, 1),
        (None, 1),
    ]
    assert late["ahead"] == 1
    assert sum(each["share"] for each in late["classes"]) == pytest.approx(8 / 9)


async def test_rows_that_say_the_same_under_two_identifiers_may_be_one(service: Service) -> None:
    await service.push(
        transaction("1"), transaction("2"), transaction("3"), transaction("other amount", amount="10.01"),
        *(transaction(f"guest {number}", customer_id=None) for number in range(2)),
    )  # fmt: skip
    await service.push(transaction("1"))  # the same identifier: known, and no second row
    await service.client.post("/v1/transactions", json={"source": "shop 2", "transactions": [transaction("1")]})
    visits = [event("1"), event("2"), event("3", properties={"page": "/"})]
    await service.client.post("/v1/events", json={"events": visits})
    # The database wrote down its own time of today, whatever the service's clock says.
    found = await ask(service, to=tomorrow(service))
    assert found["transactions"]["received"] == 7
    # 2 and 3 repeat 1, and so does the other shop's; of guests nobody knows whether they are the same.
    assert found["transactions"]["possible_duplicates"] == 3
    assert found["events"]["possible_duplicates"] == 1


def tomorrow(service: Service) -> str:
    url = make_url(service.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        row = connection.execute("select ((now() at time zone 'UTC')::date + 1)::text").fetchone()
    assert row is not None
    return str(row[0])


async def test_a_feed_is_stale_by_its_own_habit(service: Service) -> None:
    # The clock stands at November 1st. Daily, weekly, once, and long ago.
    days = {
        "daily": ["10-26", "10-27", "10-28"],
        "weekly": ["10-06", "10-13", "10-20", "10-26"],
        "once": ["10-30"],
        "silent": ["09-01"],
    }
    for source, each in days.items():
        rows = [transaction(f"{source} {day}", occurred_at=f"2026-{day}T08:00:00Z") for day in each]
        await service.client.post("/v1/transactions", json={"source": source, "transactions": rows})
        times = {f"{source} {day}": f"2026-{day}T09:00:00Z" for day in each}
        received(service, "transactions", times, key="transaction_id")
    feeds = (await ask(service))["transactions"]["sources"]
    assert feeds["complete"] is True
    assert [(each["source"], each["received"], each["stale"], each.get("reason")) for each in feeds["data"]] == [
        ("weekly", 4, False, None),  # 6 days after pauses of 7
        ("daily", 3, True, None),  # 4 days after pauses of 1
        ("once", 1, None, "too_few"),
        ("silent", 0, None, "nothing_in_window"),
    ]
    daily, silent = feeds["data"][1], feeds["data"][3]
    assert daily["newest_received_at"] == "2026-10-28T09:00:00Z"
    assert daily["newest_occurred_at"] == "2026-10-28T08:00:00Z"
    assert daily["silent_seconds"] == 4 * DAY + 3 * HOUR
    assert (daily["days_with_rows"], daily["longest_pause_days"]) == (3, 1)
    assert (silent["silent_seconds"], silent["days_with_rows"]) == (None, 0)
    # Looked at as it was then, it was on time.
    before = (await ask(service, to="2026-10-29"))["transactions"]["sources"]["data"]
    assert {each["source"]: each["stale"] for each in before}["daily"] is False


async def test_amounts_that_cannot_be_converted_are_named_by_currency(service: Service) -> None:
    rate = {"on": "2026-10-01", "from": "GBP", "to": "EUR", "rate": "1.15"}
    answer = await service.client.put("/v1/exchange-rates", json={"rates": [rate]})
    assert answer.json()["created"] == 1, answer.text
    days = {"a": "2026-10-01", "b": "2026-10-08", "c": "2026-10-09", "d": "2026-10-12"}
    # A rate stays good for seven days.
    await service.push(
        *(transaction(name, occurred_at=f"{day}T10:00:00Z", currency="GBP") for name, day in days.items())
    )
    await service.push(
        transaction("e", occurred_at="2026-10-12T10:00:00Z", currency="JPY", amount="5"), transaction("f")
    )
    received(service, "transactions", dict.fromkeys("abcdef", "2026-10-20T12:00:00Z"), key="transaction_id")
    assert (await ask(service))["transactions"]["without_exchange_rate"] == [
        {"currency": "GBP", "rows": 2, "days": 2, "first_on": "2026-10-09", "last_on": "2026-10-12"},
        {"currency": "JPY", "rows": 1, "days": 1, "first_on": "2026-10-12", "last_on": "2026-10-12"},
    ]


async def test_refused_rows_are_counted_by_reason_and_by_what_became_of_them(service: Service) -> None:
    await service.push(transaction("1", amount="-1"), transaction("2", amount="-2"), transaction("3", currency="ABC"))
    to = tomorrow(service)
    rows = (await ask(service, to=to))["rejections"]
    assert [(each["kind"], each["open"], each["resolved"]) for each in rows] == [
        ("transactions", 2, 0),
        ("transactions", 1, 0),
    ]
    assert rows[0]["code"] == "negative_amount"
    kept = (await service.client.get("/v1/rejections", params={"code": "negative_amount"})).json()["data"][0]
    retried = await service.client.post(
        f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": transaction("2", amount="2")}
    )
    assert retried.json()["created"] == 1, retried.text
    rows = (await ask(service, to=to))["rejections"]
    assert [(each["open"], each["resolved"]) for each in rows] == [(1, 1), (1, 0)]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"from": "2026-11-02"}, "bad_window"),
        ({"from": "2025-09-01"}, "window_too_long"),
        ({"to": "yesterday"}, "invalid_instant"),
        ({"to": "1900-01-05"}, "absurd_instant"),
        ({"from": "\x00"}, "invalid_instant"),
        ({"since": "2026-10-01"}, None),
    ],
)
async def test_a_window_that_cannot_be_looked_at_is_refused(
    service: Service, params: dict[str, str], code: str | None
) -> None:
    answer = await service.client.get("/v1/quality", params=params)
    assert answer.status_code == 422
    assert code is None or answer.json()["errors"][0]["code"] == code


async def test_only_an_admin_may_look(service: Service) -> None:
    made = await service.client.post("/v1/keys", json={"name": "reader", "scopes": ["kpis:read"]})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await service.client.get("/v1/quality", headers=headers)).status_code == 403


def test_the_manual_lists_every_field_and_what_it_means_to_lack_it() -> None:
    lines = DOCS.read_text().splitlines()
    for records in (CUSTOMERS, TRANSACTIONS, EVENTS):
        for each in records.fields:
            assert f"| {records.name} | `{each.field}` | {each.meaning} |" in lines
