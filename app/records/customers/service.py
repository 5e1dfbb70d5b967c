"""Storing customers: attributes merge, the newer word counts, and nothing is written that was known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import anyio

from app.db.engine import Session
from app.privacy import customer_hash
from app.records.customers import repository
from app.records.customers.content import (
    MAX_ATTRIBUTES_BYTES,
    UNKNOWN,
    Content,
    PastAttributes,
    applied,
    flaws_of,
    taken,
)
from app.records.customers.schemas import CUSTOMERS, CustomerIn
from app.records.intake import repository as intake
from app.records.intake.bulk import ERASED, ERASED_DETAIL, SMALL_BODY, Intake, Kind, check
from app.records.intake.bulk import store as store_checked
from app.records.intake.customers import People, present
from app.records.intake.outcome import Flaw, Outcome

# Customers of one statement: bounds what is held at once (64 kB each at most).
AT_ONCE = 1_000

_TOO_LARGE = f"with this the customer's attributes would exceed {MAX_ATTRIBUTES_BYTES} bytes"

Section = Callable[..., Any]


@dataclass(slots=True)
class _Folded:
    """What rows make of some customers: counts, flaws, and whoever is another than before."""

    outcome: Outcome = field(default_factory=Outcome)
    flaws: list[Flaw] = field(default_factory=list)
    changed: dict[str, Content] = field(default_factory=dict)
    past: list[PastAttributes] = field(default_factory=list)
    new: int = 0


async def push(session: Session, body: bytes, *, intake: Intake) -> Outcome:
    """Take in one bulk body.

    A body that was stored before is stored again: unlike a fact, what it says may have been overtaken since.
    """
    small = len(body) <= SMALL_BODY
    checked = check(CUSTOMER_KIND, body) if small else await anyio.to_thread.run_sync(check, CUSTOMER_KIND, body)
    outcome, _ = await store_checked(session, CUSTOMER_KIND, checked, intake=intake)
    return outcome


async def store(
    session: Session,
    _source: str,
    rows: Sequence[CustomerIn],
    *,
    privacy: intake.PrivacyState,
    secret: bytes,
    now: datetime,
    **_memory: object,
) -> tuple[Outcome, list[Flaw]]:
    """Create customers and update what is known of them, row by row in their order.

    Needs lock_intake: nobody else may write the content of customers meanwhile. Flaws name positions of the rows.
    """
    people = await _people(session, {row.customer_id for row in rows}, privacy=privacy, secret=secret)
    of: dict[str, list[int]] = {}
    flaws = []
    for position, row in enumerate(rows):
        if row.customer_id in people.erased:
            flaws.append(Flaw(position, ERASED, "customer_id", ERASED_DETAIL))
        else:
            of.setdefault(people.merged.get(row.customer_id, row.customer_id), []).append(position)
    total = Outcome()
    touched: list[str] = []
    for some in _chunks(sorted(of)):
        known = await repository.contents(session, some)
        positions = {each: of[each] for each in some}
        folded = await anyio.to_thread.run_sync(partial(_fold, rows, positions, known, now=now))
        await _write(session, folded)
        flaws += folded.flaws
        touched += folded.changed
        for count in ("created", "updated", "duplicates"):
            setattr(total, count, getattr(total, count) + getattr(folded.outcome, count))
    await intake.touch(session, touched)
    return total, flaws


async def _people(session: Session, named: set[str], *, privacy: intake.PrivacyState, secret: bytes) -> People:
    """Who was merged away or erased. Those who do not exist yet are left to be created with their content."""
    if not (privacy.has_aliases or privacy.has_tombstones):
        return People({}, frozenset())
    strangers = named - await intake.known_customers(session, sorted(named))
    merged = await intake.aliases_of(session, sorted(strangers)) if privacy.has_aliases and strangers else {}
    strangers -= merged.keys()
    hashes = {customer_hash(secret, stranger): stranger for stranger in strangers}
    gone = await intake.erased_among(session, list(hashes)) if privacy.has_tombstones and strangers else set()
    return People(merged, frozenset(hashes[each] for each in gone))


def _chunks(customer_ids: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(customer_ids)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _fold(
    rows: Sequence[CustomerIn], of: Mapping[str, Sequence[int]], known: Mapping[str, Content], *, now: datetime
) -> _Folded:
    """Apply rows to customers, each customer's in the order sent."""
    folded = _Folded()
    for customer_id, positions in of.items():
        before = after = known.get(customer_id)
        for position in positions:
            stands, after = after, _apply(folded, after, rows[position], position, now=now)
            folded.past += _left_behind(customer_id, stands, after)
        if after is not None and after is not before:
            folded.changed[customer_id] = after
            folded.new += before is None
    return folded


def _left_behind(customer_id: str, before: Content | None, after: Content | None) -> list[PastAttributes]:
    """The attributes that held until others did; none where none were known, or where they held for no time."""
    if before is None or after is None or before.attributes_since is None or after.attributes_since is None:
        return []
    if before.attributes_since == after.attributes_since:
        return []
    return [PastAttributes(customer_id, before.attributes_since, after.attributes_since, before.attributes)]


def _apply(folded: _Folded, known: Content | None, row: CustomerIn, position: int, *, now: datetime) -> Content | None:
    after = applied(known or UNKNOWN, row, now=now)
    if known is None:
        folded.outcome.created += 1
    elif after is known:
        folded.outcome.duplicates += 1
    elif after.attributes is not known.attributes and MAX_ATTRIBUTES_BYTES < after.size > known.size:
        folded.flaws.append(Flaw(position, "too_large", "attributes", _TOO_LARGE))
        return known
    else:
        folded.outcome.updated += 1
    return after


async def _write(session: Session, folded: _Folded) -> None:
    if folded.changed:
        existed = await repository.write(session, folded.changed, past=folded.past)
        # Somebody's transaction created them between our reading and our writing.
        surprises = existed - (len(folded.changed) - folded.new)
        folded.outcome.created -= surprises
        folded.outcome.updated += surprises


CUSTOMER_KIND: Kind[CustomerIn, Sequence[CustomerIn]] = Kind("customers", CUSTOMERS, flaws_of, taken, store)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored customer as it is answered."""
    return {
        "customer_id": row["customer_id"],
        "attributes": row["attributes"],
        "consent": {"profiling": row["consent_profiling"], "marketing": row["consent_marketing"]},
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "first_seen_at": row["first_seen_at"],
    }


async def profile(
    session: Session, customer_id: str, *, sections: Mapping[str, Section], now: datetime
) -> dict[str, Any]:
    """A customer with the sections that other wings contribute. Raises CustomerNotFound."""
    survivor = await present(session, customer_id)
    row = await repository.find(session, survivor)
    assert row is not None, "one snapshot cannot say both that a customer exists and that it does not"
    return {
        **shown(row),
        "merged_from": customer_id if customer_id != survivor else None,
        **{name: await section(session, survivor, now=now) for name, section in sections.items()},
    }
