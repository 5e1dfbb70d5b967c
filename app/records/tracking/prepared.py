"""Translated messages as checked rows of one kind; what is refused points at the place in the message."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.records.customers.service import CUSTOMER_KIND
from app.records.events.service import EVENT_KIND
from app.records.intake.bulk import Checked, Kind, refusals, set_apart
from app.records.intake.envelope import DEFAULT_SOURCE
from app.records.intake.outcome import Flaw, Refusal, first_flaws
from app.records.tracking.mapping import RecordKind, Row
from app.records.tracking.reading import Sent
from app.records.transactions.service import TRANSACTION_KIND

SOURCE = "segment"

# In the order in which they are stored, and locked: customers are linked before anything is theirs.
KINDS: Mapping[RecordKind, Kind[Any, Any]] = {
    "customers": CUSTOMER_KIND,
    "events": EVENT_KIND,
    "transactions": TRANSACTION_KIND,
}
# Customers know no sources: their writers wait for each other under the name that a push of them has.
SOURCES: Mapping[RecordKind, str] = {"customers": DEFAULT_SOURCE, "events": SOURCE, "transactions": SOURCE}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows of one kind that passed every check without the database, and those that did not."""

    kind: Kind[Any, Any]
    checked: Checked[Any]
    given: Mapping[int, tuple[Sent, Row]]

    @property
    def customers(self) -> list[str]:
        """Whose each good row is."""
        owners = map(self.checked.customer_of, range(len(self.checked.indices)))
        return [owner for owner in owners if owner is not None]

    def refusals(self, flaws: Sequence[Flaw]) -> list[Refusal]:
        """Refusals for flaws of the good rows."""
        found = refusals(self.kind.envelope.name, self.checked, first_flaws(flaws).values())
        return [_placed(refusal, self.kind, *self.given[refusal.index]) for refusal in found]


def prepared(name: RecordKind, given: Iterable[tuple[Sent, Row]]) -> Prepared:
    """Read and check rows as if they had been pushed as they are."""
    kind = KINDS[name]
    by_index = {sent.index: (sent, row) for sent, row in given}
    rows, raws, indices, refused = [], [], [], []
    for index, (_, row) in by_index.items():
        raw = msgspec.json.encode(row.values)
        read = kind.envelope.read_one(raw, index=index)
        if isinstance(read, Refusal):
            refused.append(read)
        else:
            rows.append(read)
            raws.append(raw)
            indices.append(index)
    columns, flaws = kind.check(rows)
    checked = Checked(
        SOURCES[name], columns, indices, refused, raws.__getitem__, lambda position: rows[position].customer_id
    )
    checked = set_apart(kind, checked, flaws) if flaws else checked
    placed = [_placed(refusal, kind, *by_index[refusal.index]) for refusal in checked.refused]
    return Prepared(kind, replace(checked, refused=placed), by_index)


def _placed(refusal: Refusal, kind: Kind[Any, Any], sent: Sent, row: Row) -> Refusal:
    """The same refusal, pointing into the message instead of the row that was made of it."""
    field = refusal.pointer.removeprefix(f"/{kind.envelope.name}/{refusal.index}").removeprefix("/")
    parts = field.split("/")
    for cut in range(len(parts), 0, -1):
        place = row.places.get("/".join(parts[:cut]))
        if place is not None:
            field = "/".join([place, *parts[cut:]])
            break
    return replace(refusal, pointer=f"{sent.base}/{field}" if field else sent.base)
