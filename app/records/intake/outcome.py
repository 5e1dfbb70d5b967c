"""What became of the rows of a bulk write."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that was not stored, and why; payload is the row as sent, empty where it may not be kept."""

    index: int
    code: str
    pointer: str
    detail: str
    payload: bytes = b""
    customer_id: str | None = None

    def shown(self) -> dict[str, Any]:
        return {"index": self.index, "code": self.code, "pointer": self.pointer, "detail": self.detail}


@dataclass(slots=True)
class Outcome:
    """Counts of a bulk write: received = created + updated + duplicates + rejected."""

    received: int = 0
    created: int = 0
    updated: int = 0
    duplicates: int = 0
    rejected: list[Refusal] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "created": self.created,
            "updated": self.updated,
            "duplicates": self.duplicates,
            "rejected": [refusal.shown() for refusal in sorted(self.rejected, key=lambda r: r.index)],
        }


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with the row at this position of a decoded batch."""

    position: int
    code: str
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Added:
    """Positions that were created, how many were known already, those that contradict, and whom the new ones are of."""

    created: Sequence[int]
    duplicates: int
    flaws: list[Flaw]
    owners: Sequence[str] = ()


def first_flaws(flaws: Sequence[Flaw]) -> dict[int, Flaw]:
    """The first flaw of each flawed row."""
    found: dict[int, Flaw] = {}
    for flaw in flaws:
        found.setdefault(flaw.position, flaw)
    return found
