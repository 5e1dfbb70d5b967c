"""Signatures of messages by the Standard Webhooks specification; secrets are derived and stored nowhere."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from standardwebhooks import Webhook

# For so long after a rotation messages carry the signature by the old secret too.
OLD_SECRET_GOOD_FOR = timedelta(hours=24)


def secret_of(service_secret: bytes, endpoint_id: UUID, *, generation: int) -> str:
    """The secret of an endpoint, as its owner got it: the same inputs give the same text."""
    message = b"webhook\x00" + endpoint_id.bytes + generation.to_bytes(8, "big")
    return "whsec_" + base64.b64encode(hmac.digest(service_secret, message, hashlib.sha256)).decode()


def generations_in_force(generation: int, *, rotated_at: datetime | None, now: datetime) -> list[int]:
    """The secret generations to sign with, newest first."""
    overlapping = rotated_at is not None and now < rotated_at + OLD_SECRET_GOOD_FOR
    return [generation, generation - 1] if overlapping else [generation]


def signed_headers(body: bytes, *, message_id: UUID, at: datetime, secrets: Sequence[str]) -> Mapping[str, str]:
    """What a receiver verifies the body with."""
    text, name = body.decode(), str(message_id)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(name, at, text) for secret in secrets),
    }
