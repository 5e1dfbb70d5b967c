"""The outermost layer of every request: its id, its bounds, its deadline, its log line, its metrics."""

import asyncio
import re
import secrets
import time
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.failures import is_database_away
from app.errors import Fault, TesseraError, TooLarge, Unavailable, places
from app.web.body import MAX_BODY_BYTES, inflating
from app.web.paths import decoded_path
from app.web.problems import problem

REQUESTS = Counter("tessera_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "tessera_http_request_seconds",
    "Time from the first byte of a request to the last of its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
# Uploads that are kept as they come and read later; they bound themselves.
STREAMED = "/v1/imports/"

log = structlog.get_logger("tessera.http")


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


class Edge:
    """Pure ASGI, one object for all: a middleware each would cost more than the work they do."""

    def __init__(self, app: ASGIApp, *, deadline_seconds: float) -> None:
        self.app = app
        self.deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        scope["request_id"] = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        if b"%2" in scope["raw_path"]:
            scope["path"] = decoded_path(scope["raw_path"])
        exchange = _Exchange(scope, send, time.perf_counter())
        streamed = scope["path"].startswith(STREAMED)
        timer = None if streamed else self._deadline(exchange)
        try:
            await self.app(scope, receive if streamed else self._bounded(scope, receive), exchange.send)
        except Exception as error:  # the last handler: whatever was not foreseen becomes a 500 with an id
            await exchange.answer(self._unforeseen(scope, error))
        finally:
            if timer is not None:
                timer.cancel()
            exchange.record()

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            return _refusing(TooLarge(f"At most {MAX_BODY_BYTES} bytes are read"))
        encoding = _header(scope, b"content-encoding").strip().lower()
        return inflating(receive, encoding=encoding, cap=MAX_BODY_BYTES)

    def _deadline(self, exchange: "_Exchange") -> asyncio.TimerHandle:
        """Answer 503 when time is up, without waiting for what hangs: a hung database also hangs its cancelling."""
        task = asyncio.current_task()
        assert task is not None, "a request runs in a task"
        loop = asyncio.get_running_loop()

        def expire() -> None:
            if not exchange.started:
                exchange.expiry = loop.create_task(
                    exchange.answer(Unavailable(f"No answer within {self.deadline_seconds:g} seconds"))
                )
                task.cancel()

        return loop.call_later(self.deadline_seconds, expire)

    def _unforeseen(self, scope: Scope, error: Exception) -> TesseraError:
        if isinstance(error, TesseraError):
            return error
        if is_database_away(error):
            return Unavailable("The database is not answering; try again")
        log.error("request failed", request_id=scope["request_id"], error=type(error).__qualname__, at=places(error))
        return Fault()


def _refusing(error: TesseraError) -> Receive:
    async def refuse() -> Message:
        raise error

    return refuse


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_scope", "_send", "_start", "closed", "expiry", "started", "status")

    def __init__(self, scope: Scope, send: Send, start: float) -> None:
        self._scope, self._send, self._start = scope, send, start
        self.started = self.closed = False
        self.status = 499
        self.expiry: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        if self.closed:
            return
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._scope["request_id"].encode())]
        await self._send(message)

    async def answer(self, error: TesseraError) -> None:
        """Answer with a problem, unless an answer has begun; nothing is sent after it."""
        if not self.started:
            await problem(Request(self._scope), error)(self._scope, _nothing, self.send)
        self.closed = True

    def record(self) -> None:
        route: Any = self._scope.get("route")
        template = getattr(route, "path", None) or "unmatched"
        method = self._scope["method"] if template != "unmatched" else "other"
        seconds = time.perf_counter() - self._start
        answered, took = _figures(method, template, self.status)
        answered.inc()
        took.observe(seconds)
        log.info(
            "request",
            request_id=self._scope["request_id"],
            method=method,
            route=template,
            status=self.status,
            ms=round(seconds * 1000, 2),
        )


@lru_cache(maxsize=4_096)
def _figures(method: str, template: str, status: int) -> tuple[Counter, Histogram]:
    """The figures of one kind of answer: looking them up by labels costs more than counting."""
    return REQUESTS.labels(method, template, status), SECONDS.labels(method, template)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
