"""One table from error class to HTTP status, and one body shape for all of them (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from app import errors
from app.db.failures import is_database_away
from app.web.paths import flattened, identifier

MEDIA_TYPE = "application/problem+json"
PROBLEM_TYPE = "urn:tessera:problem:"
RETRY_AFTER_SECONDS = 2


class MethodNotAllowed(errors.TesseraError):
    code = "method_not_allowed"
    title = "This path does not take this method"


STATUS: Mapping[type[errors.TesseraError], int] = {
    errors.InvalidInput: 422,
    errors.Unreadable: 400,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.Fault: 500,
}


class ProblemField(BaseModel):
    """One thing wrong with the input."""

    pointer: str = Field(description="JSON pointer into the body, or the name of the parameter or header.")
    code: str = Field(description="Stable code of what is wrong.")
    detail: str = Field(description="The same for a person.")


class Problem(BaseModel):
    """Every error of this service, on every route (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable code to branch on.")
    request_id: str
    errors: list[ProblemField]


def status_of(error: errors.TesseraError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the errors a route may answer."""
    titles = {status: kind.title for kind, status in STATUS.items()}
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": titles.get(status, "Error"), "content": {MEDIA_TYPE: schema}} for status in statuses
    }


def problem(request: Request, error: errors.TesseraError, *, headers: Mapping[str, str] | None = None) -> Response:
    status = status_of(error)
    body = {
        "type": f"{PROBLEM_TYPE}{error.code}",
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "instance": identifier(request.url.path),
        "code": error.code,
        "request_id": request.scope.get("request_id", ""),
        "errors": [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors],
    }
    extra = dict(headers or {})
    if status == 401 or status == 403:
        challenge = ', error="insufficient_scope"' if status == 403 else ""
        extra["WWW-Authenticate"] = f'Bearer realm="tessera"{challenge}'
    if status in (429, 503):
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, status, media_type=MEDIA_TYPE, headers=extra)


def pointer_of(location: tuple[Any, ...]) -> str:
    """FastAPI's location of a fault as a JSON pointer; parameters and headers go by their name."""
    if location and location[0] == "body":
        parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location[1:])
        return "".join(f"/{part}" for part in parts)
    return str(location[-1]) if location else ""


async def _on_tessera_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.TesseraError)
    return problem(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        errors.FieldError(pointer_of(item["loc"]), str(item["type"]), str(item["msg"])) for item in error.errors()
    ]
    where = ", ".join(sorted({field.pointer or "the body" for field in fields})[:5])
    return problem(request, errors.InvalidInput(f"Not usable: {where}", errors=fields))


# What the framework itself refuses.
_FRAMEWORK: Mapping[int, type[errors.TesseraError]] = {
    400: errors.Unreadable,
    404: errors.NotFound,
    405: MethodNotAllowed,
    413: errors.TooLarge,
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _FRAMEWORK.get(error.status_code, errors.Fault)
    detail = "There is nothing at this path" if kind is errors.NotFound else None
    headers = dict(error.headers or {})
    if kind is MethodNotAllowed:
        headers["Allow"] = ", ".join(_methods_at(request))
    return problem(request, kind(detail), headers=headers)


def _methods_at(request: Request) -> list[str]:
    """Every method that some route takes at this path; the framework knows only the route it tried last."""
    routes = [route for route in flattened(request.app.routes) if isinstance(route, Route)]
    matching = [route for route in routes if route.path_regex.match(request.url.path)]
    return sorted({method for route in matching for method in route.methods or ()})


async def _on_database_error(request: Request, error: Exception) -> Response:
    if not is_database_away(error):
        raise error
    return problem(request, errors.Unavailable("The database is not answering; try again"))


def install(app: FastAPI) -> None:
    app.add_exception_handler(errors.TesseraError, _on_tessera_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeout, _on_database_error)
