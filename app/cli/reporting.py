"""`tessera reporting-role`: lets a BI tool into the database to read the reporting views, and out again."""

import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.failures import CommandFailed, WrongUsage, say

if TYPE_CHECKING:
    from app.cli.installation import Installation
    from app.db.engine import Session
    from app.operations.reporting.roles import Standing

Result = TypeVar("Result")

# What PostgreSQL keeps of a name, in characters that need no quotes in an address or an access file.
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
# PostgreSQL keeps these to itself.
RESERVED = re.compile(r"pg_.*|public|none|all|current_role|current_user|session_user")
SHORTEST_PASSWORD = 12

reporting_role = typer.Typer(
    help="Make and revoke database roles for BI tools, which read the reporting views and nothing else.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Option(help="The role's name, such as bi.")]


@reporting_role.command()
def create(
    name: Name,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="How many it may have open at once.")] = 10,
    statement_timeout: Annotated[
        int, typer.Option(min=1, max=86_400, metavar="SECONDS", help="A query that runs longer is cancelled.")
    ] = 60,
) -> None:
    """Make a role. A password made here is printed, alone, on standard output, this once."""
    from app.cli.installation import opened
    from app.operations.audit import repository as audit
    from app.operations.reporting import roles

    require_name(name)
    password = read_password() if password_stdin else secrets.token_urlsafe(32)
    limits = roles.Limits(connections=connections, statement_timeout_seconds=statement_timeout)

    async def make(session: "Session") -> str:
        found = await roles.standing(session, name)
        require_absent(found, name)
        require_power(found)
        await roles.create(session, name, password=password, owner=found.owner, limits=limits)
        database = await roles.database(session)
        if not await roles.may_connect(session, name):
            raise CommandFailed(
                f"database {database} lets only some roles connect, and {found.user} may not add one",
                remedy="run this command with the TESSERA_DATABASE_URL of the database's owner or an administrator",
            )
        await audit.record(session, action="tessera reporting-role create", subject=name)
        return database

    with opened() as installation:
        database = _administered(installation, make)
        if not password_stdin:
            typer.echo(password)
        say(f"role {name} reads schema reporting; with its password it connects as")
        say(f"  {address(installation.database_url, name, database)}")
        if installation.settings.database_url is None:
            say("the embedded database can be reached through this socket only, by its own user, while it runs:")
            say("docs/reporting.md says how to give BI tools a PostgreSQL they can reach")


@reporting_role.command()
def revoke(name: Name) -> None:
    """Drop a role that was made here; what is still connected by it reads nothing more."""
    from psycopg.errors import DependentObjectsStillExist

    from app.cli.installation import opened
    from app.operations.audit import repository as audit
    from app.operations.reporting import roles

    async def end(session: "Session") -> None:
        found = await roles.standing(session, name)
        if not found.is_reporting_role:
            raise CommandFailed(
                f"role {name!r} was not made by `tessera reporting-role create`; it is left alone"
                if found.exists
                else f"there is no role {name!r}"
            )
        require_power(found)
        await roles.revoke(session, name, owner=found.owner)
        await audit.record(session, action="tessera reporting-role revoke", subject=name)

    try:
        with opened() as installation:
            _administered(installation, end)
    except DependentObjectsStillExist as error:
        raise CommandFailed(
            f"role {name} cannot be dropped: {error.diag.message_detail or error.diag.message_primary}",
            remedy="it was given more than this command gives, or belongs to another database too: take that back first",
        ) from error
    say(f"role {name} is revoked")


def require_name(name: str) -> None:
    if NAME.fullmatch(name) is None or RESERVED.fullmatch(name):
        raise WrongUsage(
            f"--name {name!r} cannot be a role's name",
            remedy="take up to 63 of a-z, 0-9, _ and -, not a digit or - first, and none that PostgreSQL reserves",
        )


def read_password() -> str:
    """The first line of standard input; what no terminal or driver could repeat is refused."""
    password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if len(password) < SHORTEST_PASSWORD or not password.isprintable():
        raise WrongUsage(
            f"the password on standard input must be a line of {SHORTEST_PASSWORD} printable characters or more",
            remedy="or leave --password-stdin out, and one is made",
        )
    return password


def require_absent(found: "Standing", name: str) -> None:
    if found.is_reporting_role:
        raise CommandFailed(
            f"reporting role {name} is there already",
            remedy=f"for a new password, run `tessera reporting-role revoke --name {name}` first",
        )
    if found.exists:
        raise CommandFailed(f"the server has a role {name} of another purpose", remedy="choose another --name")


def require_power(found: "Standing") -> None:
    if not found.may_create:
        raise CommandFailed(
            f"the database user {found.user} may not make or drop roles",
            remedy=f'as an administrator, run: alter role "{found.user}" createrole; or run this command once with the '
            "TESSERA_DATABASE_URL of an administrator",
        )
    if not found.may_grant:
        raise CommandFailed(
            f"schema reporting belongs to {found.owner}, and {found.user} may not give away what is theirs",
            remedy=f'as an administrator, run: grant "{found.owner}" to "{found.user}"',
        )


def address(url: str, name: str, database: str) -> str:
    """The url of a connection, as far as it is known: the host is the one we use ourselves, the password is not shown."""
    from sqlalchemy import URL, make_url

    ours = make_url(url)
    kept = {key: value for key, value in ours.query.items() if key in ("host", "port", "sslmode")}
    own = URL.create("postgresql", name, "PASSWORD", ours.host, ours.port, database, kept)
    return own.render_as_string(hide_password=False)


def _administered(installation: "Installation", work: Callable[["Session"], Awaitable[Result]]) -> Result:
    """Do it as who may: in the embedded database its superuser, who then lets in exactly the roles there are."""
    from app.cli.installation import in_transaction

    if installation.settings.database_url is not None:
        return in_transaction(installation.database_url, work, writes=True)
    from app.db.embedded import access
    from app.operations.reporting import roles

    home = installation.settings.home

    async def with_access(session: "Session") -> Result:
        result = await work(session)
        access.let_in(home, await roles.names(session))
        return result

    url = access.administration_url(home)
    result = in_transaction(url, with_access, writes=True)
    in_transaction(url, roles.reload_access, writes=False)
    return result
