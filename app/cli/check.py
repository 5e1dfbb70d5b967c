"""`tessera check`: names what is wrong with the set-up, and the command that mends it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failures import FAILED, CommandFailed, explain

if TYPE_CHECKING:
    from app.config import Settings
    from app.db.embedded.home import Home

MB = 1024**2
# Below this the write-ahead log of one busy hour no longer fits.
LEAST_FREE_BYTES = 1024 * MB
CONNECT_SECONDS = 5
MARGIN = 18


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, and how to mend it when that is wrong."""

    name: str
    found: str
    remedy: str | None = None
    is_wrong: bool = False


def check(
    host: Annotated[str, typer.Option(help="Address that the service is to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the service is to listen on.")] = 8000,
) -> None:
    """Look at the set-up and say what is wrong, with the command that mends it."""
    wrong = 0
    for finding in findings(host, port):
        typer.echo(f"{'WRONG' if finding.is_wrong else 'ok':<6} {finding.name:<10} {indented(finding.found)}")
        if finding.is_wrong:
            wrong += 1
            typer.echo(f"{'':<{MARGIN}}-> {indented(finding.remedy or '')}")
    if wrong:
        typer.echo(f"{wrong} thing{'s' if wrong > 1 else ''} to mend")
        raise typer.Exit(FAILED)


def indented(text: str) -> str:
    return f"\n{'':<{MARGIN}}".join(line.strip() for line in text.splitlines())


def findings(host: str, port: int) -> Iterator[Finding]:
    from app.cli.installation import load_settings

    try:
        settings = load_settings()
    except Exception as error:
        yield explained("settings", error)
        return
    written = f" and {Path('.env').resolve()}" if Path(".env").exists() else ""
    yield Finding("settings", f"read from the environment{written}")
    if settings.database_url is None:
        yield from embedded(settings)
    else:
        yield tried("database", lambda: external(settings))
    yield tried("port", lambda: listening(host, port))


def tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, look())
    except Exception as error:
        return explained(name, error)


def explained(name: str, error: Exception) -> Finding:
    found = explain(error)
    if found is None:
        raise error
    return Finding(name, found.message, found.remedy or "see docs/deployment.md", is_wrong=True)


def embedded(settings: "Settings") -> Iterator[Finding]:
    from app.db.embedded.home import Home

    yield tried("home", lambda: home_usable(settings.home))
    home = Home.at(settings.home)
    if not home.path.is_dir():
        return
    yield tried("disk", lambda: room(home.path))
    yield tried("postgres", lambda: program(home))
    yield tried("secret", lambda: secret(settings))
    yield tried("database", lambda: running(settings))


def home_usable(path: Path) -> str:
    """Makes the folder when it is not there, as `tessera serve` would."""
    from app.db.embedded.home import Home
    from app.db.embedded.server import clear_errors

    with clear_errors(path):
        home = Home.create(path)
        tempfile.TemporaryFile(dir=home.path).close()
    return f"{home.path} can be written"


def room(path: Path) -> str:
    free = shutil.disk_usage(path).free
    if free < LEAST_FREE_BYTES:
        raise CommandFailed(
            f"only {free // MB} MB are free for {path}",
            remedy="make room, or set TESSERA_HOME to a folder on another disk",
        )
    return f"{free // MB:,} MB free"


def program(home: "Home") -> str:
    """Runs the server program as the user that it will be run as: that user must be able to reach it."""
    import pwd
    import time

    from app.db.embedded import cluster
    from app.db.embedded.server import clear_errors

    with clear_errors(home.path), tempfile.TemporaryDirectory(dir=home.path, prefix=cluster.STAGE) as folder:
        server, account = cluster.binaries(home) / "postgres", home.account()
        if account:
            os.chown(folder, account.uid, account.gid)
        deadline = time.monotonic() + CONNECT_SECONDS
        cluster.run_to_end([str(server), "-V"], home=home, folder=Path(folder), deadline=deadline)
    user = pwd.getpwuid(account.uid if account else os.geteuid()).pw_name
    return f"{server}, run as user {user}"


def secret(settings: "Settings") -> str:
    from app.cli.installation import secret_file, secret_of

    if settings.secret is not None:
        return "given by TESSERA_SECRET"
    if not secret_file(settings).exists():
        return f"will be made in {secret_file(settings)} when first needed"
    secret_of(settings)
    return f"in {secret_file(settings)}"


def running(settings: "Settings") -> str:
    from app.cli.installation import inspect, schema_behind
    from app.db.embedded import find_running

    url = find_running(settings.home)
    if url is None:
        return "embedded, not running: `tessera serve` starts it"
    state = inspect(url)
    if not state.is_current:
        raise CommandFailed(schema_behind(state), remedy="tessera migrate")
    return f"embedded, running, PostgreSQL {state.version // 10_000}, schema at revision {state.revision}"


def external(settings: "Settings") -> str:
    from app.cli.installation import external_url, inspect, require_version, schema_behind

    url = external_url(settings)
    assert url is not None
    state = inspect(url)
    require_version(state)
    if not state.is_current:
        raise CommandFailed(schema_behind(state), remedy="tessera migrate")
    return f"PostgreSQL {state.version // 10_000}, schema at revision {state.revision}"


def listening(host: str, port: int) -> str:
    from app.cli.listener import bind, explained_refusal

    try:
        bind(host, port).close()
    except OSError as error:
        if is_tessera(host, port):
            return f"a Tessera answers at {host} port {port}"
        raise explained_refusal(error, host=host, port=port) from error
    return f"{host} port {port} is free"


def is_tessera(host: str, port: int) -> bool:
    import urllib.request

    shown = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/healthz", timeout=CONNECT_SECONDS) as answer:
            return bool(answer.read(100) == b'{"status":"ok"}')
    except OSError:
        return False
