"""Showing a refused row, which may be anything at all, inside of valid JSON."""

from typing import Any

import orjson

from app.records.intake.envelope import flaw_of_document


def readable(payload: bytes) -> Any:
    """The row as the JSON it is, byte for byte; as text when it is none that readers can hold; null when not kept."""
    if not payload:
        return None
    return payload.decode(errors="replace") if flaw_of_document(payload) else orjson.Fragment(payload)
