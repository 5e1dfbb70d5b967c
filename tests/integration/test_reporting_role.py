"""`tessera reporting-role`: a role for a BI tool reads every view and nothing else, for as long as it is wanted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from app.cli.application import application
from app.cli.failures import CommandFailed, explain
from app.cli.reporting import address
from app.db.embedded import EmbeddedPostgres, access
from tests.conftest import SECRET
from tests.support.processes import seconds_until

PASSWORD = "a password from a vault: with 'quotes\""
RELATIONS = """
    select c.oid::regclass::text as name, n.nspname = 'reporting' and c.relkind = 'v' as is_view,
           has_table_privilege(%(role)s, c.oid, 'select') as reads,
           has_table_privilege(%(role)s, c.oid, 'insert, update, delete, truncate, references, trigger') as writes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""


@dataclass(frozen=True)
class Server:
    """A migrated database of its own, and the url by which its roles may be changed."""

    home: Path
    database_url: str
    admin_url: str

    def admin(self) -> psycopg.Connection:
        return connect(self.admin_url)


def connect(url: str, **given: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, **given)


@pytest.fixture
def server(postgres: EmbeddedPostgres, database_url: str) -> Iterator[Server]:
    with psycopg.connect(postgres.conninfo) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row is not None
    home, database = Path(row[0]).parent, make_url(database_url).database
    admin = make_url(access.administration_url(home)).set(database=database)
    yield Server(home, database_url, admin.render_as_string(hide_password=False))
    # Who drops the database is no superuser, and may not end what a superuser's session is still ending.
    with connect(access.administration_url(home)) as connection:
        there = "select from pg_stat_activity where datname = %s and usename = 'postgres'"
        seconds_until(lambda: connection.execute(there, (database,)).rowcount == 0, within=10)


@pytest.fixture
def name(server: Server) -> Iterator[str]:
    """A role's name, which nobody has after the test."""
    name = f"bi-{uuid4().hex[:8]}"
    yield name
    # The embedded database of the home is where the one test of it makes its role.
    for url in (server.admin_url, access.administration_url(server.home)):
        with connect(url) as connection:
            if connection.execute("select from pg_roles where rolname = %s", (name,)).rowcount:
                connection.execute(SQL("drop owned by {}").format(Identifier(name)))
    with server.admin() as connection:
        connection.execute(SQL("drop role if exists {}").format(Identifier(name)))


Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command in this process, on the database as its administrator."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, url: str | None = server.admin_url, typed: str | None = None) -> Result:
        if url is None:
            monkeypatch.delenv("TESSERA_DATABASE_URL", raising=False)
            monkeypatch.setenv("TESSERA_HOME", str(server.home))
        else:
            monkeypatch.setenv("TESSERA_DATABASE_URL", url)
        monkeypatch.setenv("TESSERA_SECRET", SECRET.decode())
        return CliRunner().invoke(application, ["reporting-role", *words], input=typed)

    return run


def refusal(result: Result) -> CommandFailed:
    assert isinstance(result.exception, Exception), result.output
    found = explain(result.exception)
    assert found is not None, result.exception
    return found


def test_the_role_reads_every_view_and_nothing_else(server: Server, run: Run, name: str) -> None:
    assert run("create", "--name", name).exit_code == 0
    with server.admin() as connection:
        rows = connection.execute(RELATIONS, {"role": name}).fetchall()
        assert sum(is_view for _, is_view, _, _ in rows) >= 15
        assert sum(not is_view for _, is_view, _, _ in rows) > 30
        assert [each for each, is_view, reads, _ in rows if reads != is_view] == []
        assert [each for each, _, _, writes in rows if writes] == []

        connection.execute(SQL("set session authorization {}").format(Identifier(name)))
        for view in (each for each, is_view, _, _ in rows if is_view):
            connection.execute(f"select * from {view}")
        for refused in (
            "select * from public.api_keys",
            "select * from public.customers",
            # Simple views can be written through, by who may.
            "insert into reporting.customers (customer_id) values ('mine')",
            "update reporting.campaigns set name = 'mine'",
            "delete from reporting.events",
            "create table public.mine (id int)",
            "create view reporting.mine as select 1",
            "alter view reporting.customers rename to mine",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(refused)


def test_no_function_lends_the_role_the_rights_of_another(server: Server) -> None:
    query = "select oid::regprocedure from pg_proc where prosecdef and pronamespace::regnamespace::text !~ '^pg_'"
    with server.admin() as connection:
        assert connection.execute(query).fetchall() == []


def test_views_of_later_versions_are_readable_too(server: Server, run: Run, name: str) -> None:
    run("create", "--name", name)
    with connect(server.database_url) as service:
        service.execute("create view reporting.later as select 1 as one")
    with server.admin() as connection:
        connection.execute(SQL("set session authorization {}").format(Identifier(name)))
        assert connection.execute("select one from reporting.later").fetchone() == (1,)


def test_revoking_ends_what_is_still_connected_and_leaves_nothing(server: Server, run: Run, name: str) -> None:
    run("create", "--name", name)
    with server.admin() as connection:
        connection.execute(SQL("set session authorization {}").format(Identifier(name)))
        connection.execute("select * from reporting.customers")
        assert run("revoke", "--name", name).exit_code == 0
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("select * from reporting.customers")
    with server.admin() as connection:
        assert connection.execute("select from pg_roles where rolname = %s", (name,)).rowcount == 0
        written = connection.execute("select action, object, key_id from audit_log order by entry_id").fetchall()
    assert written == [("tessera reporting-role create", name, None), ("tessera reporting-role revoke", name, None)]
    assert refusal(run("revoke", "--name", name)).message == f"there is no role '{name}'"


def test_a_role_that_is_there_is_not_made_twice_and_others_are_never_dropped(
    server: Server, run: Run, name: str
) -> None:
    run("create", "--name", name)
    again = refusal(run("create", "--name", name))
    assert again.message == f"reporting role {name} is there already"
    assert "revoke" in str(again.remedy)
    assert "of another purpose" in refusal(run("create", "--name", "tessera")).message
    assert "left alone" in refusal(run("revoke", "--name", "tessera")).message


def test_a_role_that_was_given_more_is_not_dropped_and_the_reason_named(server: Server, run: Run, name: str) -> None:
    run("create", "--name", name)
    with server.admin() as connection:
        connection.execute(SQL("grant select on events to {}").format(Identifier(name)))
        found = refusal(run("revoke", "--name", name))
        assert "privileges for table events" in found.message
        # All or nothing: it still reads.
        row = connection.execute("select has_table_privilege(%s, 'reporting.events', 'select')", (name,)).fetchone()
    assert row == (True,)


def test_a_database_user_who_may_not_make_roles_is_told_what_helps(server: Server, run: Run, name: str) -> None:
    found = refusal(run("create", "--name", name, url=server.database_url))
    assert found.message == "the database user tessera may not make or drop roles"
    assert 'alter role "tessera" createrole' in str(found.remedy)


def test_a_database_user_who_may_make_roles_and_owns_the_views_needs_no_superuser(
    server: Server, run: Run, name: str
) -> None:
    maker = Identifier(f"maker-{name}")
    with server.admin() as connection:
        connection.execute(SQL("create role {} createrole in role tessera").format(maker))
        # What a session of that user may do; it cannot log in, because nobody let it in.
        as_maker = make_url(server.admin_url).update_query_dict({"options": f"-c role=maker-{name}"})
        url = as_maker.render_as_string(hide_password=False)
        try:
            made = run("create", "--name", name, url=url)
            assert made.exit_code == 0, made.exception
            query = "select has_table_privilege(%s, 'reporting.customers', 'select')"
            assert connection.execute(query, (name,)).fetchone() == (True,)
            revoked = run("revoke", "--name", name, url=url)
            assert revoked.exit_code == 0, revoked.exception
        finally:
            connection.execute(SQL("drop role {}").format(maker))


def test_a_database_that_lets_in_only_some_gets_one_more(server: Server, run: Run, name: str) -> None:
    database = Identifier(str(make_url(server.database_url).database))
    with server.admin() as connection:
        connection.execute(SQL("revoke connect on database {} from public").format(database))
        assert run("create", "--name", name).exit_code == 0
        query = "select has_database_privilege(%s, current_database(), 'connect')"
        assert connection.execute(query, (name,)).fetchone() == (True,)
    assert run("revoke", "--name", name).exit_code == 0


@pytest.mark.parametrize("bad", ["", "BI", "1st", "pg_reader", "public", "a b", 'x"; drop role postgres; --', "x" * 64])
def test_a_name_that_no_role_can_have_is_refused(run: Run, bad: str) -> None:
    found = refusal(run("create", "--name", bad))
    assert (found.exit_code, "cannot be a role's name" in found.message) == (2, True)


@pytest.mark.parametrize("typed", ["", "short\n", "a bell \a in the password\n"])
def test_a_password_that_cannot_be_used_is_refused(run: Run, name: str, typed: str) -> None:
    found = refusal(run("create", "--name", name, "--password-stdin", typed=typed))
    assert (found.exit_code, "12 printable characters" in found.message) == (2, True)


def test_in_the_embedded_database_the_role_is_let_in_through_the_socket_until_revoked(
    server: Server, run: Run, name: str
) -> None:
    made = run("create", "--name", name, "--password-stdin", "--connections", "1", url=None, typed=f"{PASSWORD}\r\n")
    assert made.exit_code == 0, made.output
    assert made.stdout == ""  # whoever brings a password knows it
    url = made.stderr.split("it connects as\n")[1].split()[0]
    assert PASSWORD not in made.stderr
    assert "this socket only" in made.stderr
    with let_in(url, password=PASSWORD) as tool:
        row = tool.execute(
            "select current_user, current_setting('default_transaction_read_only'), "
            "current_setting('statement_timeout'), current_setting('search_path'), current_setting('timezone')"
        ).fetchone()
        assert row == (name, "on", "1min", "reporting", "UTC")
        assert tool.execute("select count(*) from customers").fetchone() == (0,)
        # A session may change its defaults, and not its rights.
        tool.execute("set default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            tool.execute("delete from customers")
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            connect(url, password=PASSWORD)
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            connect(url, password=PASSWORD, dbname="postgres")
    assert run("revoke", "--name", name, url=None).exit_code == 0
    assert (server.home / "postgres" / access.RULES).read_text() == access.rules()
    with pytest.raises(psycopg.OperationalError):
        connect(url, password=PASSWORD)


def let_in(url: str, *, password: str, within: float = 10) -> psycopg.Connection:
    """A connection, once the server has read its access file again, which takes moments."""
    deadline = time.monotonic() + within
    while True:
        try:
            return connect(url, password=password)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_made_password_stands_alone_on_standard_output(run: Run, name: str) -> None:
    made = run("create", "--name", name)
    assert len(made.stdout.strip()) >= 43  # 256 bits
    assert made.stdout.count("\n") == 1
    assert made.stdout.strip() not in made.stderr


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("postgresql+psycopg://svc:secret@db.example:6543/shop", "postgresql://bi:PASSWORD@db.example:6543/shop"),
        (
            "postgresql+psycopg://svc:secret@db.example/?sslmode=require&options=-csearch_path%3Dx",
            "postgresql://bi:PASSWORD@db.example/shop?sslmode=require",
        ),
        (
            "postgresql+psycopg:///shop?host=/run/db&port=5433",
            "postgresql://bi:PASSWORD@/shop?host=%2Frun%2Fdb&port=5433",
        ),
    ],
)
def test_the_address_holds_what_is_known_and_no_secret(ours: str, theirs: str) -> None:
    assert address(ours, "bi", "shop") == theirs
