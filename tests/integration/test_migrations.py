"""The schema goes up, down and up again, and is the one the tables describe."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from app.db import migrate
from app.db.embedded import EmbeddedPostgres
from app.db.revisions import MIGRATIONS, revisions
from app.tables import metadata
from tests.conftest import url_of


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"empty_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield url_of(postgres, name)
        connection.execute(f"drop database {name} with (force)")


def table_names(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_down_and_up_again(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    there = table_names(empty_database)
    assert {table.name for table in metadata.sorted_tables} <= there
    assert any(name.startswith("procrastinate_") for name in there)
    migrate.downgrade(empty_database, revision="base")
    assert table_names(empty_database) == {"alembic_version"}
    migrate.upgrade(empty_database)
    assert table_names(empty_database) == there


def test_every_revision_can_be_left_and_reached_alone(empty_database: str) -> None:
    scripts = list(reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())))
    numbers = [f"{number:04}" for number in range(1, len(scripts) + 1)]
    assert [script.revision for script in scripts] == numbers == revisions()
    for script in scripts:
        migrate.upgrade(empty_database, revision=script.revision)
        migrate.downgrade(empty_database, revision=script.down_revision or "base")
        migrate.upgrade(empty_database, revision=script.revision)


def test_the_migrated_schema_is_the_one_the_tables_describe(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    command.check(migrate.configuration(empty_database))
