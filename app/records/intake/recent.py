"""Facts this process stored a moment ago: senders that repeat themselves, or each other, are answered from here."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# Some 40 MB; beyond it the memory starts anew and the database is asked again.
REMEMBER_AT_MOST = 100_000
# Writers that come at the same time take turns: after one pair of them, so many more are expected.
CROWD_LASTS = 32

Content = tuple[Any, ...]
# The contents of the rows at these positions of a batch.
Contents = Callable[[Sequence[int]], list[Content]]


@dataclass(slots=True)
class RecentFacts:
    """What is stored under identifiers, by table and source; good for one privacy epoch, never for more.

    Facts never change once stored and only merges and erasures take them away, which move the epoch. Batches are kept
    as they came; an identifier leads to its place in them, counted through from the first to the last. writers: how many
    bulk writes of this process are under way; crowded: for how many more of them it will be worth remembering, because
    there were several at once. A lone writer is remembered for nobody.
    """

    epoch: int = -1
    size: int = 0
    writers: int = 0
    crowded: int = 0
    batches: list[Contents] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    places: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A bulk write, up to its commit."""
        self.crowded = CROWD_LASTS if self.writers else self.crowded
        self.writers += 1
        try:
            yield
        finally:
            self.writers -= 1

    def at(self, epoch: int) -> "Recall":
        return Recall(self, epoch)

    def contents(self, places: Sequence[int]) -> list[Content]:
        """What is stored at these places."""
        by_batch: dict[int, list[int]] = {}
        for place in places:
            by_batch.setdefault(bisect_right(self.starts, place) - 1, []).append(place)
        found: dict[int, Content] = {}
        for batch, theirs in by_batch.items():
            start = self.starts[batch]
            found.update(zip(theirs, self.batches[batch]([place - start for place in theirs]), strict=True))
        return [found[place] for place in places]


@dataclass(frozen=True, slots=True)
class Recall:
    """The memory as seen by a transaction of one privacy epoch."""

    facts: RecentFacts
    epoch: int

    def known(self, shelf: tuple[str, str], ids: Sequence[str], contents: Contents) -> set[int]:
        """Positions of rows that are stored with this very content; of others nothing is said."""
        stored = self.facts.places.get(shelf) if self.epoch == self.facts.epoch else None
        if not stored or stored.keys().isdisjoint(ids):
            return set()
        found = {position: place for position, place in enumerate(map(stored.get, ids)) if place is not None}
        given, kept = contents(list(found)), self.facts.contents(list(found.values()))
        return {position for position, one, other in zip(found, given, kept, strict=True) if one == other}

    def remember(self, shelf: tuple[str, str], ids: Sequence[str], contents: Contents) -> None:
        """Rows that were stored; to be called once they are committed."""
        facts = self.facts
        if self.epoch < facts.epoch or not facts.crowded:
            return
        facts.crowded -= 1
        if self.epoch > facts.epoch or facts.size > REMEMBER_AT_MOST:
            facts.epoch, facts.size, facts.batches, facts.starts, facts.places = self.epoch, 0, [], [], {}
        facts.batches.append(contents)
        facts.starts.append(facts.size)
        facts.places.setdefault(shelf, {}).update(zip(ids, range(facts.size, facts.size + len(ids)), strict=True))
        facts.size += len(ids)
