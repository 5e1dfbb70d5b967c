"""Telling a database that is away from a statement that is wrong."""

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


def is_database_away(error: BaseException) -> bool:
    """Whether the database could not be reached, was stopped, or took too long: worth trying again."""
    if isinstance(error, PoolTimeout | ConnectionError):
        return True
    # What the driver says itself comes as it is; SQLAlchemy wraps what it had the driver do.
    if isinstance(error, DBAPIError | psycopg.Error):
        state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
        # 57014 cancelled by timeout, 57P0x shut down, 08 connection, 53 out of resources, 40 retry,
        # 55P03 lock not available; no state at all: the connection broke.
        retryable = state is None or state[:2] in ("08", "53", "57", "40") or state == "55P03"
        kinds = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
        return isinstance(error, kinds) and retryable
    return False
