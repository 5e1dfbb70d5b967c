"""`tessera serve`: everything that a service needs, started by one command and stopped with it."""

import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failures import say
from app.cli.listener import address, listening
from app.cli.orders import Orders
from app.cli.supervisor import STOP_SIGNALS, Child, StopSignals, Supervisor

if TYPE_CHECKING:
    from types import FrameType

    from app.config import Settings
    from app.db.embedded import EmbeddedPostgres

WATCH_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0


class Stopped(Exception):
    """A signal asked to stop before there was anything to serve."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer requests.")] = 1,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run the background worker too.")] = True,
) -> None:
    """Serve the API, with the embedded database and the background worker unless told otherwise.

    Ctrl-C or SIGTERM stops everything that it started.
    """
    from app.cli.installation import load_settings

    with interruptible(), listening(host, port) as listener, shared_metrics(workers) as environment:
        children = [Child("web", listener=listener, environment=environment) for _ in range(workers)]
        children += [Child("worker")] if worker else []
        settings = load_settings()

        def tell(orders: Orders) -> None:
            announce(address(listener, host))
            if settings.database_url is None and settings.admin_key is None:
                mention_keys(orders["database_url"])

        run(settings, children, on_ready=tell)


def run(
    settings: "Settings",
    children: Sequence[Child],
    *,
    on_ready: Callable[[Orders], None],
    signals: StopSignals | None = None,
) -> None:
    """Serve with these children until a signal asks to stop, then stop them and the database.

    `on_ready` is called once, in this thread, when every web process answers.
    """
    heard = signals or StopSignals()
    with ExitStack() as stack:
        for child in children:
            stack.callback(child.kill)
            if child.role == "web":
                child.start()  # it imports while the database comes up
        orders = stack.enter_context(database(settings))
        heard.listen()
        supervisor = Supervisor(children, signals=heard)
        stack.callback(supervisor.stop)  # before the database, which is needed to stop well
        for child in children:
            child.order(orders)
        supervisor.run(lambda: on_ready(orders))
        say("stopping")


@contextmanager
def shared_metrics(workers: int) -> Iterator[dict[str, str]]:
    """Several web processes count in files of one folder, so that /metrics is the same whoever answers."""
    if workers == 1:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="tessera-metrics-") as folder:
        yield {"PROMETHEUS_MULTIPROC_DIR": folder}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end what goes on, in order and well, until somebody listens to signals properly."""

    def stop(_number: int, _frame: "FrameType | None") -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a second one must not disturb the tidying up
        raise Stopped

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except Stopped:
        say("stopped")


@contextmanager
def database(settings: "Settings") -> Iterator[Orders]:
    """The database of this installation: the embedded one, kept alive while the block runs, or the external one."""
    from app.cli.installation import external_url, require_usable, secret_of

    if (external := external_url(settings)) is not None:
        look_at_external(external)
        yield Orders(database_url=external, secret=secret_of(settings).decode())
        return
    from app.db.embedded import EmbeddedPostgres

    server = EmbeddedPostgres.start(settings.home, on_progress=say)
    over = threading.Event()
    keeper = threading.Thread(target=keep_alive, args=(server, over), daemon=True)
    try:
        require_usable(server.url, migrates=True)
        keeper.start()
        yield Orders(database_url=server.url, secret=secret_of(settings).decode())
    finally:
        over.set()
        server.stop()


def look_at_external(url: str) -> None:
    """Refuse a PostgreSQL that is too old; one that is away or not migrated yet may still become ready."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.cli.installation import inspect, require_version, schema_behind

    try:
        state = inspect(url)
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", error)).strip()
        say(f"warning: the database cannot be reached yet: {cause}\n  /readyz answers 503 until it can")
        return
    require_version(state)
    if not state.is_current:
        say(f"warning: {schema_behind(state)}: run `tessera migrate`\n  /readyz answers 503 until then")


def keep_alive(server: "EmbeddedPostgres", over: threading.Event) -> None:
    """Bring PostgreSQL back whenever it dies, until the service is over."""
    from app.db.embedded import EmbeddedPostgresError

    pause = WATCH_SECONDS
    while not over.wait(pause):
        try:
            if not server.alive() and not over.is_set():
                say("PostgreSQL ended; starting it again")
                server.restart_if_dead(on_progress=say)
                say("PostgreSQL is back")
            pause = WATCH_SECONDS
        except EmbeddedPostgresError as error:
            if over.is_set():
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            say(f"error: {error.message}\n  {error.remedy}\n  trying again in {pause:g} s")


def mention_keys(url: str) -> None:
    from app.cli.keys import any_usable

    if not any_usable(url):
        say(f"There is no API key yet. Make one: {command()} keys create --name me --scope admin")


def command() -> str:
    """How the person at the terminal calls us."""
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m app.cli"
    on_path = shutil.which("tessera")
    return "tessera" if on_path and Path(on_path).resolve() == Path(called).resolve() else shlex.quote(called)


def announce(url: str) -> None:
    """Say where the service is, and whether it can do its work yet."""
    missing = not_ready(url)
    if missing:
        say(f"Tessera serves at {url} but is not ready: {missing}")
    else:
        say(f"Tessera is ready at {url} - docs at {url}/docs")


def not_ready(url: str) -> str | None:
    """What /readyz misses; None when it is ready."""
    import json
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  our own address, always http
            return None
    except urllib.error.HTTPError as error:
        checks = json.load(error)["checks"]
        return "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
    except OSError as error:
        return f"no answer ({error})"
