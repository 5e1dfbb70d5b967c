"""Log lines as JSON, without personal data: events name ids of ours, routes and counts, never who."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import structlog

# Fields that could hold a person, whoever logs them by mistake.
PERSONAL = frozenset(
    {"customer_id", "email", "name", "phone", "attributes", "properties", "payload", "body", "key", "authorization"}
)


def _redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for field in PERSONAL & event.keys():
        event[field] = "[redacted]"
    return event


def configure(*, as_json: bool, level: str) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    severity = logging.getLevelNamesMapping()[level.upper()]
    if as_json:
        structlog.configure(
            [
                *shared,
                structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str)),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(severity),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            [*shared, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())],
            wrapper_class=structlog.make_filtering_bound_logger(severity),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(level=max(severity, logging.WARNING), handlers=[_Foreign()], force=True)


class _Foreign(logging.Handler):
    """What libraries log, in our form: the first line and the kinds of error, for a traceback may quote a person."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {"error": " from ".join(_kinds(error))} if error else {}
        line = record.getMessage().strip().partition("\n")[0]
        structlog.get_logger().log(record.levelno, line, logger=record.name, **fields)


def _kinds(error: BaseException | None) -> Iterator[str]:
    """The kind of an error and of what caused it, with PostgreSQL's code where there is one."""
    while error is not None:
        state = getattr(error, "sqlstate", None)
        yield f"{type(error).__qualname__} {state}" if state else type(error).__qualname__
        error = error.__cause__ or error.__context__
