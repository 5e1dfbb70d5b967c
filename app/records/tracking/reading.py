"""From a body to its messages: one that is spoilt costs no other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import FieldError, InvalidInput, Unreadable
from app.records.intake.envelope import field_error, refuse_repeated, refuse_too_many
from app.records.intake.outcome import Refusal
from app.records.tracking.schemas import Message, RawBatch

_BATCH = msgspec.json.Decoder(RawBatch)
_MESSAGE = msgspec.json.Decoder(Message)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as it was sent; base is its JSON pointer in the body."""

    index: int
    base: str
    raw: bytes

    def refused(self, code: str, field: str, detail: str) -> Refusal:
        return Refusal(self.index, code, f"{self.base}{field and '/' + field}", detail, self.raw, _named_in(self.raw))


def read_batch(body: bytes) -> list[Sent]:
    """The messages of a batch. Raises Unreadable, InvalidInput or TooLarge when the envelope itself is wrong."""
    refuse_repeated(body, "batch")
    try:
        raws: Sequence[bytes] = [bytes(raw) for raw in _BATCH.decode(body).batch]
    except msgspec.ValidationError as error:
        raise InvalidInput("The envelope is wrong", errors=[field_error(error, "")]) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raws = _leniently(body)
    refuse_too_many("batch", len(raws))
    return [Sent(index, f"/batch/{index}", raw) for index, raw in enumerate(raws)]


def _leniently(body: bytes) -> list[bytes]:
    """Python's clients write NaN, Infinity and lone surrogates, which no JSON has: only their messages are spoilt."""
    try:
        top = json.loads(body)
        messages = top.get("batch") if isinstance(top, dict) else None
        if isinstance(messages, list):
            return [json.dumps(message).encode() for message in messages]
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"The body is not JSON: {error}") from None
    detail = "must be an object with a list of messages under batch"
    raise InvalidInput("The envelope is wrong", errors=[FieldError("/batch", "invalid_type", detail)])


def read_single(body: bytes) -> list[Sent]:
    """The body as one message. Raises Unreadable or InvalidInput."""
    try:
        top = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise InvalidInput("The message is wrong", errors=[field_error(error, "")]) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"The body is not JSON: {error}") from None
    del top
    return [Sent(0, "", body)]


def read(sent: Sent) -> Message | Refusal:
    """One message from its own JSON bytes."""
    try:
        return _MESSAGE.decode(sent.raw)
    except msgspec.ValidationError as error:
        found = field_error(error, "")
        return sent.refused(found.code, found.pointer.removeprefix("/"), found.detail)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return sent.refused("unreadable_row", "", f"not valid JSON: {error}")


def _named_in(raw: bytes) -> str | None:
    """Whom a refused message names, so that erasure reaches it; null when it names nobody."""
    try:
        message: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    for field in ("userId", "anonymousId", "previousId"):
        named = message.get(field)
        if isinstance(named, str | int) and not isinstance(named, bool) and named != "":
            return str(named)[:1_000].replace("\x00", "").encode(errors="ignore").decode()
    return None
