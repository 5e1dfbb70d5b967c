"""The quick way for small pushes with nothing out of the ordinary: everything they need asked for in two round trips."""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.db.batch import Call, Rows
from app.db.express import Express
from app.records.intake import repository
from app.records.intake.once import FEW_ROWS
from app.records.intake.outcome import Outcome
from app.records.intake.push import Push


class Look(Protocol):
    """What has to be known about customers to bring up to date what is inferred about them."""

    @property
    def calls(self) -> Sequence[Call]: ...  # made anew each time

    def answered(self, answers: Sequence[Rows]) -> Sequence[Call] | None:
        """What brings it up to date, by the rows of the calls; null: that takes more."""


# For customers who have new facts, or will have when the calls are run; null: there is no quick way for them now.
LookAt = Callable[[Sequence[str]], Look | None]


async def store_quickly(express: Express, group: Sequence[Push], *, look_at: LookAt) -> list[Outcome] | None:
    """Store the rows of pushes of one kind and source, and settle; for each push what became of it.

    Null, and nothing is changed, where anything is out of the ordinary: a row that is flawed or known already, a new
    customer, somebody else at work. Such pushes go the long way.
    """
    kind, source = group[0].kind, group[0].batch.source
    rows = [row for push in group for row in push.batch.rows]
    if kind.insertion is None or len(rows) > FEW_ROWS or any(push.batch.refused for push in group):
        return None
    owners = {row.customer_id for row in rows if row.customer_id is not None}
    look = look_at(sorted(owners)) if owners else None
    if look is None:
        return None
    async with express as transaction:
        # On its way while the rows are checked.
        transaction.post(*repository.opening(kind.name, source, entries=[push.entry for push in group]))
        columns, flaws = kind.check(rows)
        inserting = None if flaws else kind.insertion(source, columns)
        if inserting is None:
            return None
        transaction.post(inserting)
        asked = look.calls
        answers = await transaction.ask(*asked)
        inserted, seen = answers[-len(asked) - 1], answers[-len(asked) :]
        changes = look.answered(seen) if len(inserted) == len(rows) else None
        if changes is None:
            return None
        await transaction.end_with(*changes)
    return [Outcome(received=push.batch.received, created=len(push.batch.rows)) for push in group]
