"""What tests stand on: one real PostgreSQL for each test process, one fresh database for each test."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url
from starlette.routing import BaseRoute

from app.clock import FrozenClock
from app.config import Settings
from app.db import migrate
from app.db.embedded import EmbeddedPostgres
from app.main import create_app

ADMIN_KEY = "test-admin-key-that-is-long-enough-for-all"
SECRET = b"a secret that signs nothing of value"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

# Durability is what the e2e tests check, with real processes; here it would only cost time.
UNSAFE_AND_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "512MB",
}
# Making and dropping a database is making and removing hundreds of files: twice as quick where no disk is behind them.
# One server needs about 1 GB of it, and small ones such as a container's 64 MB are left alone.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 * 1024**3
IN_MEMORY = "tessera-tests-"


# What takes longest begins first, so that no worker sits alone with a long file at the end.
LONGEST_FIRST = ("tests/e2e/", "tests/integration/", "tests/api/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole files in the order in which workers are to take them."""
    items.sort(
        key=lambda item: next((at for at, part in enumerate(LONGEST_FIRST) if part in item.nodeid), len(LONGEST_FIRST))
    )


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory where there is enough of it, without what a killed test process left there."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM_BYTES:
        yield otherwise
        return
    for left in MEMORY.glob(f"{IN_MEMORY}*"):
        if not lives(int(left.name.removeprefix(IN_MEMORY).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{IN_MEMORY}{os.getpid()}-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server with a migrated template database."""
    with quick_folder(tmp_path_factory.mktemp("home")) as folder:
        server = EmbeddedPostgres.start(folder / "home", settings=UNSAFE_AND_FAST, sync=False)
        try:
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                connection.execute("create database migrated")
            migrate.upgrade(url_of(server, "migrated"))
            yield server
        finally:
            server.stop()


def url_of(server: EmbeddedPostgres, database: str) -> str:
    return make_url(server.url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database at the newest revision."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name} template migrated strategy file_copy")
        yield url_of(postgres, name)
        connection.execute(f"drop database {name} with (force)")


@dataclass
class Service:
    """The application, a client with an admin key, and the clock it lives by."""

    app: FastAPI
    client: httpx.AsyncClient
    clock: FrozenClock
    database_url: str

    async def push(self, *transactions: dict[str, Any], **envelope: Any) -> dict[str, Any]:
        """Push transactions and expect 200."""
        answer = await self.client.post("/v1/transactions", json={"transactions": transactions, **envelope})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def settings() -> Settings:
    """Override in a module to test with other settings."""
    return Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency="EUR", pool_size=4)


@pytest.fixture(scope="session")
def routes() -> list[BaseRoute]:
    """Routes of an application that serves nobody: they know nothing of it, and whoever asks builds them only once."""
    settings = Settings(_env_file=None, reporting_currency="EUR")
    return create_app(settings, database_url="postgresql+psycopg://nobody@/nowhere", secret=SECRET).routes


@pytest.fixture
async def service(database_url: str, settings: Settings, routes: list[BaseRoute]) -> AsyncIterator[Service]:
    clock = FrozenClock(NOW)
    app = create_app(settings, database_url=database_url, secret=SECRET, clock=clock)
    # What takes 0.2 s of the first request of every application, far more than all else of a test's set-up.
    app.router.routes[:] = routes
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://tessera", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
        ) as client,
    ):
        yield Service(app, client, clock, database_url)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TESSERA_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}: set TESSERA_TEST_DATA")
    return folder
