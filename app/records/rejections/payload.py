"""Showing a refused row, which may be anything at all, inside of valid JSON."""

from typing import Any

import orjson

from app.records.intake.envelope import MAX_DEPTH


def readable(payload: bytes) -> Any:
    """The row as the JSON it is, byte for byte; as text when it is no JSON or nested too deep; null when not kept."""
    if not payload:
        return None
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
    if _brackets_deep(payload) > MAX_DEPTH:
        # JSON readers give up somewhere below; the text is still there to be read.
        return payload.decode()
    return orjson.Fragment(payload)
