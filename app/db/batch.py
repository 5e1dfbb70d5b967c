"""Several statements in one round trip and one wait: what a small transaction costs is waiting, not work."""

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.waiting import Ready, Wait

from app.db.arrays import BinaryArray
from app.db.engine import PREPARED, Session, driver

Parameter = str | int | float | datetime | timedelta | BinaryArray | None
Rows = list[tuple[Any, ...]]

_ORDINARY = (None, psycopg.IsolationLevel.READ_COMMITTED)
# Their numbers in PostgreSQL's catalogue.
_TIMESTAMPTZ, _INTERVAL = 1184, 1186
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement with $1, $2, ... for its parameters, prepared once per connection.

    Numbers and words go as text, so that their types are those that the statement needs; arrays in binary.
    """

    text: str


Call = tuple[Statement, Sequence[Parameter]]


async def run(session: Session, *calls: Call) -> list[Rows]:
    """Run statements one after the other, each seeing what those before it did, and give the rows of each.

    They are sent together: none can depend on what another answers. If one fails, those after it are not run.
    For sessions that write.
    """
    connection = await driver(session)
    assert connection.isolation_level in _ORDINARY, "what is begun here is ordinary"
    assert not connection.read_only, "what is begun here writes"
    prepared: dict[Statement, bytes] = session.info.setdefault(PREPARED, {})
    fresh: dict[Statement, bytes] = {}
    pgconn = connection.pgconn
    async with connection.lock:
        pgconn.enter_pipeline_mode()
        try:
            opens = pgconn.transaction_status == pq.TransactionStatus.IDLE
            if opens:
                pgconn.send_query_params(b"BEGIN", None)
            skipped = int(opens)
            for statement, parameters in calls:
                if statement not in prepared and statement not in fresh:
                    fresh[statement] = prepare(pgconn, statement, parameters)
            for statement, parameters in calls:
                send(pgconn, prepared.get(statement) or fresh[statement], parameters)
            pgconn.pipeline_sync()
            results = await connection.wait(_exchange(pgconn))
        finally:
            pgconn.exit_pipeline_mode()
    failed = next((each for each in results if each.status == pq.ExecStatus.FATAL_ERROR), None)
    if failed is not None:
        # Whatever is prepared may be gone with the failure; names are never used twice.
        prepared.clear()
        raise error_from_result(failed)
    prepared.update(fresh)
    return [_rows(connection, result) for result in results[skipped + len(fresh) :]]


def prepare(pgconn: pq.abc.PGconn, statement: Statement, parameters: Sequence[Parameter]) -> bytes:
    name = b"tessera_%d" % next(_numbers)
    pgconn.send_prepare(name, statement.text.encode(), [_type(each) for each in parameters])
    return name


def _type(parameter: Parameter) -> int:
    """The type that is told to the server; 0: the one that the statement needs there."""
    if isinstance(parameter, BinaryArray):
        return parameter.oid
    if isinstance(parameter, datetime):
        return _TIMESTAMPTZ
    return _INTERVAL if isinstance(parameter, timedelta) else 0


def send(pgconn: pq.abc.PGconn, name: bytes, parameters: Sequence[Parameter]) -> None:
    values: list[bytes | None] = []
    formats = []
    for each in parameters:
        if isinstance(each, BinaryArray):
            values.append(each.content)
            formats.append(pq.Format.BINARY)
        else:
            values.append(None if each is None else _encoded(each))
            formats.append(pq.Format.TEXT)
    pgconn.send_query_prepared(name, values, formats, pq.Format.BINARY)


def _encoded(parameter: str | float | datetime | timedelta) -> bytes:
    if isinstance(parameter, str):
        return parameter.encode()
    if isinstance(parameter, datetime):
        return parameter.isoformat().encode()
    if isinstance(parameter, timedelta):
        return b"%d days %d seconds %d microseconds" % (parameter.days, parameter.seconds, parameter.microseconds)
    return str(parameter).encode()


def _exchange(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, list[pq.abc.PGresult]]:
    """Send what is queued and take all the answers up to the last."""
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[pq.abc.PGresult] = []
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def _rows(connection: psycopg.AsyncConnection, result: pq.abc.PGresult) -> Rows:
    if not result.ntuples:
        return []
    transformer = Transformer(connection)
    transformer.set_pgresult(result)
    make: Callable[[Sequence[Any]], tuple[Any, ...]] = tuple
    return transformer.load_rows(0, result.ntuples, make)
