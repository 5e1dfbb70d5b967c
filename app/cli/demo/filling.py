"""What happens in the demo while the service runs: make the key, load the shop once, tell what to try."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.demo import notes as notebook
from app.cli.demo.client import Api, KeyRefused, Stopping
from app.cli.demo.guide import guide
from app.cli.demo.notes import Notes
from app.cli.demo.progress import step
from app.cli.failures import CommandFailed, WrongUsage, say

if TYPE_CHECKING:
    from app.cli.orders import Orders
    from app.db.engine import Session

SCOPES = ("ingest", "customers:read", "segments:read", "segments:write", "kpis:read", "roi:read", "roi:write")
TWO_YEARS = timedelta(days=730)


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


def prepare(home: Path, notes: Notes, *, api: Api, database_url: str, is_new: bool) -> str:
    """Bring the service to where the demo is complete, from wherever it stands. Returns what to tell."""
    from app.cli.demo import load
    from app.cli.demo.predictions import predict

    empty = is_empty(database_url)
    if is_new and not empty:
        raise CommandFailed(
            "this installation already holds customers, and the demo's are simulated: the two would mix",
            remedy="give the demo a home of its own: TESSERA_HOME=.tessera-demo tessera demo",
        )
    if empty:
        notes = notes.emptied()  # of an older demo whose database was removed, the key is all that is left
    notebook.write(home, notes)
    api, notes = admitted(home, notes, api=api, database_url=database_url)
    if not notes.is_full:
        from app.cli.demo.experiments import tell
        from app.cli.demo.shop import simulate

        with step("shop simulated"):
            shop = simulate(notes.seed, customers=notes.customers, start=notes.start, end=notes.end)
        rows = load.fill(api, shop)
        tell(api, shop)
        notes = notes.full(rows)
    segmentation, found = load.segment(api)
    predict(api)
    notebook.write(home, notes)
    return guide(api, notes, segmentation=segmentation, found=found)


def is_empty(database_url: str) -> bool:
    """Whether nobody was ever pushed. Asked of the database: a stranger's service is given no key to ask it."""
    from app.cli.installation import in_transaction

    async def look(session: "Session") -> bool:
        from app.records.customers import repository

        return not await repository.page(session, limit=1, after=None)

    return in_transaction(database_url, look, writes=False)


def admitted(home: Path, notes: Notes, *, api: Api, database_url: str) -> tuple[Api, Notes]:
    """A client that the service lets in: with the key noted, or a new one when that was revoked."""
    from app.web.keys import new_key

    let_in(database_url, notes.key)
    try:
        api.get("/v1/customers?limit=1")
    except KeyRefused:
        say("the demo's key was revoked; making a new one")
        notes = notes.with_key(new_key())
        notebook.write(home, notes)
        let_in(database_url, notes.key)
        api = api.with_key(notes.key)
    return api, notes


def let_in(database_url: str, key: str) -> None:
    """Make the key known to the service, unless it is."""
    from app.cli.installation import in_transaction

    async def accept(session: "Session") -> None:
        from app.operations.audit import repository as audit
        from app.operations.keys import repository
        from app.web.keys import fingerprint, hint

        await repository.create_unless_known(
            session, name="demo", digest=fingerprint(key), hint=hint(key), scopes=sorted(SCOPES)
        )
        await audit.record(session, action="tessera demo", subject=hint(key))

    in_transaction(database_url, accept, writes=True)


class Background:
    """Work beside the service. When it fails, or the service is not to stay, the service is asked to stop."""

    def __init__(self, work: Callable[["Orders"], None], *, stays: bool) -> None:
        self._work, self._stays = work, stays
        self._done: Future[None] | None = None

    def start(self, orders: "Orders") -> None:
        pool = ThreadPoolExecutor(max_workers=1)
        self._done = pool.submit(self._work, orders)
        self._done.add_done_callback(self._over)
        pool.shutdown(wait=False)

    def end(self) -> None:
        """Wait until the work has ended or noticed that it is to stop; raise what made it fail."""
        if self._done is not None:
            with suppress(Stopping):
                self._done.result()

    def _over(self, done: Future[None]) -> None:
        error = done.exception()
        if not isinstance(error, Stopping) and (error is not None or not self._stays):
            os.kill(os.getpid(), signal.SIGTERM)
