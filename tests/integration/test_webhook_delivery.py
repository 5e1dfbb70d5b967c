"""Messages on their way to a real receiver: signed, tried again, cut off, and never about those who said no."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import func, select, text, update

from app.activation.webhooks import courier as courier_module
from app.activation.webhooks import sending
from app.activation.webhooks.courier import KEPT, LEASE, deliver
from app.activation.webhooks.schedule import ATTEMPTS, DELAYS
from app.clock import format_instant
from app.tables.webhooks import webhook_deliveries
from tests.conftest import SECRET, Service
from tests.support.receiver import Receiver, answering, receiving
from tests.support.webhooks import Webhooks

pytestmark = pytest.mark.anyio

YES = {"profiling": True, "marketing": True}


@pytest.fixture
async def webhooks(service: Service) -> Webhooks:
    webhooks = Webhooks(service)
    await webhooks.make_segments()
    # The web process of the test allows loopback as its operator would.
    service.app.state.webhook_guard = webhooks.courier._guard
    return webhooks


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_a_receiver_that_fails_twice_and_then_succeeds_gets_a_message_it_can_verify(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    await webhooks.customer("C-17", **YES)
    await webhooks.change("C-17", entered=webhooks.vip, version=3)
    changed_at = format_instant(webhooks.service.clock.now())
    receiver.script = [answering(500), answering(500)]
    await webhooks.run()
    [first] = await webhooks.deliveries(made)
    assert (first["status"], first["attempts"], first["last_status_code"]) == ("pending", 1, 500)
    assert first["last_error"] == "answered 500: anything but 2xx is a failure"

    await webhooks.after(seconds=DELAYS[0].total_seconds() - 1)
    assert len(receiver.got) == 1
    await webhooks.after(seconds=1)
    assert len(receiver.got) == 2
    await webhooks.after(seconds=DELAYS[1].total_seconds())
    assert len(receiver.got) == 3

    message = {
        "type": "segment.entered",
        "timestamp": changed_at,
        "data": {
            "customer_id": "C-17",
            "segmentation_id": str(webhooks.segmentation),
            "segmentation": "Value",
            "segment_id": str(webhooks.vip),
            "segment_key": "vip",
            "segment_name": "Very important",
            "version": 3,
            "at": changed_at,
        },
    }
    assert [got.verified(made["secret"]) for got in receiver.got] == [message] * 3
    # The same message each time, signed anew each time.
    assert len({(got.headers["webhook-id"], got.body) for got in receiver.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 3
    assert receiver.got[0].headers["webhook-id"] == first["message_id"]
    assert receiver.got[0].headers["host"] == f"127.0.0.1:{receiver.port}"
    assert receiver.got[0].headers["content-type"] == "application/json"
    [last] = await webhooks.deliveries(made)
    assert (last["status"], last["attempts"], last["last_error"]) == ("delivered", 3, None)
    assert last["next_attempt_at"] is None
    assert await webhooks.changes() == 0
    await webhooks.after(days=2)
    assert len(receiver.got) == 3


async def test_each_endpoint_is_told_of_what_it_asked_for(webhooks: Webhooks, receiver: Receiver) -> None:
    wishes: dict[str, dict[str, Any]] = {
        "all": {},
        "entered": {"events": ["segment.entered"]},
        "vip": {"segment_ids": [str(webhooks.vip)]},
        "left lost": {"events": ["segment.left"], "segment_ids": [str(webhooks.lost)]},
        "off": {},
    }
    made = {name: await webhooks.endpoint(receiver.url(), **asked) for name, asked in wishes.items()}
    await webhooks.client.patch(f"/v1/webhooks/{made['off']['endpoint_id']}", json={"enabled": False})
    await webhooks.customer("A", **YES)
    await webhooks.customer("B", **YES)
    await webhooks.change("A", entered=webhooks.vip)
    await webhooks.change("B", left=webhooks.vip, entered=webhooks.lost)
    await webhooks.run()
    entered_vip, left_vip = ("A", "segment.entered"), ("B", "segment.left")
    entered_lost = ("B", "segment.entered")
    told = {
        name: sorted((each["customer_id"], each["event"]) for each in await webhooks.deliveries(endpoint))
        for name, endpoint in made.items()
    }
    assert told == {
        "all": [entered_vip, entered_lost, left_vip],
        "entered": [entered_vip, entered_lost],
        "vip": [entered_vip, left_vip],
        "left lost": [],
        "off": [],
    }
    assert len(receiver.got) == 7
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 7


async def test_only_those_with_consent_are_told_of(webhooks: Webhooks, receiver: Receiver) -> None:
    """Null means that nobody was asked: marketing needs a yes, profiling needs no no."""
    made = await webhooks.endpoint(receiver.url())
    consents: dict[str, dict[str, bool]] = {
        "nobody asked": {},
        "marketing": {"marketing": True},
        "both": {"marketing": True, "profiling": True},
        "no profiling": {"marketing": True, "profiling": False},
        "no marketing": {"marketing": False, "profiling": True},
        "profiling": {"profiling": True},
    }
    for customer_id, consent in consents.items():
        await webhooks.customer(customer_id, **consent)
        await webhooks.change(customer_id, entered=webhooks.vip)
    await webhooks.run()
    told = {got.verified(made["secret"])["data"]["customer_id"] for got in receiver.got}
    assert told == {"marketing", "both"}
    assert {row.customer_id for row in await webhooks.stored()} == told
    assert await webhooks.changes() == 0


async def test_consent_withdrawn_before_the_next_attempt_takes_the_message_away(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    await webhooks.endpoint(receiver.url())
    for customer_id in ("A", "B"):
        await webhooks.customer(customer_id, **YES)
        await webhooks.change(customer_id, entered=webhooks.vip)
    receiver.script = [answering(503), answering(503)]
    await webhooks.run()
    assert len(receiver.got) == 2
    await webhooks.customer("A", marketing=False)
    await webhooks.after(hours=1)
    assert len(receiver.got) == 3
    assert [row.customer_id for row in await webhooks.stored()] == ["B"]


async def test_the_erased_never_leave_whether_their_message_was_made_or_not(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    await webhooks.endpoint(receiver.url())
    await webhooks.customer("A", **YES)
    await webhooks.customer("B", **YES)
    await webhooks.change("A", entered=webhooks.vip)
    receiver.script = [answering(503)]
    await webhooks.run()
    await webhooks.change("B", entered=webhooks.vip)
    # As an erasure leaves them that knows nothing of webhooks: the customer is gone, the rest is not.
    async with webhooks.database.write() as session:
        await session.execute(text("delete from customers"))
    await webhooks.after(hours=1)
    assert len(receiver.got) == 1
    assert await webhooks.stored() == []
    assert await webhooks.changes() == 0


async def test_an_erasure_through_the_api_takes_what_waits_with_it(webhooks: Webhooks, receiver: Receiver) -> None:
    await webhooks.endpoint(receiver.url())
    for customer_id in ("A", "B"):
        await webhooks.customer(customer_id, **YES)
        await webhooks.change(customer_id, entered=webhooks.vip)
    receiver.script = [answering(503), answering(503)]
    await webhooks.run()
    await webhooks.change("A", left=webhooks.vip)
    assert (await webhooks.client.delete("/v1/customers/A")).status_code == 200
    await webhooks.after(hours=1)
    assert len(receiver.got) == 3
    assert [row.customer_id for row in await webhooks.stored()] == ["B"]


async def test_a_receiver_that_never_answers_well_is_given_up_after_the_last_attempt(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.always = answering(500)
    await webhooks.run()
    for delay in DELAYS:
        await webhooks.after(seconds=delay.total_seconds())
    assert len(receiver.got) == ATTEMPTS
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["attempts"], delivery["next_attempt_at"]) == ("failed", ATTEMPTS, None)
    await webhooks.after(days=10)
    assert len(receiver.got) == ATTEMPTS


async def test_what_failed_is_replayed_with_the_same_id(webhooks: Webhooks, receiver: Receiver) -> None:
    made = await webhooks.endpoint(receiver.url())
    path = f"/v1/webhooks/{made['endpoint_id']}"
    for customer_id in ("A", "B"):
        await webhooks.customer(customer_id, **YES)
        await webhooks.change(customer_id, entered=webhooks.vip)
    await webhooks.run()
    async with webhooks.database.write() as session:
        await session.execute(
            update(webhook_deliveries)
            .where(webhook_deliveries.c.customer_id == "A")
            .values(status="failed", attempts=ATTEMPTS, delivered_at=None)
        )
    since = format_instant(webhooks.service.clock.now())
    later = format_instant(webhooks.service.clock.now() + timedelta(seconds=1))
    assert (await webhooks.client.post(f"{path}/replay", json={"since": later})).json() == {"replayed": 0}
    answer = await webhooks.client.post(f"{path}/replay", json={"since": since, "until": later})
    assert answer.json() == {"replayed": 1}
    await webhooks.run()
    again, before = receiver.got[2], {got.headers["webhook-id"]: got for got in receiver.got[:2]}
    assert again.verified(made["secret"])["data"]["customer_id"] == "A"
    assert before[again.headers["webhook-id"]].body == again.body
    assert {each["status"] for each in await webhooks.deliveries(made)} == {"delivered"}
    answer = await webhooks.client.post(f"{path}/replay", json={"since": since, "status": "delivered"})
    assert answer.json() == {"replayed": 2}
    await webhooks.run()
    assert len(receiver.got) == 5


async def test_410_switches_the_endpoint_off_until_somebody_switches_it_on(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    path = f"/v1/webhooks/{made['endpoint_id']}"
    await webhooks.client.post(f"{path}/test")
    receiver.script = [answering(410)]
    await webhooks.run()
    shown = (await webhooks.client.get(path)).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "the receiver answered 410 Gone")
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["last_status_code"]) == ("failed", 410)
    await webhooks.after(days=2)
    assert len(receiver.got) == 1
    shown = (await webhooks.client.patch(path, json={"enabled": True})).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (True, None)
    await webhooks.client.post(f"{path}/test")
    await webhooks.run()
    assert len(receiver.got) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(webhooks: Webhooks, receiver: Receiver, status: int) -> None:
    async with receiving() as elsewhere:
        made = await webhooks.endpoint(receiver.url())
        await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
        receiver.script = [answering(status, Location=elsewhere.url())]
        await webhooks.run()
        assert elsewhere.connections == 0
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["last_status_code"]) == ("pending", status)
    assert "redirects are not followed" in delivery["last_error"]


async def test_a_receiver_may_ask_for_more_time(webhooks: Webhooks, receiver: Receiver) -> None:
    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.script = [answering(429, Retry_After="600")]
    await webhooks.run()
    await webhooks.after(seconds=599)
    assert len(receiver.got) == 1
    await webhooks.after(seconds=1)
    assert len(receiver.got) == 2


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drips_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1_000):
        writer.write(f"X-{number}: slow\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def speaks_something_else(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-secret-banner\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says_nothing, "no answer within 0.5 seconds"),
        (drips_headers, "no answer within 0.5 seconds"),
        (hangs_up, "what was answered is not HTTP"),
        (speaks_something_else, "what was answered is not HTTP"),
    ],
)
async def test_a_receiver_that_does_not_answer_is_cut_off(
    webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, behaviour: Any, reason: str
) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(sending, "REASONS", {k: v.replace("15", "0.5") for k, v in sending.REASONS.items()})
    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.script = [behaviour]
    async with asyncio.timeout(10):
        await webhooks.run()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["last_status_code"], delivery["last_error"]) == ("pending", None, reason)
    await webhooks.after(minutes=1)
    assert (await webhooks.deliveries(made))[0]["status"] == "delivered"


async def test_an_endless_answer_is_not_read_to_its_end(webhooks: Webhooks, receiver: Receiver) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.script = [endless]
    await webhooks.run()
    assert (await webhooks.deliveries(made))[0]["status"] == "delivered"
    # The bound and what the sockets' buffers hold between here and there.
    assert sent < 20_000_000


async def test_nobody_listening_is_a_failed_attempt(webhooks: Webhooks) -> None:
    async with receiving() as gone:
        url = gone.url()
    made = await webhooks.endpoint(url)
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    await webhooks.run()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["last_error"]) == ("pending", "no connection")


async def test_an_endpoint_that_hangs_holds_up_no_other(webhooks: Webhooks, receiver: Receiver) -> None:
    async with receiving() as hanging:
        hanging.always = says_nothing
        stuck = await webhooks.endpoint(hanging.url())
        sound = await webhooks.endpoint(receiver.url())
        for endpoint in (stuck, sound):
            for _ in range(20):
                await webhooks.client.post(f"/v1/webhooks/{endpoint['endpoint_id']}/test")
        await webhooks.courier.turn()
        async with asyncio.timeout(10):
            while len(await webhooks.deliveries(sound, status="delivered")) < 20:
                await asyncio.sleep(0.05)
        assert 0 < hanging.connections <= courier_module.MESSAGES_AT_ONCE
        await webhooks.courier.close()
    # Cut off in the middle: theirs are due again when the lease has ended.
    [begun] = {each["attempts"] for each in await webhooks.deliveries(stuck)} - {0}
    assert begun == 1
    assert {each["status"] for each in await webhooks.deliveries(stuck)} == {"pending"}


async def test_an_endpoint_that_is_down_is_left_alone_and_messages_keep_their_attempts_until_it_is_back(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    messages = 5 * courier_module.MESSAGES_AT_ONCE
    for _ in range(messages):
        await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.always = answering(503)
    tried = []
    await webhooks.run()
    for _ in range(4):
        tried.append(len(receiver.got) // courier_module.MESSAGES_AT_ONCE)
        await webhooks.after(seconds=1)
    # At once, after one second, and two seconds after that.
    assert tried == [1, 2, 2, 3]
    receiver.always = None
    await webhooks.after(minutes=2)
    assert {each["status"] for each in await webhooks.deliveries(made)} == {"delivered"}
    assert len(receiver.got) == messages + 3 * courier_module.MESSAGES_AT_ONCE


async def test_a_message_whose_sender_was_killed_is_sent_again_after_its_lease(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.script = [says_nothing]
    await webhooks.courier.turn()
    async with asyncio.timeout(10):
        while not receiver.got:
            await asyncio.sleep(0.01)
    for lane in webhooks.courier._lanes.values():
        lane.cancel()  # nothing is written down any more, as after kill -9
    await webhooks.courier.settle()
    await webhooks.after(seconds=LEASE.total_seconds() - 1)
    assert len(receiver.got) == 1
    await webhooks.after(seconds=1)
    assert len(receiver.got) == 2
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert (await webhooks.deliveries(made))[0]["status"] == "delivered"


async def test_two_couriers_at_once_send_each_message_once(webhooks: Webhooks, receiver: Receiver) -> None:
    made = await webhooks.endpoint(receiver.url())
    for number in range(30):
        await webhooks.customer(f"C-{number}", **YES)
        await webhooks.change(f"C-{number}", left=webhooks.lost, entered=webhooks.vip)
    couriers = [webhooks.courier, webhooks.courier_of(["127.0.0.1"])]
    for _ in range(2):
        await asyncio.gather(*(courier.turn() for courier in couriers))
        await asyncio.gather(*(courier.settle() for courier in couriers))
    assert len(receiver.got) == 60
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 60
    assert {each["attempts"] for each in await webhooks.deliveries(made)} == {1}


async def test_no_transaction_is_open_while_a_message_is_on_its_way(webhooks: Webhooks, receiver: Receiver) -> None:
    asked: list[int] = []

    async def asks(writer: asyncio.StreamWriter) -> None:
        query = text(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and xact_start is not null and backend_type = 'client backend'"
        )
        async with webhooks.database.read() as session:
            asked.append((await session.execute(query)).scalar_one())
        writer.write(answering(200))

    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    receiver.script = [asks]
    await webhooks.run()
    assert asked == [0]


async def test_connections_are_used_again(webhooks: Webhooks, receiver: Receiver) -> None:
    made = await webhooks.endpoint(receiver.url())
    for _ in range(40):
        await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    await webhooks.run()
    assert len(receiver.got) == 40
    assert receiver.connections <= courier_module.MESSAGES_AT_ONCE


async def test_a_host_that_leads_to_a_private_address_is_never_called_and_the_reason_names_no_address(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """The name was public when it was given and is rebound to loopback before the attempt."""

    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    webhooks.courier = webhooks.courier_of([], resolve=rebound)
    made = await webhooks.endpoint(f"https://rebound.example:{receiver.port}/hooks")
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    await webhooks.run()
    assert receiver.connections == 0
    [delivery] = await webhooks.deliveries(made)
    assert delivery["status"] == "pending"
    assert delivery["last_error"] == "the host leads to an address that is not one of the public internet"


async def test_what_is_no_longer_allowed_is_no_longer_called(webhooks: Webhooks, receiver: Receiver) -> None:
    made = await webhooks.endpoint(receiver.url())
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    webhooks.courier = webhooks.courier_of([])
    await webhooks.run()
    assert receiver.connections == 0
    assert (await webhooks.deliveries(made))[0]["last_error"] == "the URL is no longer one that may be sent to"


def certificate(folder: Path, *names: str) -> ssl.SSLContext:
    """A server that calls itself by these names, by a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    (folder / "authority.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@pytest.mark.parametrize(("called", "status"), [("hooks.example", "delivered"), ("other.example", "pending")])
async def test_the_certificate_is_checked_for_the_name_though_the_address_is_called(
    webhooks: Webhooks, tmp_path: Path, called: str, status: str
) -> None:
    async def names(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = certificate(tmp_path, "hooks.example")
    asked_for: list[str | None] = []
    server.sni_callback = lambda _, name, __: asked_for.append(name)
    webhooks.courier = webhooks.courier_of([called], resolve=names)
    webhooks.courier.verify.load_verify_locations(tmp_path / "authority.pem")
    async with receiving(tls=server) as receiver:
        made = await webhooks.endpoint(receiver.url(called, scheme="https"))
        await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
        await webhooks.run()
        [delivery] = await webhooks.deliveries(made)
        assert asked_for == [called]
        assert delivery["status"] == status
        if status == "delivered":
            assert receiver.got[0].headers["host"] == f"{called}:{receiver.port}"
        else:
            assert receiver.got == []
            assert delivery["last_error"].startswith("the certificate was refused: Hostname mismatch")


async def test_a_host_with_several_addresses_is_called_at_the_next_when_one_does_not_answer(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    async def names(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # the receiver listens at the second only

    webhooks.courier = webhooks.courier_of(["127.0.0.0/8", "hooks.example"], resolve=names)
    webhooks.service.app.state.webhook_guard = webhooks.courier._guard
    made = await webhooks.endpoint(receiver.url("hooks.example"))
    await webhooks.client.post(f"/v1/webhooks/{made['endpoint_id']}/test")
    await webhooks.run()
    assert (await webhooks.deliveries(made))[0]["status"] == "delivered"


async def test_old_messages_are_forgotten_unless_they_are_still_to_be_sent(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    made = await webhooks.endpoint(receiver.url())
    test = f"/v1/webhooks/{made['endpoint_id']}/test"
    for _ in range(3):
        await webhooks.client.post(test)
    await webhooks.run()
    async with webhooks.database.write() as session:
        first = select(func.min(webhook_deliveries.c.delivery_id)).scalar_subquery()
        await session.execute(
            update(webhook_deliveries)
            .where(webhook_deliveries.c.delivery_id == first)
            .values(status="pending", delivered_at=None, next_attempt_at=webhooks.service.clock.now() + 2 * KEPT)
        )
    await webhooks.after(days=KEPT.days - 1)
    await webhooks.client.post(test)
    await webhooks.run()
    assert len(await webhooks.stored()) == 4
    await webhooks.after(days=1, hours=2)
    assert [row.status for row in await webhooks.stored()] == ["pending", "delivered"]


async def test_changes_that_nobody_wants_any_more_are_dropped(webhooks: Webhooks) -> None:
    await webhooks.customer("A", **YES)
    await webhooks.change("A", entered=webhooks.vip)
    await webhooks.run()
    assert await webhooks.changes() == 0
    assert await webhooks.stored() == []


async def test_the_loop_of_the_worker_sends_and_outlives_failures(
    webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "PAUSE_SECONDS", 0.05)
    made = await webhooks.endpoint(receiver.url())
    await webhooks.customer("A", **YES)
    async with webhooks.database.write() as session:
        await session.execute(text("alter table membership_changes rename to away"))
    stop = asyncio.Event()
    running = asyncio.create_task(
        deliver(webhooks.database, clock=webhooks.service.clock, secret=SECRET, allow=["127.0.0.1"], stop=stop)
    )
    await asyncio.sleep(0.3)
    async with webhooks.database.write() as session:
        await session.execute(text("alter table away rename to membership_changes"))
    await webhooks.change("A", entered=webhooks.vip)
    async with asyncio.timeout(20):
        while not receiver.got:
            await asyncio.sleep(0.05)
    stop.set()
    async with asyncio.timeout(10):
        await running
    assert receiver.got[0].verified(made["secret"])["data"]["segment_id"] == str(webhooks.vip)


async def test_a_merge_or_erasure_is_waited_for_before_people_are_picked(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    await webhooks.endpoint(receiver.url())
    await webhooks.customer("A", **YES)
    await webhooks.change("A", entered=webhooks.vip)
    async with webhooks.database.write() as erasing:
        await erasing.execute(text("select pg_advisory_xact_lock(7355608010)"))
        turning = asyncio.create_task(webhooks.courier.turn())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(turning), 0.5)
        assert not turning.done()
        await erasing.execute(text("delete from customers"))
    await turning
    await webhooks.courier.settle()
    assert receiver.got == []
    assert await webhooks.stored() == []
