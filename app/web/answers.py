"""Answers as bytes: one JSON encoder, entity tags, accepted jobs."""

import hashlib
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request, Response


def json_bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


# What OpenAPI says of the other answer that `tagged` may give.
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The caller has this version already (`If-None-Match`)."}
}


class JSONAnswer(Response):
    """A JSON answer by the one encoder."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json_bytes(content)


def tagged(request: Request, content: Any) -> Response:
    """A single resource with its entity tag; 304 without a body for a caller that has it already."""
    body = json_bytes(content)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = {item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


def accepted(job_id: UUID, content: dict[str, Any]) -> JSONAnswer:
    """202: the work goes on as a job."""
    return JSONAnswer(content, status_code=202, headers={"Location": f"/v1/jobs/{job_id}"})
