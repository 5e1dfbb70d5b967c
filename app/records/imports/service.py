"""The import itself: batch by batch, each stored or refused in one transaction, the next one read meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from app.db.engine import Session
from app.errors import TesseraError
from app.records.imports.batches import Batch, Watch, batches
from app.records.imports.mapping import mapping_of
from app.records.imports.options import Options
from app.records.imports.reading.files import Format
from app.records.imports.reading.opening import checked_row_count, open_table
from app.records.imports.rehearsal import Rehearsal
from app.records.intake import bulk
from app.records.intake.bulk import Intake
from app.records.intake.outcome import Outcome

SHOWN_REFUSALS = 100


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. lines counts rows of the file; the rest counts records."""

    batches: int = 0
    lines: int = 0
    received: int = 0
    created: int = 0
    updated: int = 0
    duplicates: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    first_rejected: list[dict[str, Any]] = field(default_factory=list)

    def add(self, outcome: Outcome, rows: int) -> None:
        self.batches += 1
        self.lines += rows
        for name in ("received", "created", "updated", "duplicates"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        refused = sorted(outcome.rejected, key=lambda refusal: refusal.index)
        self.rejected += len(refused)
        self.reasons = dict(Counter(self.reasons) + Counter(refusal.code for refusal in refused))
        room = SHOWN_REFUSALS - len(self.first_rejected)
        self.first_rejected += [refusal.shown() for refusal in refused[: max(room, 0)]]

    def as_checkpoint(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any] | None) -> "Tally":
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in (checkpoint or {}).items() if name in known})


class Step(Protocol):
    """One transaction of an import, and what it will say of the import's progress when it commits."""

    @property
    def session(self) -> Session: ...

    def progress(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an import needs of whoever runs it: how it takes a step, and whom it tells what.

    watch hears of rows read before any is stored; tell hears of each outcome once it is committed.
    """

    step: Callable[[], AbstractAsyncContextManager[Step]]
    intake: Intake
    watch: Watch
    tell: Callable[[Outcome], None]
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file and the format it is said to have."""

    path: Path
    format: Format


async def run(file: File, options: Options, surroundings: Surroundings, *, after: Tally) -> dict[str, Any]:
    """Import a file, or go on after what an earlier run has committed. Returns the counts.

    Raises InvalidInput when the columns do not fit, Unreadable or TooLarge when the file is damaged: before anything
    is stored, except where only the inside of a Parquet file tells.
    """
    table = await asyncio.to_thread(open_table, file.path, file.format, limit=surroundings.limit)
    mapping = mapping_of(options, table.columns, is_open=table.is_open)
    total = None
    if not mapping.has_lines:
        total = await asyncio.to_thread(checked_row_count, file.path, file.format, table, limit=surroundings.limit)
    tally = Tally() if options.dry_run else after
    rehearsal = Rehearsal() if options.dry_run else None
    try:
        async with aclosing(_ahead(batches(table, mapping, options, watch=surroundings.watch), tally.batches)) as found:
            async for batch in found:
                await _take(batch, options, surroundings, tally=tally, total=total, rehearsal=rehearsal)
    except TesseraError as error:
        if tally.created + tally.updated == 0 or options.dry_run:
            raise
        kept = f"{error.detail}; the {tally.lines} rows before it are stored, importing a mended file skips them"
        raise type(error)(kept, errors=error.errors) from None
    async with surroundings.step() as step:
        step.progress(done=tally.lines, total=tally.lines, unit="rows")
    return _result(tally, mapping.ignored, options, has_customers="customer_id" in mapping.columns)


async def _take(
    batch: Batch,
    options: Options,
    surroundings: Surroundings,
    *,
    tally: Tally,
    total: int | None,
    rehearsal: Rehearsal | None,
) -> None:
    kind = options.importable.kind
    async with surroundings.step() as step:
        if rehearsal is None:
            outcome, _ = await bulk.store(step.session, kind, batch.checked, intake=surroundings.intake)
        else:
            outcome = await rehearsal.store(step.session, options.importable, batch, intake=surroundings.intake)
        tally.add(outcome, batch.rows)
        step.progress(done=tally.lines, total=batch.total or total, unit="rows", checkpoint=tally.as_checkpoint())
    surroundings.tell(outcome)


async def _ahead(found: Generator[Batch], skipped: int) -> AsyncGenerator[Batch]:
    """Batches, the next of which is read in a thread while one is stored; those an earlier run took are skipped."""

    def following() -> Batch | None:
        return next(found, None)

    place = 0
    reading = asyncio.create_task(asyncio.to_thread(following))
    try:
        while (batch := await asyncio.shield(reading)) is not None:
            reading = asyncio.create_task(asyncio.to_thread(following))
            place += 1
            if place > skipped:
                yield batch
    finally:
        # A thread cannot be stopped, and the file must not be closed under it.
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
        found.close()


def _result(tally: Tally, ignored: list[str], options: Options, *, has_customers: bool) -> dict[str, Any]:
    notes = []
    if not has_customers:
        notes.append("no column is customer_id: all of these are transactions of guests")
    counts = tally.as_checkpoint()
    counts.pop("batches")
    return {**counts, "ignored_columns": ignored, "dry_run": options.dry_run, "notes": notes}
