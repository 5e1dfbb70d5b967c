"""Bodies are read strictly: valid JSON without surprises, a bounded size, gzip inflated up to a cap."""

import json
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from app.errors import FieldError, InvalidInput, TooLarge, Unreadable, UnsupportedMedia
from app.web.auth import Require

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32


def refuse_hidden_text(value: Any, pointer: str = "", depth: int = 0) -> None:
    """Refuse what JSON allows and PostgreSQL cannot keep (NUL), and nesting deeper than any real record."""
    if depth > MAX_DEPTH:
        raise InvalidInput(
            "The body is nested too deeply",
            errors=[FieldError(pointer, "too_deep", f"at most {MAX_DEPTH} levels are read")],
        )
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidInput(
                "Text with a NUL character cannot be stored",
                errors=[FieldError(pointer, "nul_character", "remove the NUL character (U+0000)")],
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            refuse_hidden_text(key, pointer, depth)
            refuse_hidden_text(item, f"{pointer}/{key}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_hidden_text(item, f"{pointer}/{index}", depth + 1)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(
            "A field stands twice in one object",
            errors=[FieldError(f"/{twice}", "duplicate_field", f"{twice!r} stands twice; which one is meant?")],
        )
    return found


def strict_json(body: bytes) -> Any:
    """Parse JSON, refusing NaN, Infinity, numbers beyond a double, lone surrogates, NUL and repeated fields."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The body is not JSON: {error}") from None
    refuse_hidden_text(value)
    # orjson keeps the last of two equal names; only the standard library tells.
    json.loads(body, object_pairs_hook=_no_repeats)
    return value


async def read_body(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMedia(f"Send application/json, not {media_type or 'a body without a content type'}")
    return await request.body()


class StrictRoute(APIRoute):
    """A route whose JSON body is parsed by us before the framework sees it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        guards = [d.call for d in self.dependant.dependencies if isinstance(d.call, Require)]

        async def strict(request: Request) -> Response:
            # Who may not call is told so before anything of theirs is read.
            for guard in guards:
                await guard(request)
            # The framework takes what Request.json() would have remembered.
            request._json = strict_json(await read_body(request))
            return await handle(request)

        return strict


def inflating(receive: Receive, *, encoding: str, cap: int) -> Receive:
    """A receive that counts what comes in, inflates gzip, and stops at the cap, however small it was packed."""
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not read here; gzip is")
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] != "http.request":
            return message
        body: bytes = message.get("body", b"")
        if unpack is not None:
            body = _inflate(unpack, body, room=cap - taken)
            if not message.get("more_body") and not unpack.eof and taken + len(body) <= cap:
                raise Unreadable("The gzip body ends too early")
        taken += len(body)
        if taken > cap:
            raise TooLarge(f"At most {cap} bytes are read, inflated")
        return {**message, "body": body}

    return bounded


def _inflate(unpack: Any, packed: bytes, *, room: int) -> bytes:
    try:
        # One byte more than there is room for, so that the caller sees the cap was passed.
        inflated: bytes = unpack.decompress(packed, room + 1)
    except zlib.error:
        raise Unreadable("The body says gzip and is not") from None
    return inflated
