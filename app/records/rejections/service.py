"""Listing refused rows without drowning in them, and trying one again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from app.db.engine import Session
from app.errors import Conflict, FieldError, Forbidden, InvalidInput, RejectionNotFound, Unreadable
from app.records.intake import repository as intake_repository
from app.records.intake.bulk import ERASED, Checked, Intake, Kind, of_nobody_erased, refusals, set_apart
from app.records.intake.envelope import DEFAULT_SOURCE, customer_in
from app.records.intake.outcome import Outcome, Refusal, first_flaws
from app.records.rejections import repository
from app.records.rejections.payload import readable
from app.records.rejections.schemas import NO_ROW, Filters, RetryIn
from app.web.body import strict_json

# A page ends early rather than hold more than this of refused rows, each of which may be a whole body.
PAGE_BYTES = 8 * 1024 * 1024


async def listed(
    session: Session, filters: Filters, *, limit: int, before: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """Refused rows, newest first, and whether there are more."""
    sizes = await repository.sizes(session, filters, limit=limit, before=before)
    fitting = _fitting([size for _, size in sizes[:limit]])
    rows = await repository.some(session, [rejection_id for rejection_id, _ in sizes[:fitting]])
    return [{**row, "payload": readable(row["payload"])} for row in rows], len(sizes) > fitting


def _fitting(sizes: Sequence[int]) -> int:
    """How many of these fit a page: one at least."""
    held = 0
    for count, size in enumerate(sizes):
        held += size
        if held > PAGE_BYTES and count:
            return count
    return len(sizes)


def mended(body: bytes) -> bytes | None:
    """The row in the body of a retry; null when there is none. Raises Unreadable or InvalidInput."""
    if not body:
        return None
    strict_json(body)
    try:
        payload = bytes(msgspec.json.decode(body, type=RetryIn).payload)
    except msgspec.ValidationError as error:
        raise InvalidInput("The body is wrong", errors=[FieldError("", "invalid_value", str(error))]) from None
    except msgspec.DecodeError as error:
        raise Unreadable(f"The body is not JSON: {error}") from None
    if payload == bytes(NO_ROW):
        return None
    if not payload.startswith(b"{"):
        detail = "payload is one row, a JSON object"
        raise InvalidInput(detail, errors=[FieldError("/payload", "invalid_type", detail)])
    return payload


async def retry(
    session: Session,
    rejection_id: int,
    *,
    payload: bytes | None,
    kinds: Mapping[str, Kind[Any, Any]],
    intake: Intake,
    now: datetime,
) -> Outcome:
    """Try a refused row again, mended or as it is. Raises RejectionNotFound, Conflict, Forbidden.

    kinds: those that the caller may push. A row that is still bad stays open under its number, with the new reason.
    """
    kept = await _locked(session, rejection_id, kinds)
    if kept["status"] == "resolved":
        raise Conflict("This row was stored by an earlier retry")
    tried = payload or kept["payload"]
    if not tried:
        detail = "nothing was kept of this row; send it mended"
        raise InvalidInput(detail, errors=[FieldError("/payload", "missing_field", detail)])
    outcome = await _store(session, kinds[kept["kind"]], kept, tried, intake=intake)
    if not outcome.rejected:
        await repository.resolve(session, rejection_id, now=now)
        return outcome
    refusal = outcome.rejected[0]
    # Of the erased nothing is kept; what was tried in the place of this row then leaves the row as it was.
    erased = refusal.code == ERASED
    values = {} if erased and payload is not None else _told(refusal, b"" if erased else tried)
    await repository.renew(session, rejection_id, now=now, values=values)
    return outcome


def _told(refusal: Refusal, payload: bytes) -> dict[str, Any]:
    return {
        "code": refusal.code,
        "pointer": refusal.pointer.replace("\x00", ""),
        "detail": refusal.detail.replace("\x00", ""),
        "customer_id": customer_in(payload),
        "payload": payload,
    }


async def _locked(session: Session, rejection_id: int, kinds: Mapping[str, Kind[Any, Any]]) -> dict[str, Any]:
    """The kept row, once nobody else can change, retry or erase it."""
    found = await repository.find(session, rejection_id)
    if found is not None:
        if found["kind"] not in kinds:
            raise Forbidden(f"This needs a key that may push {found['kind']}")
        await intake_repository.lock_intake(session, kinds[found["kind"]].name, found["source"] or DEFAULT_SOURCE)
        # Whoever held the lock may have resolved or erased it.
        found = await repository.find(session, rejection_id)
    if found is None:
        raise RejectionNotFound()
    return found


async def _store(
    session: Session, kind: Kind[Any, Any], kept: dict[str, Any], raw: bytes, *, intake: Intake
) -> Outcome:
    """The course of a bulk write for one row, except that what is refused is not kept a second time."""
    privacy = await intake_repository.privacy(session)
    checked = _checked(kind, kept, raw)
    if checked.refused:
        refused = await of_nobody_erased(session, kind.envelope.name, checked.refused, secret=intake.secret)
        return Outcome(received=1, rejected=refused)
    outcome, flaws = await kind.store(
        session,
        checked.source,
        checked.columns,
        privacy=privacy,
        memory=intake.memory,
        secret=intake.secret,
        now=intake.clock.now(),
    )
    outcome.rejected.extend(refusals(kind.envelope.name, checked, first_flaws(flaws).values()))
    outcome.received = 1
    return outcome


def _checked(kind: Kind[Any, Any], kept: dict[str, Any], raw: bytes) -> Checked[Any]:
    """The row read and checked, at the place where it stood when it was refused first."""
    source, index = kept["source"] or DEFAULT_SOURCE, kept["index"]
    row = kind.envelope.read_one(raw, index=index)
    refused = isinstance(row, Refusal)
    columns, flaws = kind.check([] if refused else [row])
    indices = [] if refused else [index]
    checked = Checked(source, columns, indices, [row] if refused else [], lambda _: raw, lambda _: customer_in(raw))
    return set_apart(kind, checked, flaws) if flaws else checked
