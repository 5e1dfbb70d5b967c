"""What is asked of every answer of a test, whatever it is about."""

import json
from typing import Any

import httpx


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


async def be_sound(answer: httpx.Response) -> None:
    """No fault of our own, and JSON that every reader reads: NaN and Infinity are not among it."""
    await answer.aread()
    assert answer.status_code < 500, answer.text
    if "json" in answer.headers.get("content-type", "") and "ndjson" not in answer.headers["content-type"]:
        json.loads(answer.text, parse_constant=refuse_constant)
