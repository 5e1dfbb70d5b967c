"""Runs revisions one transaction each, one migrator at a time, never waiting long for a lock."""

from alembic import context
from sqlalchemy import create_engine, text

from app.tables import metadata

# Arbitrary but fixed: two services that start together migrate one after the other.
MIGRATION_LOCK = 7_355_608_001


def include_object(_object: object, name: str | None, _kind: str, _reflected: bool, _compared: object) -> bool:
    """The queue's tables belong to the queue's library."""
    return not (name or "").startswith("procrastinate_")


def run() -> None:
    engine = create_engine(context.config.attributes["url"], connect_args={"options": "-c timezone=UTC"})
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text("set lock_timeout = '5s'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            compare_type=True,
            compare_server_default=False,
            include_object=include_object,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("select pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
    engine.dispose()


run()
