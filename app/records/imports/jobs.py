"""The job that imports an uploaded file: any worker can run it, and go on where another one died."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import Fault
from app.jobs import repository
from app.jobs.runtime import Handler, JobContext
from app.records.imports.options import Options
from app.records.imports.reading.files import LARGEST_INFLATED
from app.records.imports.service import File, Surroundings, Tally, run
from app.records.intake.bulk import Intake
from app.records.intake.customers import CustomerMemory
from app.records.intake.outcome import Outcome


def import_handler(secret: bytes) -> Handler:
    """A handler of import jobs; the secret tells who was erased."""
    intake = Intake(CustomerMemory(), secret)

    async def handle(context: JobContext) -> Mapping[str, Any]:
        given = dict(context.arguments)
        format_ = given.pop("format")
        surroundings = Surroundings(context.step, intake, _ignore_rows, _ignore_outcome, LARGEST_INFLATED)
        with tempfile.TemporaryDirectory(prefix="tessera-import-") as folder:
            path = Path(folder, "upload")
            await _fetch(context, path)
            after = Tally.from_checkpoint(context.checkpoint)
            return await run(File(path, format_), Options(**given), surroundings, after=after)

    return handle


async def _fetch(context: JobContext, path: Path) -> None:
    """Put the pieces of the upload together again."""
    piece = 0
    with path.open("wb") as file:
        while True:
            async with context.database.read() as session:
                content = await repository.upload_piece(session, context.job_id, piece=piece)
            if content is None:
                break
            await asyncio.to_thread(file.write, content)
            piece += 1
    if not piece:
        raise Fault("The uploaded file is no longer there")


def _ignore_rows(_: int) -> None:
    pass


def _ignore_outcome(_: Outcome) -> None:
    pass
