"""Scoring everybody, range by range, in bounded memory; resumes after the last range that was committed."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from app.clock import format_instant, parse_instant
from app.db.engine import Session
from app.jobs.runtime import JobContext
from app.modelling.churn import repository
from app.modelling.churn.repository import Scores
from app.modelling.churn.scoring import Opened, score
from app.modelling.features.compiler import Range, Reporting
from app.modelling.features.repository import count_customers
from app.modelling.predictions import repository as life
from app.modelling.segments.assignments import hold_people
from app.modelling.segments.evaluation import next_range

PHASES = ("read", "score", "write")


@dataclass(slots=True)
class Run:
    """One scoring of everybody as of one instant. at: where it stands, as the job's checkpoint holds it."""

    context: JobContext
    opened: Opened
    reporting: Reporting
    at: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, context: JobContext, opened: Opened, reporting: Reporting) -> "Run":
        """A new one, or the one that a killed worker had begun."""
        fresh = {
            "model_id": str(opened.model_id),
            "as_of": format_instant(context.clock.now()),
            "after": "",
            "over": False,
            "customers": 0,
            "scored": 0,
            "undetermined": {},
            "ranges": 0,
            "slowest_range_seconds": 0.0,
            "seconds": dict.fromkeys(PHASES, 0.0),
        }
        known = context.checkpoint or {}
        return cls(context, opened, reporting, dict(known) if known.get("model_id") == fresh["model_id"] else fresh)

    @property
    def as_of(self) -> datetime:
        return parse_instant(self.at["as_of"])

    async def everybody(self, *, serving_only: bool) -> bool:
        """Whether it came to its end; not where another model took over meanwhile and serving_only was asked for."""
        async with self.context.step(unit="customers") as step:
            step.progress(total=await count_customers(step.session))
        while not self.at["over"]:
            async with self.context.step(unit="customers") as step:
                # Held by whoever writes scores and by the change of models: neither mixes into a range.
                await life.lock_activation(step.session, "churn")
                await hold_people(step.session)
                if serving_only:
                    active = await life.active(step.session, "churn")
                    if active is None or active.model_id != self.opened.model_id:
                        return False
                around = await next_range(step.session, self.at["after"])
                if around is None:
                    await repository.drop_behind(step.session, self.opened.model_id, after=self.at["after"])
                    self.at["over"] = True
                else:
                    await self._range(step.session, around)
                step.progress(done=self.at["customers"], checkpoint=self.at)
        return True

    async def _range(self, session: Session, around: Range) -> None:
        began = time.perf_counter()
        with self._timed("read"):
            async with await repository.cursor_of(session) as cursor:
                asked = self.opened.asked(self.reporting, uses_clv=True)
                rows = await repository.read(cursor, session.dialect, asked, scope=around, as_of=self.as_of)
        with self._timed("score"):
            scored = await asyncio.to_thread(score, self.opened, rows, currency=self.reporting.currency)
        kept = np.flatnonzero(~np.isnan(scored.probabilities))
        with self._timed("write"):
            await repository.replace_range(
                session,
                self.opened.model_id,
                around,
                customer_ids=[scored.customer_ids[place] for place in kept.tolist()],
                scores=Scores(scored.probabilities[kept], scored.values_minor[kept]),
                scored_at=self.as_of,
            )
        self._count(around, scored.reasons, len(kept), time.perf_counter() - began)

    def _count(self, around: Range, reasons: list[str | None], kept: int, seconds: float) -> None:
        undetermined = Counter(self.at["undetermined"]) + Counter(each for each in reasons if each is not None)
        self.at |= {
            "after": around.upto,
            "customers": self.at["customers"] + len(reasons),
            "scored": self.at["scored"] + kept,
            "undetermined": dict(undetermined),
            "ranges": self.at["ranges"] + 1,
            "slowest_range_seconds": max(self.at["slowest_range_seconds"], round(seconds, 3)),
        }

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.at["seconds"][phase] = round(self.at["seconds"][phase] + time.perf_counter() - began, 3)

    def result(self) -> dict[str, Any]:
        """What the job says of it."""
        left_out = ("after", "over")
        return {name: value for name, value in self.at.items() if name not in left_out}
