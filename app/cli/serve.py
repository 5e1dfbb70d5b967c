"""`tessera serve`: everything that a service needs, started by one command and stopped with it."""

import json
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.child import Orders
from app.cli.failures import CommandFailed, say
from app.cli.supervisor import STOP_SIGNALS, Child, StopSignals, Supervisor

if TYPE_CHECKING:
    from types import FrameType

    from app.config import Settings
    from app.db.embedded import EmbeddedPostgres

WATCH_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
# After a kill -9 the children of the service before us need a moment to notice and let go of the port.
PORT_PATIENCE_SECONDS = 2.0
BACKLOG = 2048
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  read, not bound


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

    signals = StopSignals()
    with ExitStack() as stack, interruptible():
        listener = stack.enter_context(listening(host, port))
        settings = load_settings()
        children = [Child("web", listener=listener) for _ in range(workers)]
        children += [Child("worker")] if worker else []
        for child in children:  # they import while the database comes up
            stack.callback(child.kill)
            child.start()
        orders = stack.enter_context(database(settings))
        signals.listen()
        supervisor = Supervisor(children, signals=signals)
        stack.callback(supervisor.stop)  # before the database, which is needed to stop well
        for child in children:
            child.order(orders)
        supervisor.run(lambda: announce(address(listener, host)))
        say("stopping")
        listener.close()


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
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, taken before anything is started; shared by all web processes, kept while one is replaced."""
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while True:
        try:
            listener = bind(host, port)
            break
        except OSError as error:
            if time.monotonic() > deadline or isinstance(error, socket.gaierror):
                raise CommandFailed(
                    f"cannot listen on {host} port {port}: {error.strerror}",
                    remedy=f"stop what uses it, or choose another: tessera serve --port {port + 1 if port else 8001}",
                ) from error
            time.sleep(0.1)
    with listener:
        yield listener


def bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


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
        if settings.admin_key is None:
            mention_keys(server.url)
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
        say(f"there is no API key yet; make one: {command()} keys create --name me --scope admin")


def command() -> str:
    """How the person at the terminal calls us."""
    called = sys.argv[0]
    on_path = shutil.which("tessera")
    return "tessera" if on_path and Path(on_path).resolve() == Path(called).resolve() else shlex.quote(called)


def address(listener: socket.socket, host: str) -> str:
    shown = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{listener.getsockname()[1]}"


def announce(url: str) -> None:
    """Say where the service is, and whether it can do its work yet."""
    missing = not_ready(url)
    if missing:
        say(f"Tessera serves at {url} but is not ready: {missing}")
    else:
        say(f"Tessera is ready at {url} - docs at {url}/docs")


def not_ready(url: str) -> str | None:
    """What /readyz misses; None when it is ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  our own address, always http
            return None
    except urllib.error.HTTPError as error:
        checks = json.load(error)["checks"]
        return "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
    except OSError as error:
        return f"no answer ({error})"
