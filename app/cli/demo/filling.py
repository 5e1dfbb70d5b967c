"""What happens in the demo while the service runs: make the key, load the shop once, tell what to try."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.demo import notes as notebook
from app.cli.demo.client import Api, KeyRefused, Stopping
from app.cli.demo.guide import guide
from app.cli.demo.notes import Notes
from app.cli.demo.progress import step
from app.cli.failures import WrongUsage, say

if TYPE_CHECKING:
    from app.cli.orders import Orders
    from app.db.engine import Session

SCOPES = ("ingest", "customers:read", "segments:read", "segments:write", "kpis:read", "roi:read", "roi:write")
TWO_YEARS = timedelta(days=730)
END_SECONDS = 10.0


def noted(home: Path, *, seed: int | None, customers: int | None) -> Notes | None:
    """The demo that is in this home already. Raises WrongUsage when another one is asked for."""
    found = notebook.read(home)
    if found is not None:
        for name, asked, kept in (("seed", seed, found.seed), ("customers", customers, found.customers)):
            if asked not in (None, kept):
                raise WrongUsage(
                    f"{home} holds the demo with --{name} {kept}, not {asked}",
                    remedy=f"leave --{name} out, or set TESSERA_HOME to another folder",
                )
    return found


def begun(*, seed: int | None, customers: int | None) -> Notes:
    """A new demo whose history ends with yesterday."""
    from app.cli.demo.shop import DEFAULT_CUSTOMERS, DEFAULT_SEED
    from app.web.keys import new_key

    today: date = datetime.now(UTC).date()
    return Notes(
        key=new_key(),
        seed=DEFAULT_SEED if seed is None else seed,
        customers=DEFAULT_CUSTOMERS if customers is None else customers,
        start=today - TWO_YEARS,
        end=today,
    )


def let_in(database_url: str, key: str) -> None:
    """Make the demo's key known to the service, if it is not."""
    from app.cli.installation import in_transaction

    async def accept(session: "Session") -> None:
        from app.operations.keys import repository
        from app.web.keys import fingerprint, hint

        await repository.create_unless_known(
            session, name="demo", digest=fingerprint(key), hint=hint(key), scopes=sorted(SCOPES)
        )

    in_transaction(database_url, accept, writes=True)


def prepare(home: Path, notes: Notes, api: Api, *, database_url: str, is_new: bool) -> str:
    """Bring the service to where the demo is complete, from wherever it stands. Returns what to tell."""
    from app.cli.demo import load

    api, notes = _admitted(api, notes, database_url=database_url)
    if is_new:
        load.require_empty(api)
    elif load.is_empty(api):
        notes = notes.emptied()  # the database was removed and made anew
    notebook.write(home, notes)
    if not notes.is_full:
        from app.cli.demo.shop import simulate

        with step("shop simulated"):
            shop = simulate(notes.seed, customers=notes.customers, start=notes.start, end=notes.end)
        notes = notes.full(load.fill(api, shop))
    segmentation = load.segment(api)
    notebook.write(home, notes)
    return guide(api, notes, segmentation)


def _admitted(api: Api, notes: Notes, *, database_url: str) -> tuple[Api, Notes]:
    """A client that the service lets in: with the key noted, or a new one when that was revoked."""
    from app.web.keys import new_key

    let_in(database_url, notes.key)
    try:
        api.get("/v1/customers?limit=1")
    except KeyRefused:
        say("the demo's key was revoked; making a new one")
        notes = notes.with_key(new_key())
        let_in(database_url, notes.key)
        api = api.with_key(notes.key)
    return api, notes


class Background:
    """Work beside the service. If it fails, or when the service is not to stay, the service is asked to stop."""

    def __init__(self, work: Callable[["Orders"], None], *, stays: bool) -> None:
        self._work, self._stays = work, stays
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def start(self, orders: "Orders") -> None:
        self._thread = threading.Thread(target=self._run, args=(orders,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait until the work has noticed that it is to stop; raise what made it fail."""
        if self._thread is not None:
            self._thread.join(END_SECONDS)
        if self._error is not None:
            raise self._error

    def _run(self, orders: "Orders") -> None:
        try:
            self._work(orders)
        except Stopping:
            return
        except Exception as error:  # handed to the main thread, which raises it
            self._error = error
        if self._error is not None or not self._stays:
            os.kill(os.getpid(), signal.SIGTERM)
