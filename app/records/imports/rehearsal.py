"""A dry run: everything is stored and taken back at once, so that it says what a real run would."""

from dataclasses import replace
from typing import Any

from app.db.engine import Session
from app.records.imports.batches import Batch
from app.records.imports.definitions import Importable
from app.records.intake.bulk import Checked, Intake, refusals, store
from app.records.intake.outcome import Flaw, Outcome


class Rehearsal:
    """Remembers identifiers of earlier batches, which a real run would find stored: about 150 bytes for each."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    async def store(self, session: Session, importable: Importable, batch: Batch, *, intake: Intake) -> Outcome:
        """What storing a batch would do; nothing of it stays."""
        checked, duplicates = batch.checked, 0
        repeats = batch.repeats and checked.indices and hasattr(checked.columns, "content")
        if repeats:
            checked, duplicates = self._without_repeats(importable, checked)
        undo = await session.begin_nested()
        outcome, _ = await store(session, importable.kind, checked, intake=intake)
        await undo.rollback()
        if repeats:
            self._remember(importable, checked, outcome)
        outcome.received += duplicates
        outcome.duplicates += duplicates
        return outcome

    def _without_repeats(self, importable: Importable, checked: Checked[Any]) -> tuple[Checked[Any], int]:
        """The rows whose identifiers no earlier batch had, and how many of the others say the same as before."""
        keep, flaws, duplicates = [], [], 0
        for position, identifier in enumerate(getattr(checked.columns, importable.identifier)):
            before = self._seen.get(hash(identifier))
            if before is None:
                keep.append(position)
            elif before == _content(checked, position):
                duplicates += 1
            else:
                detail = f"this {importable.identifier} stands earlier in the file with other content"
                flaws.append(Flaw(position, "conflict", importable.identifier, detail))
        fresh = replace(
            checked,
            columns=importable.kind.take(checked.columns, keep),
            indices=[checked.indices[position] for position in keep],
            refused=[*checked.refused, *refusals(importable.kind.envelope.name, checked, flaws)],
            payload=lambda position: checked.payload(keep[position]),
            customer_of=lambda position: checked.customer_of(keep[position]),
        )
        return fresh, duplicates

    def _remember(self, importable: Importable, checked: Checked[Any], outcome: Outcome) -> None:
        refused = {refusal.index for refusal in outcome.rejected}
        for position, identifier in enumerate(getattr(checked.columns, importable.identifier)):
            if checked.indices[position] not in refused:
                self._seen.setdefault(hash(identifier), _content(checked, position))


def _content(checked: Checked[Any], position: int) -> int:
    return hash(repr(checked.columns.content(position)))
