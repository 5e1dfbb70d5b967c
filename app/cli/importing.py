"""`tessera import`: reads a file straight into the database, with a progress bar and the rejected rows beside it."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from app.cli.failures import WrongUsage, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.cli.installation import Installation
    from app.jobs.runtime import Step
    from app.records.imports.options import Options
    from app.records.imports.service import File
    from app.records.intake.outcome import Outcome

SOME_REJECTED = 3
STANDARD_INPUT = "-"
# A batch of a large file may wait for a busy server; a person watches.
STATEMENT_SECONDS = 3_600


class Records(StrEnum):
    """What the rows of a file are."""

    CUSTOMERS = "customers"
    TRANSACTIONS = "transactions"
    EVENTS = "events"


def import_file(  # noqa: PLR0913  # an option each, named at the call
    records: Annotated[Records, typer.Argument(help="What the rows are.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="CSV, NDJSON (both may be .gz) or Parquet; - reads it.")
    ],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="field=Column", help="A column not named like its field; repeat for several."),
    ] = None,
    source: Annotated[str, typer.Option(help="The system whose identifiers these are.")] = "default",
    currency: Annotated[str | None, typer.Option(metavar="GBP", help="Currency of rows that name none.")] = None,
    timezone: Annotated[str, typer.Option(metavar="Europe/Berlin", help="Zone of times without an offset.")] = "UTC",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, store nothing.")] = False,
) -> None:
    """Import customers, transactions or events from a file. What is stored already is not stored again.

    Exit code 0: all rows are stored; 3: some were rejected, see FILE.rejected.ndjson; 2: wrong usage; 1: failure.
    """
    from app.cli.installation import opened
    from app.errors import InvalidInput
    from app.records.imports.options import Options, checked, pairs
    from app.records.imports.service import File

    try:
        options = checked(
            Options(records.value, pairs(mapped or [], separator="="), source, currency, timezone, dry_run)
        )
        with local(file) as path, opened() as installation:
            result = run(installation, File(path, format_for(path, file)), options, rejected=rejected_beside(file))
    except InvalidInput as error:
        raise WrongUsage(error.detail) from None
    if result["rejected"]:
        raise typer.Exit(SOME_REJECTED)


@contextmanager
def local(file: str) -> Iterator[Path]:
    """The file on disk; standard input is kept for as long as it is read, because a file is read twice."""
    if file != STANDARD_INPUT:
        path = Path(file)
        if not path.is_file():
            raise WrongUsage(f"there is no file {file}" if not path.exists() else f"{file} is not a file")
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="tessera-import-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)


def format_for(path: Path, name: str) -> Any:
    from app.records.imports.reading.files import format_of

    return format_of(path, name)


def rejected_beside(file: str) -> Path:
    return Path("stdin.rejected.ndjson" if file == STANDARD_INPUT else f"{file}.rejected.ndjson")


def run(installation: "Installation", file: "File", options: "Options", *, rejected: Path) -> dict[str, Any]:
    """Import, say what became of it, and leave the rejected rows in a file when there are any."""
    started = time.perf_counter()
    with bar() as progress, RejectedRows(rejected) as rows:
        result = asyncio.run(imported(installation, file, options, rows, progress))
    for line in summary(result, options, time.perf_counter() - started):
        typer.echo(line)
    if result["rejected"]:
        say(f"the rejected rows and the reasons are in {rejected}")
    return result


async def imported(
    installation: "Installation", file: "File", options: "Options", rows: "RejectedRows", progress: "Progress"
) -> dict[str, Any]:
    from app.db.engine import Database
    from app.jobs.runtime import Step
    from app.operations.audit import repository as audit
    from app.records.imports import service
    from app.records.intake.bulk import Intake
    from app.records.intake.customers import CustomerMemory

    database = Database(
        installation.database_url,
        pool_size=1,
        statement_timeout_seconds=STATEMENT_SECONDS,
        application="tessera import",
    )
    task = progress.add_task("reading", total=None)

    def watch(rows_read: int) -> None:
        progress.update(task, completed=rows_read)

    @asynccontextmanager
    async def step() -> "AsyncIterator[Step]":
        async with database.write() as session:
            taken = Step(session, {})
            yield taken
        done, total = taken.values.get("progress_done"), taken.values.get("progress_total")
        progress.update(task, description="importing", completed=done, total=total)

    try:
        if not options.dry_run:
            async with database.write() as session:
                await audit.record(session, action=f"tessera import {options.records}", subject=options.source)
        surroundings = service.Surroundings(
            step, Intake(CustomerMemory(), installation.secret), watch=watch, tell=rows.keep
        )
        return await service.run(file, options, surroundings, after=service.Tally())
    finally:
        await database.close()


class RejectedRows:
    """The file of rejected rows, which is there only when rows were rejected."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "RejectedRows":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        elif kind is None:
            # What an earlier run left would be taken for the outcome of this one.
            self._path.unlink(missing_ok=True)

    def keep(self, outcome: "Outcome") -> None:
        import orjson

        if outcome.rejected and self._file is None:
            self._file = self._path.open("wb")
        for refusal in outcome.rejected:
            assert self._file is not None, "opened for the first of them"
            row = orjson.Fragment(refusal.payload) if refusal.payload else None
            self._file.write(orjson.dumps({**refusal.shown(), "row": row}) + b"\n")


def bar() -> "Progress":
    """A progress bar for a person at a terminal; nothing at all for a script."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), Remaining())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def summary(result: dict[str, Any], options: "Options", seconds: float) -> Iterator[str]:
    """What became of the rows, for a person."""
    counts = ", ".join(f"{result[name]:,} {name}" for name in ("created", "updated", "duplicates", "rejected"))
    speed = f"{result['lines']:,} rows in {seconds:.1f} s, {result['lines'] / max(seconds, 1e-9):,.0f} rows/s"
    yield f"{'dry run, nothing is stored: ' if options.dry_run else ''}{options.records}: {counts} ({speed})"
    for code, count in sorted(result["reasons"].items()):
        yield f"  rejected as {code}: {count:,}"
    if result["ignored_columns"]:
        yield f"  columns not used: {', '.join(result['ignored_columns'])}"
    yield from (f"  note: {note}" for note in result["notes"])
