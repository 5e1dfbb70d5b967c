"""Reporting roles in SQL: what they may read, and what keeps a careless query from harming the service."""

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from app.db.engine import Session, driver

# Told from all other roles of the server by its comment: nothing else is ever dropped.
MARK = "Reads the schema reporting of Tessera; made by `tessera reporting-role`"
SCHEMA = "reporting"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one role may take of the server."""

    connections: int
    statement_timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A name beside what the server knows, and whether our own user may change that.

    user: whom we are connected as. owner: of the schema. may_create: roles at all. may_grant: what the owner owns.
    """

    exists: bool
    is_reporting_role: bool
    user: str
    owner: str
    may_create: bool
    may_grant: bool


async def standing(session: Session, name: str) -> Standing:
    row = await _fetch(
        session,
        SQL(
            """
            select asked.oid is not null,
                   coalesce(shobj_description(asked.oid, 'pg_authid') = {mark}, false),
                   own.rolname, pg_get_userbyid(n.nspowner), own.rolsuper or own.rolcreaterole,
                   pg_has_role(own.oid, n.nspowner, 'usage')
              from pg_roles own
              join pg_namespace n on n.nspname = {schema}
              left join pg_roles asked on asked.rolname = {name}
             where own.rolname = current_user
            """
        ).format(mark=Literal(MARK), schema=Literal(SCHEMA), name=Literal(name)),
    )
    return Standing(*row)


async def names(session: Session) -> list[str]:
    """All reporting roles of the server, in order."""
    query = SQL("select rolname from pg_roles where shobj_description(oid, 'pg_authid') = {} order by rolname")
    cursor = await (await driver(session)).execute(query.format(Literal(MARK)))
    return [name for (name,) in await cursor.fetchall()]


async def create(session: Session, name: str, *, password: str, owner: str, limits: Limits) -> None:
    """Make a role; the password leaves this process only as what it is checked against."""
    connection = await driver(session)
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    made = SQL("create role {} login connection limit {} password {}")
    await connection.execute(made.format(Identifier(name), Literal(limits.connections), Literal(verifier)))
    await _each(connection, name, owner, GRANTS)
    if not await may_connect(session, name):
        grant = SQL("grant connect on database {} to {}")
        await connection.execute(grant.format(Identifier(await database(session)), Identifier(name)))
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{limits.statement_timeout_seconds}s",
        # A snapshot that somebody forgot keeps the server from cleaning up behind the service.
        "idle_in_transaction_session_timeout": "60s",
        "search_path": SCHEMA,
        "timezone": "UTC",
    }
    for setting, value in settings.items():
        change = SQL("alter role {} set {} to {}")
        await connection.execute(change.format(Identifier(name), Identifier(setting), Literal(value)))
    await connection.execute(SQL("comment on role {} is {}").format(Identifier(name), Literal(MARK)))


async def revoke(session: Session, name: str, *, owner: str) -> None:
    """Take everything back and drop the role; whoever is still connected by it reads nothing more."""
    connection = await driver(session)
    back = SQL("revoke connect on database {} from {}")
    await connection.execute(back.format(Identifier(await database(session)), Identifier(name)))
    await _each(connection, name, owner, REVOCATIONS)


async def may_connect(session: Session, name: str) -> bool:
    """Whether it is let into this database: everybody is, unless that was taken from the public.

    Only the owner of a database can grant it; for others the server answers a grant with a mere warning.
    """
    query = SQL("select has_database_privilege({}, current_database(), 'connect')").format(Literal(name))
    return bool((await _fetch(session, query))[0])


async def database(session: Session) -> str:
    return str((await _fetch(session, SQL("select current_database()")))[0])


async def reload_access(session: Session) -> None:
    """Have the server read its access file again; within moments it lets in whom that names."""
    await _fetch(session, SQL("select pg_reload_conf()"))


# Views that later versions add are readable too, without anybody making the role anew.
GRANTS: tuple[LiteralString, ...] = (
    "grant usage on schema {schema} to {role}",
    "grant select on all tables in schema {schema} to {role}",
    "grant execute on all functions in schema {schema} to {role}",
    "alter default privileges for role {owner} in schema {schema} grant select on tables to {role}",
    "alter default privileges for role {owner} in schema {schema} grant execute on functions to {role}",
)
REVOCATIONS: tuple[LiteralString, ...] = (
    "alter default privileges for role {owner} in schema {schema} revoke execute on functions from {role}",
    "alter default privileges for role {owner} in schema {schema} revoke select on tables from {role}",
    "revoke execute on all functions in schema {schema} from {role}",
    "revoke select on all tables in schema {schema} from {role}",
    "revoke usage on schema {schema} from {role}",
    "drop role {role}",
)


async def _each(
    connection: psycopg.AsyncConnection, name: str, owner: str, statements: tuple[LiteralString, ...]
) -> None:
    for statement in statements:
        await connection.execute(
            SQL(statement).format(schema=Identifier(SCHEMA), role=Identifier(name), owner=Identifier(owner))
        )


async def _fetch(session: Session, query: SQL | Composed) -> tuple[Any, ...]:
    cursor = await (await driver(session)).execute(query)
    row: tuple[Any, ...] | None = await cursor.fetchone()
    assert row is not None
    return row
