"""Planning initiatives: what is refused, what is filled in, how one is shown."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from app.db.engine import Session
from app.errors import BadWindow, Conflict, FieldError, InitiativeNotFound, InvalidInput
from app.measurement.roi import repository
from app.money import InvalidAmount, from_minor, to_minor


async def create(session: Session, asked: Mapping[str, Any], *, currency: str) -> dict[str, Any]:
    """Plan an initiative. Raises BadWindow, InvalidInput, Conflict."""
    _refuse_reversed(asked["starts_at"], asked["ends_at"], "/ends_at")
    baseline = asked["baseline"]
    if baseline is not None:
        _refuse_reversed(baseline["from_"], baseline["to"], "/baseline/to")
        if baseline["to"] > asked["starts_at"]:
            raise _bad_window("/baseline/to", "the baseline must end before the initiative starts")
    if asked["margin_rate"] is not None and asked["value"] != "margin":
        detail = "a margin_rate means something with value `margin` only"
        raise InvalidInput(detail, errors=[FieldError("/margin_rate", "out_of_place", detail)])
    same = ("name", "objective", "starts_at", "ends_at", "value", "margin_rate")
    values = {
        **{name: asked[name] for name in same},
        "initiative_id": asked["initiative_id"] or str(uuid4()),
        "target": asked["target"] or {},
        "baseline_from": baseline and baseline["from_"],
        "baseline_to": baseline and baseline["to"],
        "declared": asked["declared"] and _declared(asked["declared"], currency),
    }
    made = await repository.create(session, values)
    if made is None:
        detail = f"initiative {values['initiative_id']!r} exists"
        raise Conflict(detail, errors=[FieldError("/initiative_id", "conflict", detail)])
    return shown(made, currency=currency)


def _refuse_reversed(start: Any, end: Any, pointer: str) -> None:
    if end <= start:
        raise _bad_window(pointer, "a window must end after it starts")


def _bad_window(pointer: str, detail: str) -> BadWindow:
    return BadWindow(detail, errors=[FieldError(pointer, "bad_window", detail)])


def _declared(asked: Mapping[str, Any], currency: str) -> dict[str, Any]:
    if asked["currency"] != currency:
        detail = f"a declared gain is in the reporting currency, {currency}"
        raise InvalidInput(detail, errors=[FieldError("/declared/currency", "other_currency", detail)])
    try:
        minor = to_minor(asked["amount"], currency)
    except InvalidAmount as error:
        raise InvalidInput(str(error), errors=[FieldError("/declared/amount", error.code, str(error))]) from None
    return {"amount_minor": minor, "by": asked["by"], "why": asked["why"]}


async def found(session: Session, initiative_id: str) -> dict[str, Any]:
    """An initiative as it is stored. Raises InitiativeNotFound."""
    row = await repository.find(session, initiative_id)
    if row is None:
        raise InitiativeNotFound()
    return row


def shown(row: Mapping[str, Any], *, currency: str) -> dict[str, Any]:
    """An initiative as it is answered."""
    same = (
        "initiative_id",
        "name",
        "objective",
        "target",
        "starts_at",
        "ends_at",
        "value",
        "margin_rate",
        "created_at",
    )
    declared = row["declared"]
    baseline = row["baseline_from"] and {"from": row["baseline_from"], "to": row["baseline_to"]}
    return {
        **{name: row[name] for name in same},
        "baseline": baseline,
        "declared": declared
        and {
            "amount": from_minor(declared["amount_minor"], currency),
            "currency": currency,
            "by": declared["by"],
            "why": declared["why"],
        },
    }
