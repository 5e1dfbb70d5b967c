"""Scoring everybody by a model: range by range, in steps that commit and are resumed, and what it adds up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import numpy as np
from scipy.special import ndtri

from app.clock import format_instant, parse_instant
from app.db import copy
from app.db.engine import Session
from app.errors import NotReady
from app.jobs.compute import Elsewhere
from app.jobs.runtime import JobContext
from app.modelling.clv import repository, worth
from app.modelling.clv.repository import Histories, Span
from app.modelling.clv.service import day_before, known, opened
from app.modelling.clv.showing import MOST_MINOR, minor
from app.modelling.clv.valuation import LEVEL, Floats, Valued
from app.modelling.clv.worth import Measurement, Together
from app.modelling.features.compiler import Range, Reporting
from app.modelling.features.repository import count_customers
from app.modelling.predictions import repository as life
from app.modelling.registry.shelf import Models
from app.modelling.segments.assignments import hold_people, privacy_epoch
from app.modelling.segments.evaluation import next_range
from app.money import exponent

VALUE = Elsewhere("app.modelling.clv.valuation", "valued")
EVERYBODY = ""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond e to this an interval says nothing any more, and does not fit where it is stored.
WIDEST = 5.0


@dataclass(frozen=True, slots=True)
class Scoring:
    """One scoring of everybody. at: how far it is and what it has added up, as the last step committed it."""

    context: JobContext
    reporting: Reporting
    model_id: UUID
    document: Mapping[str, Any]
    at: dict[str, Any]

    @classmethod
    async def begin(cls, context: JobContext, reporting: Reporting, models: Models, model_id: UUID) -> "Scoring":
        """Where the last attempt stopped, or from the start, as of now. Raises NotReady."""
        at: dict[str, Any] = {
            "model_id": str(model_id),
            "after": "",
            "done": 0,
            "moves": {},
            "as_of": format_instant(context.clock.now()),
        }
        if context.checkpoint and context.checkpoint["model_id"] == str(model_id):
            at |= context.checkpoint
        async with context.step(unit="customers") as step:
            model = await life.find(step.session, "clv", model_id)
            if model is None or model.artifact_id is None:
                raise NotReady("The model has not learned anything yet")
            document = await opened(step.session, model, models, reporting=reporting)
            step.progress(done=at["done"], total=await count_customers(step.session), checkpoint=at)
        return cls(context, reporting, model_id, document, at)

    @property
    def as_of(self) -> datetime:
        return parse_instant(self.at["as_of"])

    async def everybody(self) -> None:
        """Score range by range. What a range needs in memory is bounded, and so is how long others wait for it."""
        while not self.at.get("over"):
            async with self.context.database.read() as session:
                epoch = await privacy_epoch(session)
                around = await next_range(session, self.at["after"])
                if around is not None:
                    found, members = await self._read(session, around)
            if around is None:
                async with self.context.step() as step:
                    await repository.drop_behind(step.session, self.model_id, after=self.at["after"])
                    self.at["over"] = True
                    step.progress(checkpoint=self.at)
                return
            histories = known(found, self.reporting)
            valued, moves = cast(
                tuple[Valued, Floats | None], await self.context.compute.run(VALUE, self.document, histories)
            )
            if moves is not None:
                self._add_up(found, np.where((found.is_valued & valued.is_valued)[:, None], moves, 0.0), members)
            async with self.context.step(unit="customers") as step:
                is_same = await hold_people(step.session) == epoch
                await repository.replace_range(
                    step.session, self.model_id, around, columns=self._columns(found, valued)
                )
                if not is_same:
                    await repository.drop_the_gone(step.session, self.model_id, around)
                self.at.update(after=around.upto, done=self.at["done"] + len(found.customer_ids))
                step.progress(done=self.at["done"], checkpoint=self.at)

    async def _read(self, session: Session, around: Range) -> tuple[Histories, list[tuple[str, UUID]]]:
        span = Span(self.as_of, day_before(self.as_of, self.reporting))
        found = await repository.histories(
            session, around, span, reporting=self.reporting, value=self.document["value"]
        )
        return found, await worth.members_of(session, around)

    def _columns(self, found: Histories, valued: Valued) -> dict[str, copy.Field]:
        rows = len(found.customer_ids)
        unknown = ~(found.is_valued & valued.is_valued)
        currency = self.document["currency"]
        nothing = np.zeros(rows)
        value, clv = valued.expected_value, valued.clv
        as_of = (self.as_of - EPOCH) // timedelta(microseconds=1)
        return {
            "model_id": copy.uuid([self.model_id.bytes] * rows),
            "customer_id": copy.text(found.customer_ids),
            "p_alive": copy.double(np.clip(valued.p_alive, 0, 1)),
            "expected_purchases": copy.double(valued.expected_purchases),
            "expected_value_minor": copy.bigint(
                minor(nothing if value is None else value, currency), unknown | (value is None)
            ),
            "clv_minor": copy.bigint(minor(nothing if clv is None else clv, currency), unknown | (clv is None)),
            "scored_at": copy.timestamptz(np.full(rows, as_of)),
        }

    def _add_up(self, found: Histories, moves: Floats, members: Sequence[tuple[str, UUID]]) -> None:
        """How the sums over everybody and over each segment move with what is uncertain."""
        self._move(EVERYBODY, moves.sum(axis=0))
        places = {customer_id: place for place, customer_id in enumerate(found.customer_ids)}
        of_segment: dict[UUID, list[int]] = {}
        for customer_id, segment_id in members:
            if customer_id in places:
                of_segment.setdefault(segment_id, []).append(places[customer_id])
        for segment_id, theirs in of_segment.items():
            self._move(str(segment_id), moves[theirs].sum(axis=0))

    def _move(self, key: str, moves: Floats) -> None:
        before = self.at["moves"].get(key)
        self.at["moves"][key] = (moves if before is None else moves + np.array(before)).tolist()

    async def finish(self, session: Session) -> None:
        """Keep what everybody and every segment add up to, and that everybody was scored."""
        sums = [await worth.of_everybody(session, self.model_id), *await worth.by_segment(session, self.model_id)]
        await worth.measure(session, [self._measured(each) for each in sums])
        await life.set_scored(session, self.model_id, now=self.as_of)

    def _measured(self, found: Together) -> Measurement:
        low, high = self._interval(found)
        return Measurement(found.segment_id, self.as_of, self.model_id, found.customers, found.equity_minor, low, high)

    def _interval(self, found: Together) -> tuple[int | None, int | None]:
        """From the uncertainty of the parameters, on the scale of logarithms."""
        moves = self.at["moves"].get(EVERYBODY if found.segment_id is None else str(found.segment_id))
        if moves is None or found.equity_minor <= 0:
            return None, None
        deviation = float(np.linalg.norm(moves)) * 10 ** exponent(self.document["currency"])
        relative = deviation / found.equity_minor
        factor = float(np.exp(min(float(ndtri((1 + LEVEL) / 2)) * relative, WIDEST)))
        return round(found.equity_minor / factor), min(round(found.equity_minor * factor), int(MOST_MINOR))
