"""Who the rows of a batch belong to: existing, new, merged into somebody, or erased."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.db.engine import Session
from app.errors import CustomerNotFound
from app.privacy import customer_hash
from app.records.intake import repository
from app.records.intake.recent import RecentFacts
from app.records.intake.repository import PrivacyState

# About 100 MB of identifiers; beyond it the memory starts anew and the database is asked again.
REMEMBER_AT_MOST = 500_000


@dataclass(slots=True)
class CustomerMemory:
    """Customers this process has seen exist, good for one privacy epoch, and the facts it stored last."""

    epoch: int = -1
    known: set[str] = field(default_factory=set)
    facts: RecentFacts = field(default_factory=RecentFacts)

    def at(self, epoch: int) -> set[str]:
        if epoch != self.epoch or len(self.known) > REMEMBER_AT_MOST:
            self.epoch, self.known = epoch, set()
        return self.known


@dataclass(frozen=True, slots=True)
class People:
    """What a batch's customer identifiers mean; whoever is in neither simply is who they say."""

    merged: dict[str, str]
    erased: frozenset[str]


async def resolve(
    session: Session, named: Iterable[str], *, privacy: PrivacyState, memory: CustomerMemory, secret: bytes
) -> People:
    """Find out who these customers are and create the new ones."""
    known = memory.at(privacy.epoch)
    strangers = set(named) - known
    if not strangers:
        return People({}, frozenset())
    found = await repository.known_customers(session, sorted(strangers))
    # Only what a query returned is remembered: what this transaction creates may yet be rolled back.
    known |= found
    strangers -= found
    merged = await repository.aliases_of(session, sorted(strangers)) if privacy.has_aliases and strangers else {}
    strangers -= merged.keys()
    erased: frozenset[str] = frozenset()
    if privacy.has_tombstones and strangers:
        hashes = {customer_hash(secret, stranger): stranger for stranger in strangers}
        gone = await repository.erased_among(session, list(hashes))
        erased = frozenset(hashes[each] for each in gone)
        strangers -= erased
    if strangers:
        await repository.create_customers(session, list(strangers))
    return People(merged, erased)


async def present(session: Session, customer_id: str) -> str:
    """The customer that this identifier means today, through merges. Raises CustomerNotFound."""
    if "\x00" not in customer_id:
        if await repository.known_customers(session, [customer_id]):
            return customer_id
        merged = await repository.aliases_of(session, [customer_id])
        if merged:
            return merged[customer_id]
    raise CustomerNotFound()
