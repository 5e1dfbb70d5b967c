"""`tessera keys`: makes, lists and revokes API keys without one; every change goes to the audit log."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from app.cli.failures import WrongUsage, say

if TYPE_CHECKING:
    from app.db.engine import Session

Result = TypeVar("Result")

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_500)
PAGE = 1000
COLUMNS = ("key_id", "name", "hint", "scopes", "created_at", "expires_at", "state")

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for, such as webshop.")],
    scope: Annotated[list[str], typer.Option(metavar="S", help="What it may do; repeat for several. admin: all.")],
    expires_in: Annotated[str | None, typer.Option(metavar="90d", help="Life time: 30m, 12h, 90d, 8w.")] = None,
) -> None:
    """Make a key and print it, alone, on standard output. It is shown this once."""
    from app.clock import SystemClock

    life = duration(expires_in) if expires_in else None
    require_scopes(scope)
    if not 1 <= len(name) <= 200:
        raise WrongUsage("--name takes 1 to 200 characters")

    async def make(session: "Session") -> tuple[str, UUID]:
        from app.operations.audit import repository as audit
        from app.operations.keys import service

        now = SystemClock().now()
        key, record = await service.create(
            session, name=name, scopes=scope, expires_at=now + life if life else None, now=now
        )
        await audit.record(session, action="tessera keys create", subject=str(record["key_id"]))
        return key, record["key_id"]

    key, key_id = _write(make)
    typer.echo(key)
    say(f"key {key_id}, scopes {', '.join(sorted(set(scope)))}: it is not shown again")


@keys.command("list")
def list_keys() -> None:
    """List all keys, newest first, revoked ones included."""
    from app.clock import SystemClock, format_instant

    now = SystemClock().now()
    rows: list[tuple[str, ...]] = []
    for key in _read(_all_keys):
        shown = [
            format_instant(key[name].replace(microsecond=0)) if key[name] else ""
            for name in ("created_at", "expires_at")
        ]
        rows.append(
            (str(key["key_id"]), key["name"], key["hint"], ",".join(key["scopes"]), *shown, state_of(key, now=now))
        )
    for line in table(COLUMNS, rows):
        typer.echo(line)


@keys.command()
def revoke(key_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `keys list` shows it.")]) -> None:
    """Revoke a key for ever; running services notice within a second."""
    from app.clock import SystemClock

    async def end(session: "Session") -> None:
        from app.operations.audit import repository as audit
        from app.operations.keys import service

        await service.revoke(session, key_id, now=SystemClock().now())
        await audit.record(session, action="tessera keys revoke", subject=str(key_id))

    _write(end)
    say(f"key {key_id} is revoked")


def duration(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,8})([mhdw])", text)
    found = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None
    if found is None or found > LONGEST:
        raise WrongUsage(
            f"--expires-in {text!r} is not a life time up to 100 years", remedy="write it as 30m, 12h, 90d or 8w"
        )
    return found


def require_scopes(scopes: list[str]) -> None:
    from app.web.keys import SCOPES

    if unknown := sorted(set(scopes) - set(SCOPES)):
        width = max(map(len, SCOPES))
        known = "\n".join(f"  {scope:<{width}}  {meaning}" for scope, meaning in SCOPES.items())
        raise WrongUsage(f"unknown scope {', '.join(unknown)}", remedy=f"known are:\n{known}")


def state_of(key: dict[str, Any], *, now: datetime) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    return "expired" if key["expires_at"] is not None and key["expires_at"] <= now else "active"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as what they hold, so that a pipe sees the same as a terminal."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]


def any_usable(url: str) -> bool:
    """Whether any key would be let in."""
    from app.cli.installation import in_transaction
    from app.clock import SystemClock

    now = SystemClock().now()
    return any(state_of(key, now=now) == "active" for key in in_transaction(url, _all_keys, writes=False))


async def _all_keys(session: "Session") -> list[dict[str, Any]]:
    from app.operations.keys import repository

    found: list[dict[str, Any]] = []
    after = None
    while True:
        rows = await repository.page(session, limit=PAGE, after=after)
        found += rows[:PAGE]
        if len(rows) <= PAGE:
            return found
        after = (found[-1]["created_at"], found[-1]["key_id"])


def _read(work: Callable[["Session"], Awaitable[Result]]) -> Result:
    from app.cli.installation import in_transaction, opened

    with opened() as installation:
        return in_transaction(installation.database_url, work, writes=False)


def _write(work: Callable[["Session"], Awaitable[Result]]) -> Result:
    from app.cli.installation import in_transaction, opened

    with opened() as installation:
        return in_transaction(installation.database_url, work, writes=True)
