"""Ingestion under kill -9: what was acknowledged is there, no batch is there by half, and sending all again is a no-op.

A service is killed at seeded random moments while clients push: the process that the user started, the process
that answers, and PostgreSQL itself. Clients send again whatever they got no answer for.
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.db.embedded import find_running
from tests.support.processes import START_SECONDS, ServiceProcess
from tests.support.records import transaction

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
if sys.platform != "linux":
    pytest.skip("processes are watched through /proc", allow_module_level=True)

# The issue asks for 20 moments; another seed kills at others.
SERVICE_KILLS = int(os.environ.get("TESSERA_TEST_KILLS", "20"))
POSTGRES_KILLS = max(1, SERVICE_KILLS // 4)
SEED = int(os.environ.get("TESSERA_TEST_SEED", "20261101"))
CLIENTS, ROWS = 2, 500
# A batch takes some 20 to 50 ms: the kill falls anywhere into one of the first few after a start.
LONGEST_RUN_SECONDS = 0.3


def batch(number: int) -> list[dict[str, Any]]:
    return [
        transaction(f"{number}/{row}", customer_id=f"C-{row % 50}", amount=f"{1 + (number * ROWS + row) % 999}.50")
        for row in range(ROWS)
    ]


def minor(number: int) -> int:
    """What a batch adds up to, in cents."""
    return sum(100 * (1 + (number * ROWS + row) % 999) + 50 for row in range(ROWS))


@dataclass
class Shop:
    """A client that pushes one batch after the other, each until it is acknowledged."""

    service: Callable[[], ServiceProcess]
    numbers: Iterator[int]
    over: threading.Event
    acknowledged: list[int] = field(default_factory=list)
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self) -> None:
        while not self.over.is_set():
            number = next(self.numbers)
            body = json.dumps({"transactions": batch(number)})
            while not self.push(number, body):
                time.sleep(0.02)

    def push(self, number: int, body: str) -> bool:
        try:
            with self.service().client() as client:
                answer = client.post("/v1/transactions", content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            self.unanswered += 1
            return False
        if answer.status_code == 200:
            self.acknowledged.append(number)
            found = answer.json()
            # All new, or all there already because only the answer was lost: never a part.
            if (found["created"], found["duplicates"]) not in ((ROWS, 0), (0, ROWS)):
                self.wrong.append(f"batch {number}: {answer.text}")
        elif answer.status_code != 503:
            self.wrong.append(f"batch {number}: {answer.status_code} {answer.text}")
        return answer.status_code == 200


def stored(home: Path) -> dict[int, tuple[int, int]]:
    """Rows and sum of what is stored, by batch."""
    url = find_running(home)
    assert url
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        rows = connection.execute(
            "select split_part(transaction_id, '/', 1)::int, count(*), sum(amount_minor) from transactions group by 1"
        )
        return {number: (rows_there, int(total)) for number, rows_there, total in rows}


def test_kill_9_loses_no_acknowledged_row_and_leaves_no_half_batch() -> None:
    with tempfile.TemporaryDirectory(prefix="tessera-", dir="/tmp") as folder:
        victim = Victim(ServiceProcess(Path(folder) / "home", "--no-worker").wait_ready())
        try:
            check(victim.service, pushed_under_fire(victim))
        finally:
            victim.service.finish()


@dataclass
class Victim:
    """The service that is killed, and what takes its place."""

    service: ServiceProcess

    def kill(self, kind: str) -> None:
        if kind == "service":
            old = self.service
            old.kill()
            self.service = ServiceProcess(old.home, "--no-worker", port=old.port)
            old.finish()
            self.service.wait_ready()
            return
        victims = self.service.children("web") if kind == "web" else [self.service.postgres()]
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)


def pushed_under_fire(victim: Victim) -> list[Shop]:
    chance = random.Random(SEED)
    kills = ["service", "web"] * (SERVICE_KILLS // 2) + ["postgres"] * POSTGRES_KILLS
    chance.shuffle(kills)
    numbers, over = count(), threading.Event()
    shops = [Shop(lambda: victim.service, numbers, over) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=shop.run, daemon=True) for shop in shops]
    for thread in threads:
        thread.start()
    for kind in kills:
        wait_for_progress(victim, shops)
        time.sleep(chance.uniform(0, LONGEST_RUN_SECONDS))
        victim.kill(kind)
    over.set()
    for thread in threads:
        thread.join(START_SECONDS)
        assert not thread.is_alive(), "a batch was never acknowledged"
    return shops


def wait_for_progress(victim: Victim, shops: list[Shop]) -> None:
    def done() -> int:
        return sum(len(shop.acknowledged) for shop in shops)

    # More than what may have been under way at the last kill: it serves again.
    enough, began = done() + CLIENTS + 1, time.monotonic()
    while done() < enough:
        assert time.monotonic() - began < START_SECONDS, "\n".join(victim.service.said)
        time.sleep(0.01)


def check(service: ServiceProcess, shops: list[Shop]) -> None:
    assert [line for shop in shops for line in shop.wrong] == []
    # Some kill must have hit a request under way, or the test has shown nothing.
    assert sum(shop.unanswered for shop in shops) > SERVICE_KILLS / 2
    acknowledged = sorted(number for shop in shops for number in shop.acknowledged)
    expected = {number: (ROWS, minor(number)) for number in acknowledged}
    assert stored(service.home) == expected
    with service.client() as client:
        for number in acknowledged:
            again = client.post("/v1/transactions", json={"transactions": batch(number)}).json()
            assert (again["created"], again["updated"], again["duplicates"]) == (0, 0, ROWS)
    assert stored(service.home) == expected
