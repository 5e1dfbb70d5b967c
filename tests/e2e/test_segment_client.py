"""Segment's public Python client, unchanged, against the service listening on loopback."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest
import uvicorn
from segment.analytics import request as segment_request
from segment.analytics.client import Client

from app.config import Settings
from app.main import create_app
from tests.conftest import ADMIN_KEY, SECRET

STARTS_WITHIN_SECONDS = 20
AT = datetime(2026, 10, 1, 10, tzinfo=timezone(timedelta(hours=2)))


@contextmanager
def listening(settings: Settings, database_url: str) -> Iterator[str]:
    """The service on a free port, in a thread with an event loop of its own."""
    app = create_app(settings, database_url=database_url, secret=SECRET)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="tessera")
        thread.start()
        try:
            waited_until = time.monotonic() + STARTS_WITHIN_SECONDS
            while not server.started:
                assert thread.is_alive(), "the service stopped while starting"
                assert time.monotonic() < waited_until, "the service did not start in time"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STARTS_WITHIN_SECONDS)
            segment_request._session.close()
        assert not thread.is_alive(), "the service did not stop"


@pytest.fixture
def host(settings: Settings, database_url: str) -> Iterator[str]:
    with listening(settings, database_url) as url:
        yield url


@pytest.fixture
def reader(host: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host, headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as client:
        yield client


@pytest.fixture
def write_key(reader: httpx.Client) -> str:
    """A key that may do nothing but push."""
    made = reader.post("/v1/keys", json={"name": "shop", "scopes": ["ingest"]})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


def got(reader: httpx.Client, path: str) -> Any:
    answer = reader.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("gzip", [False, True])
def test_what_the_client_sends_is_there_after_its_flush(
    host: str, reader: httpx.Client, write_key: str, gzip: bool
) -> None:
    failures: list[Any] = []
    # A host with a trailing slash is what people write; the client takes it away itself.
    client = Client(write_key, host=f"{host}/", gzip=gzip, on_error=lambda *failure: failures.append(failure))
    client.track(anonymous_id="visitor", event="Product Viewed", properties={"sku": "S-1"}, timestamp=AT)
    client.identify(
        "user-1",
        {"email": "a@example.com", "createdAt": datetime(2025, 3, 1, 12, tzinfo=UTC), "score": Decimal("1.5")},
        anonymous_id="visitor",
        timestamp=AT,
    )
    context = {"campaign": {"name": "autumn", "source": "newsletter", "medium": "email"}}
    client.track("user-1", "Email Link Clicked", {"link": "x"}, context=context, timestamp=AT, message_id="click-1")
    client.track(
        "user-1",
        "Order Completed",
        {
            "order_id": "O-1",
            "total": Decimal("59.90"),
            "currency": "EUR",
            "products": [{"product_id": "P-1", "quantity": 2, "price": 29.95}],
        },
        context=context,
        timestamp=AT,
    )
    client.track("user-1", "Order Refunded", {"order_id": "O-1", "total": 10}, timestamp=AT)
    client.page("user-1", "Shop", "Home", {"url": "/"}, timestamp=datetime(2026, 10, 1, 9))  # noqa: DTZ001  # naive, as clients may be given
    client.screen("user-1", name="Basket")
    client.group("user-1", "G-1", {"name": "Ltd"})
    client.alias("device-9", "user-1")
    client.shutdown()

    assert failures == []
    assert got(reader, "rejections")["data"] == []
    customer = got(reader, "customers/device-9")
    assert customer["customer_id"] == "user-1"
    assert customer["attributes"] == {"email": "a@example.com", "score": 1.5}
    assert (customer["created_at"], customer["updated_at"]) == ("2025-03-01T12:00:00Z", "2026-10-01T08:00:00Z")
    events = {row["type"]: row for row in got(reader, "customers/user-1/events")["data"]}
    assert events.keys() == {"product_viewed", "email_click", "page_view", "screen_view", "group"}
    click = events["email_click"]
    assert (click["event_id"], click["occurred_at"]) == ("click-1", "2026-10-01T08:00:00Z")
    assert (click["campaign_id"], click["channel"], click["properties"]) == ("autumn", "email", {"link": "x"})
    assert events["page_view"]["occurred_at"] == "2026-10-01T09:00:00Z"
    refund, purchase = got(reader, "customers/user-1/transactions")["data"]
    assert (purchase["transaction_id"], purchase["amount"]) == ("O-1", {"amount": "59.90", "currency": "EUR"})
    assert [(row["product_id"], float(row["quantity"]), float(row["unit_price"])) for row in purchase["items"]] == [
        ("P-1", 2.0, 29.95)
    ]
    assert (refund["transaction_id"], refund["refunds"], refund["kind"]) == ("O-1:refund", "O-1", "refund")


def test_a_message_the_service_cannot_use_does_not_cost_the_client_its_batch(
    host: str, reader: httpx.Client, write_key: str
) -> None:
    failures: list[Any] = []
    client = Client(write_key, host=host, on_error=lambda *failure: failures.append(failure))
    client.track("user-1", "Scored", {"score": float("nan")}, timestamp=AT)
    client.track("user-1", "Order Completed", {"order_id": "O-1", "total": -1}, timestamp=AT)
    client.track("user-1", "Visit", timestamp=AT)
    client.shutdown()
    assert failures == []
    assert [row["type"] for row in got(reader, "customers/user-1/events")["data"]] == ["visit"]
    assert sorted(row["code"] for row in got(reader, "rejections")["data"]) == ["negative_amount", "unreadable_row"]


def test_the_same_messages_sent_again_after_a_lost_answer_are_known(
    host: str, reader: httpx.Client, write_key: str
) -> None:
    client = Client(write_key, host=host, sync_mode=True)
    for _ in range(2):
        client.track("user-1", "Visit", timestamp=AT, message_id="m-1")
        client.track("user-1", "Order Completed", {"order_id": "O-1", "total": 5}, timestamp=AT, message_id="m-2")
    assert len(got(reader, "customers/user-1/events")["data"]) == 1
    assert len(got(reader, "customers/user-1/transactions")["data"]) == 1
    assert got(reader, "rejections")["data"] == []


def test_a_client_with_a_wrong_key_is_told_so(host: str) -> None:
    client = Client("tsr_nobody", host=host, sync_mode=True)
    with pytest.raises(segment_request.APIError) as caught:
        client.track("user-1", "Visit")
    assert caught.value.status == 401
