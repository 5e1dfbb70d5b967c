"""Merging two customers, exporting one, erasing one: the same plans carried out over every table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from app.db.engine import Session
from app.errors import Conflict, CustomerNotFound, FieldError, InvalidInput
from app.privacy import customer_hash
from app.records.intake import repository as intake
from app.records.intake.customers import present
from app.records.privacy import repository
from app.records.privacy.definitions import PLANS, AtErase, AtMerge

# What is done to rows that stay, without the name.
STAYING = (AtErase.ANONYMOUS, AtErase.REPLACE)


async def export(session: Session, customer_id: str, *, now: datetime) -> dict[str, Any]:
    """Everything that every table knows of a person. Raises CustomerNotFound."""
    names = await _names(session, customer_id)
    if not names:
        raise CustomerNotFound()
    return {
        "customer_id": names[0],
        "merged_from": customer_id if customer_id != names[0] else None,
        "exported_at": now,
        "tables": {plan.name: await repository.known_of(session, plan, names) for plan in PLANS if plan.columns},
    }


async def erase(session: Session, customer_id: str, *, secret: bytes, now: datetime) -> dict[str, Any]:
    """Forget a person under all their names, and keep them away. Raises CustomerNotFound.

    Whoever was erased before gets the same receipt again.
    """
    await intake.lock_people(session)
    names = await _names(session, customer_id)
    earlier = await repository.receipt_of(session, customer_hash(secret, customer_id))
    if not names:
        if earlier is None:
            raise CustomerNotFound()
        return earlier
    # Drawn, so that nobody finds the person by them again.
    stand_ins = [f"erased {uuid4()}" for _ in names]
    concerned = {plan: await repository.erase(session, plan, names, stand_ins=stand_ins) for plan in PLANS}
    await intake.move_epoch(session)
    if earlier is not None:
        return earlier
    receipt = await repository.add_receipt(
        session,
        removed={p.name: n for p, n in concerned.items() if p.at_erase not in STAYING},
        kept_anonymous={p.name: n for p, n in concerned.items() if p.at_erase in STAYING},
        now=now,
    )
    digests = sorted(customer_hash(secret, name) for name in names)
    await repository.add_tombstones(session, digests, receipt_id=receipt["receipt_id"], now=now)
    return receipt


async def _names(session: Session, customer_id: str) -> Sequence[str]:
    """All names of the person that an identifier means, the surviving one first; none when nothing is known."""
    if "\x00" in customer_id:
        return []
    try:
        survivor = await present(session, customer_id)
    except CustomerNotFound:
        return [customer_id] if await repository.is_refused(session, customer_id) else []
    return [survivor, *await repository.aliases(session, survivor)]


async def merge(session: Session, *, source: str, target: str, now: datetime) -> dict[str, Any]:
    """Let two customers be one from now on. Raises InvalidInput, CustomerNotFound, Conflict."""
    if source == target:
        raise InvalidInput(
            "A customer cannot be merged into itself",
            errors=[FieldError("/into", "same_customer", "from and into name the same customer")],
        )
    await intake.lock_people(session)
    survivor = await _merged_already(session, source=source, target=target)
    moved = {plan.name: 0 for plan in PLANS if plan.at_merge in (AtMerge.MOVE, AtMerge.JOIN)}
    removed = {plan.name: 0 for plan in PLANS if plan.at_merge is AtMerge.REMOVE}
    if survivor is None:
        survivor = target
        for plan in PLANS:
            if plan.at_merge is AtMerge.MOVE:
                moved[plan.name] = await repository.move(session, plan, source=source, target=target)
            elif plan.at_merge is AtMerge.JOIN:
                moved[plan.name] = await repository.join(session, plan, source=source, target=target)
            elif plan.at_merge is AtMerge.REMOVE:
                removed[plan.name] = await repository.remove(session, plan, source=source)
            elif plan.at_merge is AtMerge.RENAME:
                await repository.rename(session, plan, source=source, target=target)
        await repository.fold(session, source=source, target=target, now=now)
        await intake.move_epoch(session)
        await intake.touch(session, [target])
    merged_at = (await repository.aliases(session, survivor))[source]
    return {
        "customer_id": survivor,
        "merged_from": source,
        "merged_at": merged_at,
        "moved": moved,
        "removed": removed,
    }


async def _merged_already(session: Session, *, source: str, target: str) -> str | None:
    """The survivor when this merge was done before; null when it can be done now. Raises when it cannot."""
    known = await intake.known_customers(session, [source, target])
    merged = await intake.aliases_of(session, [source, target])
    if source in merged:
        if merged[source] == merged.get(target, target):
            return merged[source]
        raise _conflict("/from", f"{source!r} was merged into {merged[source]!r} before")
    if source not in known:
        raise _unknown("/from", source)
    if target in merged:
        raise _conflict("/into", f"{target!r} was itself merged into {merged[target]!r}; name the surviving customer")
    if target not in known:
        raise _unknown("/into", target)
    return None


def _unknown(pointer: str, customer_id: str) -> CustomerNotFound:
    detail = f"There is no customer {customer_id!r}"
    return CustomerNotFound(detail, errors=[FieldError(pointer, "customer_not_found", detail)])


def _conflict(pointer: str, detail: str) -> Conflict:
    return Conflict(detail, errors=[FieldError(pointer, "already_merged", detail)])
