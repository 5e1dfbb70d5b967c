"""The OpenAPI document: what FastAPI finds, and what it cannot know (keys, scopes, problems)."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.web.auth import Require, authenticate
from app.web.keys import SCOPES
from app.web.paths import flattened
from app.web.problems import Problem

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer tsr_..."},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as user name, for tracking clients."},
}


def scope_of(route: APIRoute) -> str | None:
    """The scope a route needs, 'any' for any valid key, null for a public route."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    for call in calls:
        if isinstance(call, Require):
            return call.scope
    return "any" if authenticate in calls else None


def api_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of the API, in the order in which they are tried."""
    yield from (route for route in flattened(app.routes) if isinstance(route, APIRoute))


def document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = SCHEMES
    for route in api_routes(app):
        scope = scope_of(route)
        for method in route.methods or ():
            operation = schema["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None and scope is not None:
                _describe(operation, scope)
    app.openapi_schema = schema
    return schema


def _describe(operation: dict[str, Any], scope: str) -> None:
    operation["security"] = SECURITY
    operation["x-required-scope"] = scope
    meaning = f" ({SCOPES[scope]})" if scope in SCOPES else ""
    needs = "Needs any valid key." if scope == "any" else f"Needs the scope `{scope}`{meaning}."
    operation["description"] = "\n\n".join(filter(None, [operation.get("description"), needs]))
