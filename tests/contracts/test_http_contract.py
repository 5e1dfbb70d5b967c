"""What every route promises: a scope, one error shape, a whole description."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from app import errors
from app.web import problems
from app.web.keys import SCOPES
from app.web.openapi import api_routes, document, scope_of
from tests.conftest import Service

pytestmark = pytest.mark.anyio

PUBLIC = {"/healthz", "/readyz", "/metrics"}
SNAPSHOT = Path(__file__).with_name("openapi.json")
PROBLEM_FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


def filled(route: APIRoute) -> str:
    path = route.path_format
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", "00000000-0000-0000-0000-000000000000")
    return path.replace("{kind}", "transactions")


async def test_every_route_declares_its_scope(service: Service) -> None:
    for route in api_routes(service.app):
        scope = scope_of(route)
        if route.path in PUBLIC:
            assert scope is None
        else:
            assert scope in {*SCOPES, "any"}, f"{route.path} needs a scope"


async def test_without_a_key_every_route_answers_401_and_a_problem(service: Service) -> None:
    checked = 0
    for route in api_routes(service.app):
        if route.path in PUBLIC:
            continue
        for method in route.methods or ():
            answer = await service.client.request(method, filled(route), headers={"Authorization": "Bearer wrong"})
            assert answer.status_code == 401, f"{method} {route.path}: {answer.status_code}"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert set(answer.json()) == PROBLEM_FIELDS
            checked += 1
    assert checked > 20


async def test_a_key_without_the_scope_is_told_which_one_is_missing(service: Service) -> None:
    for route in api_routes(service.app):
        scope = scope_of(route)
        if scope in (None, "any"):
            continue
        other = "kpis:read" if scope != "kpis:read" else "ingest"
        made = await service.client.post("/v1/keys", json={"name": "other", "scopes": [other]})
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        for method in route.methods or ():
            answer = await service.client.request(method, filled(route), headers=headers)
            assert answer.status_code == 403, f"{method} {route.path}: {answer.status_code}"
            assert answer.json()["code"] == "missing_scope"
            assert scope in answer.json()["detail"]


def leaves(kind: type[errors.TesseraError]) -> list[type[errors.TesseraError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return [kind, *below]


def test_every_error_has_a_status_a_code_of_its_own_and_a_title() -> None:
    kinds = leaves(errors.TesseraError)[1:]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert 400 <= problems.status_of(kind()) < 600
        assert kind.title


async def operations(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    paths = document(service.app)["paths"]
    return [(path, method, operation) for path, methods in paths.items() for method, operation in methods.items()]


async def test_every_operation_is_described_whole(service: Service) -> None:
    seen = set()
    for path, method, operation in await operations(service):
        where = f"{method} {path}"
        assert operation.get("summary"), where
        assert operation.get("tags"), where
        assert operation["operationId"] not in seen, where
        seen.add(operation["operationId"])
        if path not in PUBLIC:
            assert operation["x-required-scope"], where
            assert {"401", "403", "422", "503"} <= set(operation["responses"]), where
            problem = operation["responses"]["422"]["content"]
            assert list(problem) == ["application/problem+json"], where


async def test_every_body_has_an_example(service: Service) -> None:
    for path, method, operation in await operations(service):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content.get("schema", {})
            if "$ref" in schema:
                name = schema["$ref"].rsplit("/", 1)[1]
                schema = document(service.app)["components"]["schemas"][name]
            raw = schema.get("type") == "string" and schema.get("format") == "binary"
            assert raw or "examples" in content or "example" in content or "examples" in schema, f"{method} {path}"


async def test_the_openapi_document_is_the_one_that_was_reviewed(service: Service) -> None:
    """Change the snapshot on purpose: TESSERA_TEST_SNAPSHOT=write, and read the difference."""
    found = json.dumps(document(service.app), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("TESSERA_TEST_SNAPSHOT") == "write":
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text(), "the API changed: review the difference, then write the snapshot anew"
