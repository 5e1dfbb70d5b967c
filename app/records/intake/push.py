"""One small body on its way, as those see it who store several together."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.records.intake.bulk import Kind
from app.records.intake.envelope import Batch
from app.records.intake.outcome import Outcome


@dataclass(slots=True, eq=False)
class Push:
    """Its rows, its entry in the audit log, who waits for what becomes of it."""

    kind: Kind[Any, Any]
    batch: Batch[Any]
    entry: Mapping[str, object]
    answer: "asyncio.Future[Outcome]"
