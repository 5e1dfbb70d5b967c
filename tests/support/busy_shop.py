"""A service with many customers, workers beside it that can be killed, and clients that never pause."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from subprocess import Popen
from typing import Any

import httpx
import psycopg

from app.db.embedded import find_running
from app.modelling.segments.evaluation import AT_ONCE
from tests.support.processes import DEFAULTS, ServiceProcess, seconds_until, tessera
from tests.support.records import transaction

# A refresh commits range by range: these are a whole range and a part of one.
CUSTOMERS = AT_ONCE + AT_ONCE // 10
# Both the most rows of a push and the most rows that are assigned or looked up at once.
ROWS = 10_000
SMALL_PUSH = 20
# A job of a dead worker is taken over 8 to 13 s later; then it is done again, on a machine that may be busy.
OVER_WITHIN_SECONDS = 180

Job = dict[str, Any]


@dataclass
class Bought:
    """What a customer has bought so far, as the test pushed it."""

    purchases: int
    cents: int
    last: datetime


@dataclass
class Books:
    """The customers of the test, and what their features must be."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    bought: dict[str, Bought] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def purchase(self, customer: int, *, cents: int, days_ago: float) -> dict[str, Any]:
        """One more purchase, written down."""
        customer_id, at = f"C-{customer:05}", self.began - timedelta(days=days_ago)
        known = self.bought.setdefault(customer_id, Bought(0, 0, at))
        known.purchases, known.cents, known.last = known.purchases + 1, known.cents + cents, max(known.last, at)
        return transaction(
            f"T-{next(self.numbers)}",
            customer_id=customer_id,
            occurred_at=at.isoformat(),
            amount=f"{cents // 100}.{cents % 100:02}",
            currency="USD",
        )

    def first(self, customers: range) -> list[dict[str, Any]]:
        """One to three purchases of each; the last one half a day off a change of its whole days."""
        return [
            self.purchase(each, cents=500 + each * 37 % 9_000 * (1 + each % 3), days_ago=0.5 + each % 300 + 5 * earlier)
            for each in customers
            for earlier in range(1 + each % 3)
        ]

    def rows(self) -> dict[str, dict[str, float]]:
        """Every customer as the rows that assign takes."""
        now = datetime.now(UTC)
        return {
            customer_id: {
                "purchase_count": each.purchases,
                "total_spend": each.cents / 100,
                "days_since_last_purchase": (now - each.last) // timedelta(days=1),
            }
            for customer_id, each in self.bought.items()
        }


@dataclass
class World:
    """A service without a worker of its own, the workers beside it, and two segmentations that are active."""

    service: ServiceProcess
    books: Books
    workers: list["Popen[str]"] = field(default_factory=list)
    segmentations: dict[str, str] = field(default_factory=dict)

    def start_worker(self) -> "Popen[str]":
        self.workers.append(tessera("worker", home=self.service.home, **DEFAULTS))
        return self.workers[-1]

    def end_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
            worker.communicate(timeout=OVER_WITHIN_SECONDS)
        self.workers.clear()

    @contextmanager
    def database(self) -> Iterator["psycopg.Connection[Any]"]:
        url = find_running(self.service.home)
        assert url
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
            yield connection

    def push(self, client: httpx.Client, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), ROWS):
            answer = client.post("/v1/transactions", json={"transactions": rows[start : start + ROWS]})
            assert answer.status_code == 200, answer.text

    def start(self, client: httpx.Client, name: str, work: str, **params: int) -> str:
        """Start work on a segmentation; where its job is."""
        answer = client.post(f"/v1/segmentations/{self.segmentations[name]}/{work}", params=params)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def over(self, client: httpx.Client, location: str) -> Job:
        """The job at its end."""
        seen: list[Job] = []

        def is_over() -> bool:
            for worker in self.workers:
                assert worker.poll() is None, f"a worker ended by itself: {worker.communicate()}"
            seen.append(client.get(location).json())
            return seen[-1]["status"] not in ("queued", "running")

        seconds_until(is_over, within=OVER_WITHIN_SECONDS)
        return seen[-1]

    def done(self, client: httpx.Client, location: str) -> dict[str, Any]:
        """The result of a job that has to succeed."""
        job = self.over(client, location)
        assert job["status"] == "succeeded", job
        return dict(job["result"])

    def active(self, client: httpx.Client) -> int:
        """Which version of k-means serves."""
        return int(client.get(f"/v1/segmentations/{self.segmentations['kmeans']}").json()["version"])

    def settle(self) -> None:
        """Wait until nobody waits to be evaluated."""
        with self.database() as database:
            query = "select not exists (select from dirty_customers)"
            seconds_until(lambda: database.execute(query).fetchone() == (True,), within=OVER_WITHIN_SECONDS)


@dataclass
class Traffic:
    """Clients that call without a pause until told to stop; every status that they were answered, by what they did."""

    world: World
    stop: threading.Event = field(default_factory=threading.Event)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def look_up(self, client: httpx.Client, turn: int) -> httpx.Response:
        return client.get(f"/v1/customers/C-{turn * 991 % CUSTOMERS:05}/segments")

    def look_up_many(self, client: httpx.Client, turn: int) -> httpx.Response:
        wanted = [f"C-{(turn + 97 * each) % CUSTOMERS:05}" for each in range(200)]
        answer = client.post("/v1/segments/lookup", json={"customer_ids": wanted})
        found = [own for each in answer.json()["data"] for own in each["memberships"]]
        versions = {own["version"] for own in found if own["segmentation_id"] == self.world.segmentations["kmeans"]}
        if len(versions) != 1 or len(found) != 2 * len(wanted):
            self.wrong.append(f"half of an activation was seen: versions {versions}, {len(found)} memberships")
        return answer

    def list_members(self, client: httpx.Client, turn: int) -> httpx.Response:
        shown = client.get(f"/v1/segmentations/{self.world.segmentations['kmeans']}")
        if shown.status_code != 200:
            return shown
        segments = shown.json()["segments"]
        return client.get(f"/v1/segments/{segments[turn % len(segments)]['segment_id']}/members", params={"limit": 500})

    def push(self, client: httpx.Client, turn: int) -> httpx.Response:
        first = turn * SMALL_PUSH
        rows = [
            self.world.books.purchase(each % CUSTOMERS, cents=1_000 + 7 * each % 5_000, days_ago=0.5)
            for each in range(first, first + SMALL_PUSH)
        ]
        return client.post("/v1/transactions", json={"transactions": rows})

    def run(self, name: str, call: Callable[[httpx.Client, int], httpx.Response]) -> None:
        answered = self.statuses.setdefault(name, [])
        try:
            with self.world.service.client() as client:
                for turn in count():
                    if self.stop.is_set():
                        return
                    answered.append(call(client, turn).status_code)
        except Exception as error:  # a thread's own end would go unseen
            self.wrong.append(f"{name}: {error!r}")

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        calls = (self.look_up, self.look_up_many, self.list_members, self.push)
        threads = [threading.Thread(target=self.run, args=(call.__name__, call), daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(OVER_WITHIN_SECONDS)
