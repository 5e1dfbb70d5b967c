"""Storing transactions: each once, whatever is sent how often, and never a good row lost to a bad one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.db.engine import Session
from app.money import from_minor
from app.records.intake import repository as intake
from app.records.intake.bulk import ERASED, Kind
from app.records.intake.customers import CustomerMemory, People, resolve
from app.records.intake.outcome import Flaw, Outcome
from app.records.transactions import repository
from app.records.transactions.columns import TransactionColumns, columns_of
from app.records.transactions.schemas import TRANSACTIONS, TransactionIn

# Identifiers looked at before hoping that a whole batch is new.
SAMPLE = 16


async def store(
    session: Session,
    source: str,
    columns: TransactionColumns,
    *,
    privacy: intake.PrivacyState,
    memory: CustomerMemory,
    secret: bytes,
) -> tuple[Outcome, list[Flaw]]:
    """Store rows that are new, skip those that are stored, and report those that contradict what is stored.

    Needs lock_intake. Flaws name positions of the columns given.
    """
    named = {customer_id for customer_id in columns.customer_id if customer_id is not None}
    people = await resolve(session, named, privacy=privacy, memory=memory, secret=secret)
    columns, flaws = _apply(people, columns)
    flawed = {flaw.position for flaw in flaws}
    order = sorted((p for p in range(len(columns)) if p not in flawed), key=columns.transaction_id.__getitem__)
    fresh, duplicates, conflicts = _once(columns, order)
    created, known, contradicting = await _add_new(session, source, columns, fresh)
    flaws += [Flaw(p, "conflict", "transaction_id", _CONFLICT) for p in (*conflicts, *contradicting)]
    touched = sorted({c for p in created if (c := columns.customer_id[p]) is not None})
    await intake.touch(session, touched)
    return Outcome(created=len(created), duplicates=duplicates + known), flaws


_CONFLICT = "this transaction_id is stored with other content; a correction needs an identifier of its own"
_ERASED = "this customer was erased; nothing of theirs is taken any more"


def _apply(people: People, columns: TransactionColumns) -> tuple[TransactionColumns, list[Flaw]]:
    """The columns with merged customers renamed; rows of the erased are flawed."""
    if not people.merged and not people.erased:
        return columns, []
    flaws = [
        Flaw(position, ERASED, "customer_id", _ERASED)
        for position, customer_id in enumerate(columns.customer_id)
        if customer_id in people.erased
    ]
    merged = [None if each is None else people.merged.get(each, each) for each in columns.customer_id]
    return replace(columns, customer_id=merged), flaws


def _once(columns: TransactionColumns, order: Sequence[int]) -> tuple[list[int], int, list[int]]:
    """First of each identifier, in order; how many repeat it; which contradict it."""
    ids = columns.transaction_id
    fresh: list[int] = []
    duplicates, conflicts = 0, []
    for position in order:
        if not fresh or ids[fresh[-1]] != ids[position]:
            fresh.append(position)
        elif columns.content(fresh[-1]) == columns.content(position):
            duplicates += 1
        else:
            conflicts.append(position)
    return fresh, duplicates, conflicts


async def _add_new(
    session: Session, source: str, columns: TransactionColumns, order: Sequence[int]
) -> tuple[Sequence[int], int, list[int]]:
    """Insert what is not stored. Returns positions created, how many were known, positions that contradict."""
    if not order:
        return [], 0, []
    sample = [columns.transaction_id[p] for p in order[:: max(1, len(order) // SAMPLE)]]
    if not await repository.any_known(session, source, [*sample, columns.transaction_id[order[-1]]]):
        # Probably all new: let the primary key find out, which costs nothing when it is so.
        try:
            async with session.begin_nested():
                await repository.add(session, source, columns.take(order))
            return order, 0, []
        except IntegrityError:
            pass
    stored = await repository.stored_content(session, source, [columns.transaction_id[p] for p in order])
    fresh = [p for p in order if columns.transaction_id[p] not in stored]
    known = [p for p in order if columns.transaction_id[p] in stored]
    contradicting = [p for p in known if stored[columns.transaction_id[p]] != columns.content(p)]
    if fresh:
        await repository.add(session, source, columns.take(fresh))
    return fresh, len(known) - len(contradicting), contradicting


TRANSACTION_KIND: Kind[TransactionIn, TransactionColumns] = Kind(
    "transactions", TRANSACTIONS, columns_of, TransactionColumns.take, store
)


def shown(row: dict[str, Any], lines: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """A stored transaction as it is answered."""
    currency = row["currency"]

    def money(minor: int | None) -> dict[str, str] | None:
        return None if minor is None else {"amount": from_minor(minor, currency), "currency": currency}

    same = ("source", "transaction_id", "occurred_at", "kind", "refunds", "channel", "campaign_id")
    return {
        **{name: row[name] for name in same},
        "amount": money(row["amount_minor"]),
        "margin": money(row["margin_minor"]),
        "items": [
            {"product_id": product_id, "quantity": f"{quantity:f}", "unit_price": f"{unit_price:f}"}
            for product_id, quantity, unit_price in lines
        ],
    }
