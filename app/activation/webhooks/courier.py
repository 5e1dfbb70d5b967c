"""The courier: turns changes into messages and sends them, beside the jobs of a worker, for as long as it runs."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import structlog

from app.activation.webhooks import outbox
from app.activation.webhooks.addresses import Allowed
from app.activation.webhooks.guard import Guard, Resolver
from app.activation.webhooks.outbox import Claimed
from app.activation.webhooks.schedule import next_attempt
from app.activation.webhooks.sending import GONE, Message, Outcome, client_of, send
from app.activation.webhooks.signing import generations_in_force, secret_of
from app.clock import Clock, growing_pause
from app.db.engine import Database
from app.errors import places

CHANGES_AT_ONCE = 5_000
# Of one endpoint; a slow one holds up nobody else.
MESSAGES_AT_ONCE = 8
# Longer than an attempt can take: a message whose sender was killed is sent again after this.
LEASE = timedelta(seconds=60)
# An endpoint at which a whole batch failed is left alone for a while, twice as long each time in a row: the messages
# behind keep their attempts for when it is back.
FIRST_REST, LONGEST_REST = timedelta(seconds=1), timedelta(seconds=60)
KEPT = timedelta(days=30)
FORGET_EVERY = timedelta(hours=1)
FORGOTTEN_AT_ONCE = 5_000
# Connections of the pool that sending may take; the others are for the work that makes the messages.
CONNECTIONS = 2
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
GRACE_SECONDS = 3.0

log = structlog.get_logger("tessera.webhooks")


async def deliver(
    database: Database, *, clock: Clock, secret: bytes, allow: Sequence[str], stop: asyncio.Event
) -> None:
    """Send what is due until told to stop; failures are logged and tried again, each time a little later."""
    resolver = Resolver()
    courier = Courier(database, clock=clock, secret=secret, guard=Guard(Allowed.of(allow), resolve=resolver))
    failures = 0
    try:
        while not stop.is_set():
            try:
                more = await courier.turn()
                failures = 0
            except Exception as error:  # the last handler of this loop: it must outlive whatever goes wrong once
                failures += 1
                more = False
                log.error("sending failed", error=type(error).__qualname__, at=places(error), failures=failures)
            if not more:
                pause = growing_pause(PAUSE_SECONDS, failures, longest=LONGEST_PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
    finally:
        resolver.close()
        await courier.close()


class Courier:
    """Sends to every endpoint in a lane of its own."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        secret: bytes,
        guard: Guard,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._database, self._clock, self._secret, self._guard, self._draw = database, clock, secret, guard, draw
        # Reading the certificates of all authorities takes a while: once for all.
        self.verify: ssl.SSLContext = httpx2.create_ssl_context()
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._lanes: dict[UUID, asyncio.Task[None]] = {}
        # Until when an endpoint rests, and for how long it did.
        self._rests: dict[UUID, tuple[datetime, timedelta]] = {}
        self._closing = False
        self._forget_after: datetime | None = None

    async def turn(self) -> bool:
        """Make messages of the oldest changes, and see that a lane runs wherever one is due; whether there is more."""
        now = self._clock.now()
        async with self._connections, self._database.write() as session:
            await outbox.hold_people(session)
            taken = await outbox.fan_out(session, at_most=CHANGES_AT_ONCE, now=now)
        forgotten = await self._forget(now)
        async with self._connections, self._database.read() as session:
            waiting = await outbox.endpoints_with_work(session, now=now)
        for endpoint_id in waiting:
            if endpoint_id not in self._lanes and not self._rests_at(endpoint_id, now):
                self._lanes[endpoint_id] = asyncio.create_task(self._lane(endpoint_id))
        return taken == CHANGES_AT_ONCE or forgotten == FORGOTTEN_AT_ONCE

    async def settle(self) -> None:
        """Wait until nothing more is due at this instant on any lane."""
        while self._lanes:
            await asyncio.wait(self._lanes.values())

    async def close(self) -> None:
        """Let what is on its way arrive, for a moment; the rest is sent again when its lease has ended."""
        self._closing = True
        if self._lanes:
            await asyncio.wait(self._lanes.values(), timeout=GRACE_SECONDS)
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)

    async def _forget(self, now: datetime) -> int:
        if self._forget_after is not None and now < self._forget_after:
            return 0
        async with self._connections, self._database.write() as session:
            forgotten = await outbox.forget(session, before=now - KEPT, at_most=FORGOTTEN_AT_ONCE)
        if forgotten < FORGOTTEN_AT_ONCE:
            self._forget_after = now + FORGET_EVERY
        return forgotten

    async def _lane(self, endpoint_id: UUID) -> None:
        try:
            async with client_of(self._guard, verify=self.verify) as client:
                while not self._closing and await self._batch(client, endpoint_id):
                    pass
        except Exception as error:  # the last handler of a lane: what it claimed is due again after the lease
            log.error("a lane failed", endpoint_id=endpoint_id, error=type(error).__qualname__, at=places(error))
        finally:
            del self._lanes[endpoint_id]

    async def _batch(self, client: httpx2.AsyncClient, endpoint_id: UUID) -> bool:
        """Send some messages at once and write down what came of them; false when none was due, or all failed.

        No transaction is open while they are sent.
        """
        now = self._clock.now()
        async with self._connections, self._database.write() as session:
            await outbox.commit_without_waiting(session)
            await outbox.hold_people(session)
            claimed = await outbox.claim(session, endpoint_id, at_most=MESSAGES_AT_ONCE, now=now, until=now + LEASE)
        if claimed is None:
            return False
        generations = generations_in_force(claimed.secret_generation, rotated_at=claimed.rotated_at, now=now)
        secrets = [secret_of(self._secret, endpoint_id, generation=each) for each in generations]
        outcomes = await asyncio.gather(
            *(self._attempt(client, message, url=claimed.url, secrets=secrets) for message in claimed.messages)
        )
        if not outcomes:
            return True
        await self._record(endpoint_id, claimed, outcomes)
        return self._keeps_going(endpoint_id, outcomes)

    def _rests_at(self, endpoint_id: UUID, now: datetime) -> bool:
        return endpoint_id in self._rests and now < self._rests[endpoint_id][0]

    def _keeps_going(self, endpoint_id: UUID, outcomes: Sequence[Outcome]) -> bool:
        if any(outcome.error is None for outcome in outcomes):
            self._rests.pop(endpoint_id, None)
            return True
        before = self._rests.get(endpoint_id)
        rest = FIRST_REST if before is None else min(2 * before[1], LONGEST_REST)
        self._rests[endpoint_id] = (self._clock.now() + rest, rest)
        return False

    async def _attempt(self, client: httpx2.AsyncClient, message: Message, *, url: str, secrets: list[str]) -> Outcome:
        try:
            return await send(client, self._guard, message=message, url=url, secrets=secrets, now=self._clock.now())
        except Exception as error:  # the last handler of an attempt: it has an outcome, or it would never end
            log.error("an attempt failed", error=type(error).__qualname__, at=places(error))
            return Outcome(None, "could not be sent; the log of the worker says why")

    async def _record(self, endpoint_id: UUID, claimed: Claimed, outcomes: list[Outcome]) -> None:
        now = self._clock.now()
        rows = [
            self._row(message, outcome, now=now) for message, outcome in zip(claimed.messages, outcomes, strict=True)
        ]
        async with self._connections, self._database.write() as session:
            await outbox.commit_without_waiting(session)
            await outbox.record(session, rows)
            if any(outcome.status_code == GONE for outcome in outcomes):
                await outbox.disable(session, endpoint_id, url=claimed.url, reason="the receiver answered 410 Gone")

    def _row(self, message: Message, outcome: Outcome, *, now: datetime) -> dict[str, Any]:
        delivered = outcome.error is None
        again = (
            None
            if delivered or outcome.status_code == GONE
            else next_attempt(message.attempts, now=now, retry_after=outcome.retry_after, draw=self._draw)
        )
        return {
            "delivery_id": message.delivery_id,
            "attempts": message.attempts,
            "status": "delivered" if delivered else "failed" if again is None else "pending",
            "last_status_code": outcome.status_code,
            "last_error": outcome.error,
            "next_attempt_at": again,
            "delivered_at": now if delivered else None,
        }
