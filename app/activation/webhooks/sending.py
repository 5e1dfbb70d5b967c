"""One attempt to hand a message to its receiver, bounded in time and bytes, and what came of it."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson

from app import __version__
from app.activation.webhooks.guard import BadURL, Guard, GuardedTransport, NotAllowed
from app.activation.webhooks.schedule import read_retry_after
from app.activation.webhooks.signing import signed_headers

CONNECT_SECONDS = 5.0
# From looking up the name to the last byte of the answer that is read.
ANSWER_SECONDS = 15.0
# The answer's body means nothing; so much is read that the connection can be used again.
ANSWER_BYTES = 64 * 1024
GONE = 410
USER_AGENT = f"Tessera/{__version__}"
# The order of the fields, which jsonb forgets: what it is before what it holds.
FIELDS = ("type", "timestamp", "data")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is being sent: this is attempt number `attempts`."""

    delivery_id: int
    message_id: UUID
    payload: Mapping[str, Any]
    attempts: int

    @property
    def body(self) -> bytes:
        """The same bytes at every attempt."""
        return orjson.dumps({name: self.payload[name] for name in FIELDS})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. No status code: nothing that could be read was answered. No error: it was taken."""

    status_code: int | None
    error: str | None
    retry_after: timedelta | None = None


def client_of(guard: Guard, *, verify: ssl.SSLContext) -> httpx2.AsyncClient:
    """Follows no redirects, uses no proxy, keeps no cookies of one endpoint for another: one client each."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(guard, verify=verify),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": USER_AGENT, "Content-Type": "application/json", "Accept-Encoding": "identity"},
    )


async def send(
    client: httpx2.AsyncClient, guard: Guard, *, message: Message, url: str, secrets: Sequence[str], now: datetime
) -> Outcome:
    """Send once. Whatever the receiver does, there is an outcome, and in time."""
    found: Outcome | None = None
    body = message.body
    headers = signed_headers(body, message_id=message.message_id, at=now, secrets=secrets)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            # Again at each attempt: what is allowed may have changed since the URL was given.
            target = guard.check_url(url)
            async with client.stream("POST", target, content=body, headers=headers) as response:
                found = _judged(response, now=now)
                await _read(response)
    except (httpx2.HTTPError, NotAllowed, BadURL, OSError) as error:
        # Once there is a status, it counts, however the rest of the answer went.
        return found or Outcome(None, _reason(error))
    return found


def _judged(response: httpx2.Response, *, now: datetime) -> Outcome:
    code = response.status_code
    if 200 <= code < 300:
        return Outcome(code, None)
    told = "redirects are not followed" if 300 <= code < 400 else "anything but 2xx is a failure"
    retry_after = read_retry_after(response.headers.get("retry-after"), now=now)
    return Outcome(code, f"answered {code}: {told}", retry_after)


async def _read(response: httpx2.Response) -> None:
    taken = 0
    async for part in response.aiter_raw():
        taken += len(part)
        if taken > ANSWER_BYTES:
            return


def _reason(error: Exception) -> str:
    """Why nothing was answered. Nothing that came over the line is repeated: it may be somebody else's secret."""
    certificate = _cause(error)
    if certificate is not None:
        return f"the certificate was refused: {certificate.verify_message}"
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return reason
    return "the connection broke"


def _cause(error: BaseException) -> ssl.SSLCertVerificationError | None:
    link: BaseException | None = error
    while link is not None and not isinstance(link, ssl.SSLCertVerificationError):
        link = link.__cause__ or link.__context__
    return link


# The first kind that fits.
REASONS: Mapping[type[Exception], str] = {
    NotAllowed: "the host leads to an address that is not one of the public internet",
    BadURL: "the URL is no longer one that may be sent to",
    httpx2.ConnectTimeout: f"no connection within {CONNECT_SECONDS:g} seconds",
    httpx2.TimeoutException: f"no answer within {ANSWER_SECONDS:g} seconds",
    TimeoutError: f"no answer within {ANSWER_SECONDS:g} seconds",
    httpx2.ConnectError: "no connection",
    httpx2.ProtocolError: "what was answered is not HTTP",
    OSError: "the host has no address",
}
