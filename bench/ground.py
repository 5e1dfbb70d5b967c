"""What the measurements stand on: a durable PostgreSQL, service processes, interleaved rounds, honest medians."""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg
from sqlalchemy import make_url

from app.db import migrate
from app.db.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
ADMIN_KEY = "bench-admin-key-that-is-long-enough-for-it"
START_WITHIN_SECONDS = 30


@dataclass
class Series:
    """What was measured in each round, by name, in units per second (or another rate: larger is better)."""

    rates: dict[str, list[float]] = field(default_factory=dict)

    def timed(self, name: str, amount: float, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments)
        self.rates.setdefault(name, []).append(amount / (time.perf_counter() - start))
        return result

    def ratio(self, name: str, against: str) -> list[float]:
        """Round by round, so that a machine that slows down slows both."""
        return [one / other for one, other in zip(self.rates[name], self.rates[against], strict=True)]


@dataclass(frozen=True)
class Goal:
    """A ratio that was promised."""

    name: str
    against: str
    at_least: float
    aim: float | None = None


def report(title: str, series: Series, goals: Sequence[Goal], *, unit: str) -> None:
    rounds = min(len(rates) for rates in series.rates.values())
    print(f"\n## {title}  (medians of {rounds} rounds; min to max in brackets)")
    for name, rates in series.rates.items():
        print(f"  {name:58s} {statistics.median(rates):12,.0f} {unit}  [{min(rates):,.0f} to {max(rates):,.0f}]")
    for goal in goals:
        ratios = series.ratio(goal.name, goal.against)
        found = statistics.median(ratios)
        verdict = "reached" if found >= goal.at_least else "MISSED"
        aim = f", aim {goal.aim}" if goal.aim else ""
        print(
            f"  {goal.name} / {goal.against}: {found:.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"
            f" (at least {goal.at_least}{aim}) {verdict}"
        )


@contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL as `tessera serve` starts it: durable."""
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as home:
        running = EmbeddedPostgres.start(Path(home))
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def database(running: EmbeddedPostgres, name: str) -> Iterator[str]:
    """A fresh migrated database; its SQLAlchemy URL."""
    with psycopg.connect(running.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = make_url(running.url).set(database=name).render_as_string(hide_password=False)
    migrate.upgrade(url)
    try:
        yield url
    finally:
        with psycopg.connect(running.conninfo, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


def connect(running: EmbeddedPostgres, name: str) -> psycopg.Connection:
    return psycopg.connect(running.conninfo, dbname=name, autocommit=True)


class Client:
    """One HTTP connection, as cheap as a client can be: what is measured is the service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {ADMIN_KEY}"}

    def request(self, method: str, path: str, body: bytes | None = None) -> Any:
        return orjson.loads(self.fetch(method, path, body))

    def fetch(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status in (200, 202), content[:500]
        return content


@contextmanager
def service(url: str, application: str = "bench.applications:tessera") -> Iterator[int]:
    """One service process on a free port of this machine; its port."""
    port = _free_port()
    environment = {**os.environ, "BENCH_DATABASE_URL": url, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "uvicorn", "--factory", application, "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended while starting"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the service did not start")
