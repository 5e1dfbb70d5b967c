"""When a message is tried again: growing delays, a little spread, and what the receiver asks for."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.activation.webhooks.courier import LEASE
from app.activation.webhooks.schedule import ATTEMPTS, DELAYS, JITTER, next_attempt, read_retry_after
from app.activation.webhooks.sending import ANSWER_SECONDS
from app.activation.webhooks.signing import generations_in_force, secret_of, signed_headers

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ENDPOINT = UUID("6f1c2c56-3b57-4d0e-9d7b-2f7a5a3f3b10")
MESSAGE = UUID("0b0f9a5e-52f5-4a7f-8a30-4f0b8d1a2c3d")
SERVICE_SECRET = b"a secret that signs nothing of value"


def delay(attempts: int, *, draw: float = 0.0, retry_after: timedelta | None = None) -> timedelta | None:
    again = next_attempt(attempts, now=NOW, retry_after=retry_after, draw=lambda: draw)
    return None if again is None else again - NOW


def test_delays_grow_until_there_are_no_more_attempts() -> None:
    assert [delay(attempts) for attempts in range(1, ATTEMPTS + 1)] == [*DELAYS, None]
    assert sorted(DELAYS) == list(DELAYS)
    assert timedelta(days=1) < sum(DELAYS, timedelta(0)) < timedelta(days=2)


def test_delays_are_spread_upwards_by_a_bounded_share() -> None:
    for attempts, planned in enumerate(DELAYS, 1):
        longest = delay(attempts, draw=0.999999)
        assert longest is not None
        assert planned < longest < planned * (1 + JITTER)


def test_a_receiver_may_ask_for_more_time_up_to_a_bound_and_not_for_less() -> None:
    assert delay(1, retry_after=timedelta(minutes=3)) == timedelta(minutes=3)
    assert delay(1, retry_after=timedelta(seconds=1)) == DELAYS[0]
    assert delay(1, retry_after=timedelta(seconds=-9)) == DELAYS[0]
    assert delay(1, retry_after=timedelta(days=400)) == timedelta(hours=24)
    assert delay(ATTEMPTS, retry_after=timedelta(minutes=3)) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Sun, 01 Nov 2026 12:02:00 GMT", 120),
        ("Sun, 01 Nov 2026 11:59:00 GMT", -60),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 12:02:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_none(text: str | None, seconds: int | None) -> None:
    found = read_retry_after(text, now=NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_a_lease_outlives_any_attempt() -> None:
    assert timedelta(seconds=2 * ANSWER_SECONDS) < LEASE


def test_secrets_are_repeatable_and_differ_by_endpoint_generation_and_service() -> None:
    def made(service: bytes = SERVICE_SECRET, endpoint: UUID = ENDPOINT, generation: int = 1) -> str:
        return secret_of(service, endpoint, generation=generation)

    assert made() == made()
    others = {made(), made(generation=2), made(endpoint=MESSAGE), made(service=b"another secret of the service....")}
    assert len(others) == 4
    assert all(secret.startswith("whsec_") and len(secret) == len("whsec_") + 44 for secret in others)


def test_after_a_rotation_both_secrets_verify_for_a_day_and_then_the_new_one_only() -> None:
    at = datetime.now(UTC)  # the verifying library compares with the clock of the machine
    old, new = (secret_of(SERVICE_SECRET, ENDPOINT, generation=each) for each in (1, 2))
    body = b'{"type":"webhook.test"}'
    for hours, sound in ((23, {old, new}), (24, {new})):
        generations = generations_in_force(2, rotated_at=at - timedelta(hours=hours), now=at)
        secrets = [secret_of(SERVICE_SECRET, ENDPOINT, generation=each) for each in generations]
        headers = dict(signed_headers(body, message_id=MESSAGE, at=at, secrets=secrets))
        for secret in (old, new):
            if secret in sound:
                assert Webhook(secret).verify(body, headers) == {"type": "webhook.test"}
            else:
                with pytest.raises(WebhookVerificationError):
                    Webhook(secret).verify(body, headers)
