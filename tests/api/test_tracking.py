"""Segment's protocol over HTTP: what each call becomes, and what hostile clients cannot do."""

import gzip
import json
from base64 import b64encode
from functools import partial
from typing import Any

import anyio
import httpx
import orjson
import psycopg
import pytest

from app.records.tracking.names import WELL_KNOWN, event_type
from tests.conftest import ADMIN_KEY, NOW, Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

AT = "2026-10-01T10:00:00.000Z"


def message(kind: str, message_id: str = "m-1", **values: Any) -> dict[str, Any]:
    return {"type": kind, "messageId": message_id, "userId": "U-1", "timestamp": AT, **values}


def order(message_id: str = "m-1", *, event: str = "Order Completed", **properties: Any) -> dict[str, Any]:
    return message("track", message_id, event=event, properties={"order_id": "O-1", "total": 59.9, **properties})


async def send(service: Service, *messages: Any, **envelope: Any) -> dict[str, Any]:
    answer = await service.client.post("/v1/batch", json={"batch": messages, **envelope})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    counted = found["created"] + found["updated"] + found["duplicates"] + len(found["rejected"])
    assert (found["success"], found["received"]) == (True, counted)
    return found


async def raw(service: Service, body: bytes, path: str = "batch", **headers: str) -> httpx.Response:
    return await service.client.post(
        f"/v1/{path}", content=body, headers={"Content-Type": "application/json", **headers}
    )


def reasons(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["code"], row["pointer"]) for row in answer["rejected"]]


async def get(service: Service, path: str) -> Any:
    answer = await service.client.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return orjson.loads(answer.content)


async def events(service: Service, customer_id: str = "U-1") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(service, f"customers/{customer_id}/events"))["data"]
    return found


async def transactions(service: Service, customer_id: str = "U-1") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(service, f"customers/{customer_id}/transactions"))["data"]
    return found


# Events


async def test_a_track_call_becomes_an_event(service: Service) -> None:
    context = {"campaign": {"name": "autumn", "source": "newsletter", "medium": "email"}, "library": {"name": "x"}}
    properties = {"link": "a", "value": 2.5, "long": 1}
    answer = await send(service, message("track", event="Email Link Clicked", properties=properties, context=context))
    assert answer["created"] == 1
    assert await events(service) == [
        {
            "source": "segment",
            "event_id": "m-1",
            "type": "email_click",
            "occurred_at": "2026-10-01T10:00:00Z",
            "channel": "email",
            "campaign_id": "autumn",
            "value": 2.5,
            "properties": properties,
        }
    ]


async def test_properties_of_a_track_call_are_kept_digit_by_digit(service: Service) -> None:
    long = b"123456789012345678901234567890.125"
    body = orjson.dumps({"batch": [message("track", event="X", properties={"n": 0})]}).replace(b'"n":0', b'"n":' + long)
    assert (await raw(service, body)).json()["created"] == 1
    assert long in (await service.client.get("/v1/customers/U-1/events")).content


async def test_other_calls_become_events_too(service: Service) -> None:
    calls: list[tuple[str, dict[str, Any], tuple[str, dict[str, Any]]]] = [
        (
            "page",
            {"name": "Home", "category": "Shop", "properties": {"url": "/"}},
            ("page_view", {"url": "/", "name": "Home", "category": "Shop"}),
        ),
        ("page", {"name": "Home", "properties": {"name": "Start"}}, ("page_view", {"name": "Start"})),
        ("screen", {"name": "Basket"}, ("screen_view", {"name": "Basket"})),
        ("screen", {"properties": None}, ("screen_view", {})),
        ("group", {"groupId": 7, "traits": {"name": "Ltd"}}, ("group", {"group_id": "7", "traits": {"name": "Ltd"}})),
    ]
    answer = await send(service, *[message(kind, f"m-{i}", **fields) for i, (kind, fields, _) in enumerate(calls)])
    assert answer["created"] == len(calls)
    found = {row["event_id"]: (row["type"], row["properties"]) for row in await events(service)}
    assert [found[f"m-{i}"] for i in range(len(calls))] == [kept for _, _, kept in calls]


async def test_the_campaign_of_the_context_is_read_where_it_is_one(service: Service) -> None:
    contexts: list[tuple[Any, str | None, str | None]] = [
        (None, None, None),
        ("text", None, None),
        ({"campaign": "autumn"}, None, None),
        ({"campaign": {"source": "google"}}, "google", None),
        ({"campaign": {"source": "google", "medium": "cpc"}}, "cpc", None),
        ({"campaign": {"source": "google", "medium": ""}}, "google", None),
        ({"campaign": {"name": 17, "medium": None}}, None, "17"),
        ({"campaign": {"name": True, "medium": ["x"]}}, None, None),
    ]
    sent = [message("track", f"m-{i}", event="X", context=context) for i, (context, _, _) in enumerate(contexts)]
    await send(service, *sent)
    found = {row["event_id"]: (row["channel"], row["campaign_id"]) for row in await events(service)}
    assert [found[f"m-{i}"] for i in range(len(contexts))] == [(channel, campaign) for _, channel, campaign in contexts]


async def test_an_anonymous_visitor_is_a_customer_until_somebody_is_named(service: Service) -> None:
    await send(service, message("track", event="X", userId=None, anonymousId="A-1"))
    await send(service, message("track", "m-2", event="X", userId="", anonymousId="A-1"))
    await send(service, message("track", "m-3", event="X", userId=17, anonymousId="A-1"))
    assert {row["event_id"] for row in await events(service, "A-1")} == {"m-1", "m-2"}
    assert {row["event_id"] for row in await events(service, "17")} == {"m-3"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Product Viewed", "product_viewed"),
        ("productViewed", "product_viewed"),
        ("HTTPRequestSent", "http_request_sent"),
        ("Email Opened", "email_open"),
        ("email_opened", "email_open"),
        ("Email Link Clicked", "email_click"),
        ("Email Delivered", "email_sent"),
        ("Signed Up", "sign_up"),
        ("B2B Lead", "b2b_lead"),
        ("2nd Purchase", "event_2nd_purchase"),
        ("  Checkout -- started!  ", "checkout_started"),
        ("Añadido al carrito", "anadido_al_carrito"),
        ("Größe gewählt", "grosse_gewahlt"),
        ("購入", "u8cfc_u5165"),
        ("visit", "visit"),
        ("!!!", ""),
    ],
)
def test_names_of_events_become_types(name: str, kind: str) -> None:
    assert event_type(name) == kind


def test_every_name_that_is_translated_is_itself_in_snake_case() -> None:
    assert all(event_type(kind) == kind for kind in WELL_KNOWN.values())


# Time


async def test_times_as_clients_write_them_are_read(service: Service) -> None:
    times: list[tuple[Any, str]] = [
        ("2026-10-01T10:00:00.123+02:00", "2026-10-01T08:00:00.123000Z"),
        ("2026-10-01T10:00:00", "2026-10-01T10:00:00Z"),
        ("2026-10-01 10:00:00.5", "2026-10-01T10:00:00.500000Z"),
        ("2026-10-01", "2026-10-01T00:00:00Z"),
        ("2026-10-01t10:00:00z", "2026-10-01T10:00:00Z"),
        # What Python's isoformat gives for local mean time (Amsterdam before 1937 in the IANA database).
        ("1936-10-01T10:00:00+00:19:32", "1936-10-01T09:40:28Z"),
        (1_790_848_800, "2026-10-01T10:00:00Z"),
        (1_790_848_800_123, "2026-10-01T10:00:00.123000Z"),
    ]
    sent = [message("track", f"m-{i}", event="X", timestamp=given) for i, (given, _) in enumerate(times)]
    assert (await send(service, *sent))["created"] == len(times)
    read = {row["event_id"]: row["occurred_at"] for row in await events(service)}
    assert [read[f"m-{i}"] for i in range(len(times))] == [occurred_at for _, occurred_at in times]


async def test_times_that_mean_nothing_are_refused(service: Service) -> None:
    times: list[tuple[Any, str]] = [
        ("yesterday", "invalid_instant"),
        ("2026-02-30T10:00:00Z", "invalid_instant"),
        ("", "invalid_instant"),
        ("2" * 100_000, "invalid_instant"),
        ([], "invalid_instant"),
        (True, "invalid_instant"),
        ("1899-12-31T23:59:59Z", "absurd_instant"),
        ("9999-12-31T23:59:59-12:00", "absurd_instant"),
        ("0001-01-01T00:00:00+12:00", "absurd_instant"),
        (10**300, "absurd_instant"),
        (-(10**300), "absurd_instant"),
        (1e300, "absurd_instant"),
    ]
    sent = [message("track", f"m-{i}", event="X", timestamp=given) for i, (given, _) in enumerate(times)]
    answer = await send(service, *sent, message("page"))
    wanted = [(code, f"/batch/{i}/timestamp") for i, (_, code) in enumerate(times)]
    assert (answer["created"], reasons(answer)) == (1, wanted)


async def test_the_clock_of_a_client_is_not_corrected_so_that_a_resent_batch_is_known(service: Service) -> None:
    first = await send(service, message("track", event="X"), order("m-2"), sentAt="2026-10-01T10:00:05Z")
    again = await send(service, message("track", event="X"), order("m-2"), sentAt="2026-10-01T18:00:00Z")
    assert (first["created"], again["duplicates"]) == (2, 2)
    assert [row["occurred_at"] for row in await events(service)] == ["2026-10-01T10:00:00Z"]


async def test_a_message_without_a_time_is_dated_at_its_arrival_and_known_when_it_comes_again(service: Service) -> None:
    untimed = [message("track", event="X"), order("m-2")]
    for each in untimed:
        del each["timestamp"]
    await send(service, *untimed)
    service.clock.advance(NOW - NOW.replace(hour=0))
    again = await send(service, *untimed)
    assert (again["duplicates"], again["rejected"]) == (2, [])
    assert [row["occurred_at"] for row in await events(service)] == ["2026-11-01T12:00:00Z"]


async def test_a_message_without_an_identifier_is_known_again_by_its_time_and_content(service: Service) -> None:
    unnamed = message("track", event="X")
    del unnamed["messageId"]
    assert (await send(service, unnamed, unnamed))["created"] == 2
    assert (await send(service, unnamed, unnamed))["duplicates"] == 2
    assert (await send(service, {**unnamed, "timestamp": "2026-10-01T10:00:01Z"}))["created"] == 1


# Orders


async def test_a_completed_order_becomes_a_purchase_with_items(service: Service) -> None:
    products = [
        {"product_id": "P-1", "quantity": 2, "price": 19.95, "name": "Shirt"},
        {"sku": "S-2", "price": "20.00"},
        {"product_id": 3, "price": 0},
        {"name": "no identifier", "price": 1},
        {"product_id": "no price"},
    ]
    answer = await send(
        service,
        message(
            "track",
            event="Order Completed",
            properties={"order_id": 50314, "total": 59.9, "currency": "gbp", "products": products},
            context={"campaign": {"name": "autumn", "medium": "email"}},
        ),
    )
    assert answer["created"] == 1
    assert await transactions(service) == [
        {
            "source": "segment",
            "transaction_id": "50314",
            "occurred_at": "2026-10-01T10:00:00Z",
            "kind": "purchase",
            "refunds": None,
            "channel": "email",
            "campaign_id": "autumn",
            "amount": {"amount": "59.90", "currency": "GBP"},
            "margin": None,
            "items": [
                {"product_id": "P-1", "quantity": "2.000000", "unit_price": "19.950000"},
                {"product_id": "S-2", "quantity": "1.000000", "unit_price": "20.000000"},
                {"product_id": "3", "quantity": "1.000000", "unit_price": "0.000000"},
            ],
        }
    ]
    assert await events(service) == []


async def test_the_amount_of_an_order_is_its_total_else_its_revenue_else_its_value(service: Service) -> None:
    orders: list[tuple[dict[str, Any], str]] = [
        ({"total": 10, "revenue": 9, "value": 8}, "10.00"),
        ({"revenue": 9, "value": 8}, "9.00"),
        ({"total": None, "value": "8.50"}, "8.50"),
        ({"total": 0}, "0.00"),
        # Sums of floating point: the decimals that were meant (Python and JavaScript print 0.30000000000000004).
        ({"total": 0.1 + 0.2}, "0.30"),
        ({"total": 1.1 * 3}, "3.30"),
    ]
    await send(
        service,
        *[
            message("track", event="Order Completed", properties={"order_id": i, **properties})
            for i, (properties, _) in enumerate(orders)
        ],
    )
    found = {row["transaction_id"]: row["amount"] for row in await transactions(service)}
    # Without a currency: the reporting currency of the tests' settings.
    assert found == {str(i): {"amount": amount, "currency": "EUR"} for i, (_, amount) in enumerate(orders)}


async def test_a_refunded_order_becomes_a_refund_of_it(service: Service) -> None:
    await send(service, order())
    await send(service, order("m-2", event="Order Refunded", total=20))
    await send(service, order("m-3", event="Order Refunded", total=5, refund_id="R-2"))
    found = {row["transaction_id"]: row for row in await transactions(service)}
    assert found.keys() == {"O-1", "O-1:refund", "R-2"}
    for refund_id, amount in (("O-1:refund", "20.00"), ("R-2", "5.00")):
        refund = found[refund_id]
        assert (refund["kind"], refund["refunds"], refund["amount"]["amount"]) == ("refund", "O-1", amount)


async def test_an_order_that_comes_twice_counts_once_and_another_content_is_a_conflict(service: Service) -> None:
    await send(service, order())
    assert (await send(service, order("m-2")))["duplicates"] == 1
    assert reasons(await send(service, order("m-3", total=1))) == [("conflict", "/batch/0/properties/order_id")]


BAD_ORDERS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"order_id": None}, ("missing_field", "order_id")),
    ({"order_id": ""}, ("missing_field", "order_id")),
    ({"order_id": ["x"]}, ("invalid_type", "order_id")),
    ({"order_id": 1.5}, ("invalid_type", "order_id")),
    ({"order_id": "x" * 256}, ("invalid_length", "order_id")),
    ({"order_id": "a\x00b"}, ("nul_character", "order_id")),
    ({"total": None}, ("missing_field", "total")),
    ({"total": None, "revenue": "x"}, ("invalid_amount", "revenue")),
    ({"total": True}, ("invalid_type", "total")),
    ({"total": {}}, ("invalid_type", "total")),
    ({"total": -1}, ("negative_amount", "total")),
    ({"total": 1.999}, ("inexact_amount", "total")),
    ({"total": 1e300}, ("invalid_amount", "total")),
    ({"total": 10**300}, ("invalid_amount", "total")),
    ({"currency": "ZZZ"}, ("unknown_currency", "currency")),
    ({"currency": 978}, ("invalid_type", "currency")),
    ({"products": {}}, ("invalid_type", "products")),
    ({"products": [7]}, ("invalid_type", "products/0")),
    ({"products": [{}, {"sku": "s", "price": "free"}]}, ("invalid_number", "products/1/price")),
    ({"products": [{"sku": "s", "price": 1e300}]}, ("invalid_number", "products/0/price")),
    ({"products": [{"sku": "s", "price": 1, "quantity": "x"}]}, ("invalid_number", "products/0/quantity")),
    ({"products": [{"sku": "s" * 300, "price": 1}]}, ("invalid_length", "products/0/sku")),
    ({"products": [{"sku": "s", "price": 1}] * 1001}, ("invalid_length", "products")),
]


async def test_orders_that_cannot_be_booked_are_refused_with_their_places_and_kept(service: Service) -> None:
    sent = [order(f"m-{i}", **{"order_id": f"O-{i}", **properties}) for i, (properties, _) in enumerate(BAD_ORDERS)]
    answer = await send(service, *sent, order("good"))
    wanted = [(code, f"/batch/{i}/properties/{field}") for i, (_, (code, field)) in enumerate(BAD_ORDERS)]
    assert (answer["created"], reasons(answer)) == (1, wanted)
    kept = (await get(service, "rejections?kind=transactions"))["data"]
    assert sorted(row["code"] for row in kept) == sorted(code for code, _ in wanted)
    assert {(row["source"], row["customer_id"]) for row in kept} == {("segment", "U-1")}


async def test_prices_that_were_divided_are_rounded_to_six_decimals(service: Service) -> None:
    await send(service, order(products=[{"sku": "s", "price": 10 / 3, "quantity": 3}]))
    (got,) = await transactions(service)
    assert [row["unit_price"] for row in got["items"]] == ["3.333333"]


async def test_a_refused_order_can_be_mended_as_the_row_it_would_have_been(service: Service) -> None:
    await send(service, order(currency="ZZZ"))
    (kept,) = (await get(service, "rejections"))["data"]
    mended = {**kept["payload"], "currency": "USD"}
    answer = await service.client.post(f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": mended})
    assert (answer.status_code, answer.json().get("created")) == (200, 1), answer.text
    # The rejection kept the source, so that the order sent once more is known.
    assert (await send(service, order(currency="USD")))["duplicates"] == 1


# Who is who


async def test_identify_tells_what_is_known_of_a_customer(service: Service) -> None:
    traits = {"email": "a@example.com", "plan": "gold", "createdAt": "2025-03-01"}
    first = await send(service, message("identify", traits=traits))
    again = await send(service, message("identify", traits=traits))
    more = await send(service, message("identify", traits={"plan": "silver"}, timestamp="2026-10-02T10:00:00Z"))
    assert (first["created"], again["duplicates"], more["updated"]) == (1, 1, 1)
    got = await get(service, "customers/U-1")
    assert got["attributes"] == {"email": "a@example.com", "plan": "silver"}
    assert (got["created_at"], got["updated_at"]) == ("2025-03-01T00:00:00Z", "2026-10-02T10:00:00Z")


async def test_an_identify_call_that_comes_late_overwrites_nothing_newer(service: Service) -> None:
    await send(service, message("identify", traits={"plan": "gold"}))
    await send(service, message("identify", traits={"plan": "old", "city": "Bonn"}, timestamp="2026-09-01T10:00:00Z"))
    assert (await get(service, "customers/U-1"))["attributes"] == {"plan": "gold", "city": "Bonn"}


async def test_a_creation_time_that_cannot_be_read_stays_an_attribute(service: Service) -> None:
    await send(service, message("identify", traits={"createdAt": "long ago"}))
    got = await get(service, "customers/U-1")
    assert (got["attributes"], got["created_at"]) == ({"createdAt": "long ago"}, None)


async def test_a_new_customer_of_one_batch_is_created_once_and_then_updated(service: Service) -> None:
    answer = await send(
        service,
        message("track", "m-0", event="X"),
        message("identify", "m-1", traits={"a": 1}),
        message("identify", "m-2", traits={"b": 2}),
        message("identify", "m-3", userId="U-2"),
    )
    assert (answer["created"], answer["updated"]) == (3, 1)


async def test_identify_merges_the_visitor_that_was_known_before(service: Service) -> None:
    await send(service, message("track", event="X", userId=None, anonymousId="A-1"))
    await send(service, message("identify", "m-2", anonymousId="A-1", traits={"plan": "gold"}))
    assert [row["event_id"] for row in await events(service)] == ["m-1"]
    # What the visitor's browser sends late, or again, is the user's too.
    late = [message("track", each, event="X", userId=None, anonymousId="A-1") for each in ("m-1", "m-3")]
    answer = await send(service, *late)
    assert (answer["created"], answer["duplicates"]) == (1, 1)
    assert {row["event_id"] for row in await events(service)} == {"m-1", "m-3"}
    assert (await get(service, "customers/A-1"))["merged_from"] == "A-1"


@pytest.mark.parametrize("before", [True, False])
async def test_a_visitor_and_the_user_of_one_batch_become_one(service: Service, before: bool) -> None:
    visit = message("track", event="X", userId=None, anonymousId="A-1")
    login = message("identify", "m-2", anonymousId="A-1")
    answer = await send(service, *([visit, login] if before else [login, visit]))
    assert answer["created"] == 2
    assert [row["event_id"] for row in await events(service)] == ["m-1"]


async def test_identify_makes_no_customer_of_a_visitor_nobody_saw(service: Service) -> None:
    await send(service, message("identify", anonymousId="A-1"))
    assert (await service.client.get("/v1/customers/A-1")).status_code == 404


async def test_a_second_user_of_a_browser_does_not_take_the_first_ones_past(service: Service) -> None:
    await send(service, message("track", event="X", userId=None, anonymousId="A-1"))
    await send(service, message("identify", "m-2", anonymousId="A-1"))
    answer = await send(service, message("identify", "m-3", userId="U-2", anonymousId="A-1"))
    assert (answer["created"], answer["rejected"]) == (1, [])
    assert [row["event_id"] for row in await events(service)] == ["m-1"]
    assert await events(service, "U-2") == []


async def test_alias_merges_also_what_was_not_known_yet(service: Service) -> None:
    first = await send(service, message("alias", previousId="A-1"))
    again = await send(service, message("alias", previousId="A-1"))
    assert (first["updated"], again["duplicates"]) == (1, 1)
    await send(service, message("track", event="X", userId=None, anonymousId="A-1"))
    assert [row["event_id"] for row in await events(service)] == ["m-1"]


async def test_aliases_follow_each_other_and_never_in_a_circle(service: Service) -> None:
    answer = await send(
        service,
        message("track", "m-0", event="X", userId="A"),
        message("alias", "m-1", previousId="A", userId="B"),
        message("alias", "m-2", previousId="B", userId="C"),
        message("alias", "m-3", previousId="C", userId="A"),
        message("alias", "m-4", previousId="C", userId="C"),
    )
    assert (answer["created"], answer["updated"], answer["duplicates"]) == (1, 2, 2)
    assert [row["event_id"] for row in await events(service, "C")] == ["m-0"]
    assert (await get(service, "customers/A"))["customer_id"] == "C"


async def test_an_alias_that_contradicts_an_earlier_one_is_refused(service: Service) -> None:
    await send(service, message("alias", previousId="A", userId="B"))
    answer = await send(service, message("alias", "m-2", previousId="A", userId="C"), message("page", "m-3"))
    assert (answer["created"], reasons(answer)) == (1, [("already_merged", "/batch/0/previousId")])
    (kept,) = (await get(service, "rejections?kind=customers"))["data"]
    assert kept["payload"]["previousId"] == "A"


async def test_nothing_of_the_erased_is_taken_or_kept(service: Service) -> None:
    await send(service, message("identify", userId="gone"))
    assert (await service.client.delete("/v1/customers/gone")).status_code == 200
    answer = await send(
        service,
        message("identify", "m-1", userId="gone", anonymousId="A-1", traits={"name": "Gone"}),
        message("track", "m-2", userId="gone", event="X"),
        {**order("m-3"), "userId": "gone"},
        message("alias", "m-4", previousId="gone"),
        message("alias", "m-5", previousId="A-2", userId="gone"),
        message("identify", "m-6", anonymousId="gone"),
        message("track", "m-7", event="X"),
    )
    assert answer["created"] == 2
    assert {row["code"] for row in answer["rejected"]} == {"customer_erased"}
    assert [row["pointer"] for row in answer["rejected"]] == [
        "/batch/0/userId",
        "/batch/1/userId",
        "/batch/2/userId",
        "/batch/3/previousId",
        "/batch/4/userId",
    ]
    kept = (await get(service, "rejections"))["data"]
    assert [(row["payload"], row["customer_id"]) for row in kept] == [(None, None)] * 5
    assert (await service.client.get("/v1/customers/gone")).status_code == 404


async def test_a_customer_of_a_request_that_was_rolled_back_is_not_remembered(service: Service) -> None:
    plain_url = service.database_url.replace("+psycopg", "")
    with psycopg.connect(plain_url, autocommit=True) as connection:
        connection.execute("alter table events add constraint no_boom check (type <> 'boom')")
    messages = [message("identify"), message("track", "m-2", event="Boom", userId="U-2"), order("m-3")]
    assert (await service.client.post("/v1/batch", json={"batch": messages})).status_code == 500
    for customer_id in ("U-1", "U-2"):
        assert (await service.client.get(f"/v1/customers/{customer_id}")).status_code == 404
        await service.push(transaction(f"T-{customer_id}", customer_id=customer_id))
        assert (await get(service, f"customers/{customer_id}"))["customer_id"] == customer_id
    assert [row["transaction_id"] for row in await transactions(service)] == ["T-U-1"]


async def test_requests_at_once_that_name_the_same_people_all_come_through(service: Service) -> None:
    def login(i: int) -> list[dict[str, Any]]:
        visit = message("track", f"v-{i}", event="X", userId=None, anonymousId=f"A-{i % 5}")
        return [visit, message("identify", f"i-{i}", userId=f"U-{i % 5}", anonymousId=f"A-{i % 5}")]

    def stroll(i: int) -> list[dict[str, Any]]:
        people = range(9) if i % 2 else reversed(range(9))
        return [
            message("track", f"s-{i}-{each}", event="X", userId=f"U-{each}", anonymousId=f"A-{each}") for each in people
        ]

    async def buy(i: int) -> None:
        await service.push(*[transaction(f"T-{i}-{each}", customer_id=f"U-{each}") for each in reversed(range(9))])

    async with anyio.create_task_group() as group:
        for i in range(10):
            group.start_soon(partial(send, service, *login(i)))
            group.start_soon(partial(send, service, *stroll(i)))
            group.start_soon(partial(buy, i))
    assert {row["event_id"] for row in await events(service, "U-8")} == {f"s-{i}-8" for i in range(10)}
    assert {row["event_id"] for row in await events(service, "A-3")} >= {"v-3", "v-8", "s-0-3"}
    assert len(await transactions(service, "U-0")) == 10


# Bad messages and hostile bodies


BAD_MESSAGES: list[tuple[Any, tuple[str, str]]] = [
    ({"type": "track", "event": "X"}, ("missing_field", "/userId")),
    ({"userId": "U-1"}, ("missing_field", "/type")),
    ({"type": "dance", "userId": "U-1"}, ("invalid_value", "/type")),
    (message("track"), ("missing_field", "/event")),
    (message("track", event="!!!"), ("invalid_event_type", "/event")),
    (message("track", event="x" * 101), ("invalid_event_type", "/event")),
    (message("track", event=7), ("invalid_type", "/event")),
    (message("track", event="X", userId=["U"]), ("invalid_type", "/userId")),
    (message("track", event="X", userId=True), ("invalid_type", "/userId")),
    (message("track", event="X", userId="u" * 256), ("invalid_length", "/userId")),
    (message("track", event="X", userId="a\x00b"), ("nul_character", "/userId")),
    (message("track", "a\x00b", event="X"), ("nul_character", "/messageId")),
    (message("track", "m" * 256, event="X"), ("invalid_length", "/messageId")),
    (message("track", event="X", properties=[]), ("invalid_type", "/properties")),
    (message("track", event="X", properties={"a": "x\x00"}), ("nul_character", "/properties/a")),
    (message("track", event="X", properties={"value": 10**400}), ("unreadable_row", "/properties")),
    (message("track", event="Survey", properties={"csat": 9}), ("invalid_survey", "/properties/csat")),
    (message("page", properties="x"), ("invalid_type", "/properties")),
    (message("group"), ("missing_field", "/groupId")),
    (message("identify", traits=[1]), ("invalid_type", "/traits")),
    (message("identify", traits={"n": 10**30}), ("number_out_of_range", "/traits/n")),
    (message("identify", traits={"t": "x" * 70_000}), ("too_large", "/traits")),
    (message("identify", anonymousId="a" * 256), ("invalid_length", "/anonymousId")),
    (message("alias"), ("missing_field", "/previousId")),
    (message("alias", previousId="A\x00"), ("nul_character", "/previousId")),
    (
        message("track", event="X", context={"campaign": {"medium": "m" * 101}}),
        ("invalid_length", "/context/campaign/medium"),
    ),
    (
        message("track", event="X", context={"campaign": {"name": "a\x00"}}),
        ("nul_character", "/context/campaign/name"),
    ),
    ("text", ("invalid_type", "")),
    (None, ("invalid_type", "")),
    ([], ("invalid_type", "")),
]


async def test_bad_messages_cost_no_other_and_are_kept(service: Service) -> None:
    answer = await send(service, *[bad for bad, _ in BAD_MESSAGES], message("page", "good"))
    wanted = [(code, f"/batch/{i}{field}") for i, (_, (code, field)) in enumerate(BAD_MESSAGES)]
    assert (answer["created"], reasons(answer)) == (1, wanted)
    kept = (await get(service, "rejections"))["data"]
    assert sorted((row["code"], row["pointer"]) for row in kept) == sorted(wanted)
    assert {row["event_id"] for row in await events(service)} == {"good"}


async def test_what_python_clients_write_and_json_has_not_spoils_only_its_message(service: Service) -> None:
    tokens = ["NaN", "-Infinity", '"\\ud800"']
    for i, token in enumerate(tokens):
        body = json.dumps({"batch": [message("track", event="X", properties={"n": 0}), message("page", f"good-{i}")]})
        answer = await raw(service, body.replace('"n": 0', f'"n": {token}').encode())
        assert answer.status_code == 200, answer.text
        assert (answer.json()["created"], reasons(answer.json())) == (1, [("unreadable_row", "/batch/0")])
    kept = (await get(service, "rejections"))["data"]
    assert [row["customer_id"] for row in kept] == ["U-1"] * len(tokens)


async def test_a_message_nested_beyond_reason_is_refused(service: Service) -> None:
    body = orjson.dumps({"batch": [message("track", event="X", properties={"n": 0})]})
    answers = {}
    for depth in [40, 600, 5_000]:
        deep = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        answers[depth] = await raw(service, body.replace(b'{"n":0}', deep))
    for depth in (40, 600):
        assert [row["code"] for row in answers[depth].json()["rejected"]] == ["too_deep"], depth
    assert (answers[5_000].status_code, answers[5_000].json()["code"]) == (400, "unreadable_body")


async def test_a_wrong_envelope_is_refused_as_a_whole(service: Service) -> None:
    bodies = [
        (b"", 400, "unreadable_body"),
        (b"{", 400, "unreadable_body"),
        (b"\xff\xfe", 400, "unreadable_body"),
        (b"[]", 422, "invalid_input"),
        (b"{}", 422, "invalid_input"),
        (b'{"batch":null}', 422, "invalid_input"),
        (b'{"batch":{}}', 422, "invalid_input"),
        (b'{"batch":NaN}', 422, "invalid_input"),
        (b'{"batch":[],"batch":[]}', 422, "invalid_input"),
        (b'{"batch":[' + b",".join([b"{}"] * 10_001) + b"]}", 413, "too_large"),
    ]
    for body, status, code in bodies:
        answer = await raw(service, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body[:40]


async def test_another_media_type_is_refused(service: Service) -> None:
    answer = await raw(service, b'{"batch":[]}', **{"Content-Type": "text/plain"})
    assert answer.status_code == 415


async def test_an_empty_batch_is_fine(service: Service) -> None:
    assert (await send(service))["received"] == 0


async def test_what_the_protocol_has_and_nobody_reads_here_is_let_pass(service: Service) -> None:
    extra = {"integrations": {"All": True}, "channel": "server", "version": 2, "sentAt": AT, "_metadata": {"x": [1]}}
    answer = await send(service, message("page", **extra), writeKey=ADMIN_KEY, sentAt=AT, context={}, foo=1)
    assert answer["created"] == 1


async def test_gzip_and_a_key_as_user_name_are_taken(service: Service) -> None:
    body = gzip.compress(orjson.dumps({"batch": [message("page")]}))
    basic = b64encode(f"{ADMIN_KEY}:".encode()).decode()
    answer = await raw(service, body, Authorization=f"Basic {basic}", **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["created"]) == (200, 1)


async def test_without_the_scope_nothing_is_taken(service: Service) -> None:
    made = await service.client.post("/v1/keys", json={"name": "reader", "scopes": ["kpis:read"]})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    for call in ("batch", "track", "identify", "page", "screen", "group", "alias"):
        assert (await raw(service, b'{"batch":[]}', call, **headers)).status_code == 403


async def test_every_call_has_a_path_of_its_own(service: Service) -> None:
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("track", {"event": "Email Opened"}, "email_open"),
        ("page", {}, "page_view"),
        ("screen", {}, "screen_view"),
        ("group", {"groupId": "G"}, "group"),
    ]
    for call, fields, kind in calls:
        body = message(call, f"m-{call}", **fields)
        del body["type"]
        answer = await service.client.post(f"/v1/{call}", json=body)
        assert (answer.status_code, answer.json()["success"], answer.json()["created"]) == (200, True, 1)
        assert {row["event_id"]: row["type"] for row in await events(service)}[f"m-{call}"] == kind


async def test_identify_and_alias_have_paths_of_their_own(service: Service) -> None:
    body = {"userId": "U-1", "traits": {"plan": "gold"}}
    assert (await service.client.post("/v1/identify", json=body)).json()["created"] == 1
    assert (await service.client.post("/v1/alias", json={"userId": "U-1", "previousId": "A"})).json()["updated"] == 1
    assert (await get(service, "customers/A"))["attributes"] == {"plan": "gold"}


async def test_a_single_message_that_cannot_be_used_is_kept_with_its_place(service: Service) -> None:
    answer = await service.client.post("/v1/track", json={"event": "X"})
    assert (answer.status_code, reasons(answer.json())) == (200, [("missing_field", "/userId")])
    answer = await service.client.post("/v1/track", json={**order(total=-1), "type": "page"})
    assert reasons(answer.json()) == [("negative_amount", "/properties/total")]


async def test_a_single_body_that_is_no_message_is_refused(service: Service) -> None:
    for body, status in [(b"{", 400), (b'{"userId":NaN}', 400), (b"[]", 422), (b"7", 422)]:
        assert (await raw(service, body, "track")).status_code == status, body


async def test_a_large_batch_is_taken_whole(service: Service) -> None:
    messages = [message("track", f"m-{i}", event="X", userId=f"U-{i % 50}", properties={"i": i}) for i in range(2_000)]
    assert (await send(service, *messages))["created"] == 2_000
    assert (await send(service, *messages))["duplicates"] == 2_000
