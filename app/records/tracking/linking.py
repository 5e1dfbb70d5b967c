"""Merging what tracking clients say is one person: an anonymous visitor who turned out to be a user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.db.engine import Session
from app.records.intake import repository as intake
from app.records.intake.bulk import ERASED, ERASED_DETAIL
from app.records.intake.customers import People
from app.records.intake.outcome import Refusal
from app.records.privacy.service import merge
from app.records.tracking.mapping import Link
from app.records.tracking.reading import Sent

Links = Sequence[tuple[Sent, Link]]


@dataclass(slots=True)
class Linked:
    """What became of links: declared ones count, the others belong to a message that is counted by its row."""

    merged: int = 0
    nothing_new: int = 0
    refused: list[Refusal] = field(default_factory=list)


async def due(session: Session, links: Links, *, acting: Iterable[str]) -> Links:
    """The links that may have to be carried out: declared ones, and those whose source is a customer or becomes one.

    Looked at before anything is locked: whoever merges must lock everybody out first.
    """
    sources = sorted({link.source for _, link in links if not link.declared})
    known = await intake.known_customers(session, sources) if sources else set()
    known |= set(acting)
    return [(sent, link) for sent, link in links if link.declared or link.source in known]


async def carry_out(session: Session, links: Links, *, people: People, now: datetime) -> Linked:
    """Merge, in the order sent. Needs lock_people, and everybody resolved."""
    linked = Linked()
    for sent, link in links:
        gone = people.erased & {link.source, link.target}
        refusal = _erased(sent, link, gone) if gone else await _carry_out(session, sent, link, now=now)
        if isinstance(refusal, Refusal):
            linked.refused += [refusal] if link.declared else []
        elif link.declared:
            linked.merged += refusal
            linked.nothing_new += not refusal
    return linked


async def _carry_out(session: Session, sent: Sent, link: Link, *, now: datetime) -> bool | Refusal:
    """Whether something was merged, or why it cannot be."""
    merged = await intake.aliases_of(session, [link.source, link.target])
    target = merged.get(link.target, link.target)
    if merged.get(link.source, link.source) == target:
        return False
    if link.source in merged:
        # A browser that another user signs in to: what it did before stays with the first.
        detail = "was merged into another customer before"
        return sent.refused("already_merged", "previousId", detail) if link.declared else False
    if link.source not in await intake.known_customers(session, [link.source]):
        return False
    await merge(session, source=link.source, target=target, now=now)
    return True


def _erased(sent: Sent, link: Link, gone: Iterable[str]) -> Refusal:
    """Nothing of an erased customer may be kept, not even the refused message."""
    where = "previousId" if link.source in gone else "userId"
    return Refusal(sent.index, ERASED, f"{sent.base}/{where}", ERASED_DETAIL)
