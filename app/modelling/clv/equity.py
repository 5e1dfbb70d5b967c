"""Stored forecasts and what they add up to: lists of customers by value, customer equity in total and by segment."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import NoActiveModel, SegmentationNotFound, SegmentNotFound
from app.modelling.clv import repository, worth
from app.modelling.clv.showing import money
from app.modelling.clv.valuation import LEVEL
from app.modelling.clv.worth import Measurement, Together
from app.modelling.predictions import service as predictions
from app.modelling.predictions.repository import PredictiveModel

Position = tuple[int | None, str]


async def listed(
    session: Session, *, segment_id: UUID | None, limit: int, after: Position | None, currency: str
) -> tuple[PredictiveModel, list[dict[str, Any]]]:
    """The serving model and customers by its stored forecasts, the most valuable first; at most limit + 1.

    Raises NoActiveModel and SegmentNotFound.
    """
    model = await predictions.serving(session, "clv")
    if segment_id is not None and not await worth.segment_exists(session, segment_id):
        raise SegmentNotFound()
    rows = await repository.score_page(session, model.model_id, segment_id=segment_id, limit=limit, after=after)
    return model, [{**row, **_stored(row, currency)} for row in rows]


async def section(session: Session, customer_id: str, *, now: datetime, currency: str) -> dict[str, Any]:
    """The stored forecast in a customer's profile, with the time that it is of."""
    nothing = {"as_of": now, "clv": None}
    try:
        model = await predictions.serving(session, "clv")
    except NoActiveModel as error:
        return {**nothing, "reason": error.code}
    row = await repository.stored(session, model.model_id, customer_id)
    about = {"model_id": model.model_id, "horizon_days": model.request["horizon_days"]}
    if row is None:
        return {**nothing, **about, "reason": "not_scored"}
    return {"as_of": row["scored_at"], **_stored(row, currency), **about}


def _stored(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    same = {name: row[name] for name in ("p_alive", "expected_purchases")}
    amounts = {name: money(row[f"{name}_minor"], currency) for name in ("expected_value", "clv")}
    return {**same, **amounts}


async def equity(session: Session, *, by_segment: bool, segmentation_id: UUID | None, currency: str) -> dict[str, Any]:
    """What customers are worth together, now and before. Raises NoActiveModel and SegmentationNotFound."""
    model = await predictions.serving(session, "clv")
    if segmentation_id is not None and not await worth.segmentation_exists(session, segmentation_id):
        raise SegmentationNotFound()
    total = await worth.of_everybody(session, model.model_id)
    found = await worth.by_segment(session, model.model_id, segmentation_id) if by_segment else []
    measured: dict[UUID | None, list[Measurement]] = defaultdict(list)
    for each in await worth.measurements(session, [each.segment_id for each in found if each.segment_id]):
        measured[each.segment_id].append(each)
    shown = _Showing(model, currency, total.equity_minor, measured)
    return {
        "model_id": model.model_id,
        "horizon_days": model.request["horizon_days"],
        "currency": currency,
        "as_of": model.scored_at,
        "total": shown.one(total),
        "segments": [
            {
                **shown.one(each),
                "segmentation_id": each.segmentation_id,
                "segment_id": each.segment_id,
                "key": each.key,
                "name": each.name,
            }
            for each in found
        ],
    }


class _Showing:
    """Sums as they are answered, each with its interval and with what it was before."""

    def __init__(
        self,
        model: PredictiveModel,
        currency: str,
        total_minor: int,
        measured: dict[UUID | None, list[Measurement]],
    ) -> None:
        self._model, self._currency, self._total, self._measured = model, currency, total_minor, measured

    def one(self, found: Together) -> dict[str, Any]:
        history = self._measured.get(found.segment_id, [])
        low, high = self._interval(found, history)
        mean = round(found.equity_minor / found.valued) if found.valued else None
        return {
            "customers": found.customers,
            "valued": found.valued,
            "equity": money(found.equity_minor, self._currency),
            "low": money(low, self._currency),
            "high": money(high, self._currency),
            "level": None if low is None else LEVEL,
            "mean": money(mean, self._currency),
            "share": found.equity_minor / self._total if self._total else None,
            "history": [self._before(each) for each in history],
        }

    def _interval(self, found: Together, history: list[Measurement]) -> tuple[int | None, int | None]:
        """As wide, in proportion, as when everybody was scored: who has come or gone since changes the sum alone."""
        last = next((each for each in history if each.model_id == self._model.model_id), None)
        if last is None or last.low_minor is None or last.high_minor is None or last.equity_minor <= 0:
            return None, None
        return (
            found.equity_minor * last.low_minor // last.equity_minor,
            -(-found.equity_minor * last.high_minor // last.equity_minor),
        )

    def _before(self, found: Measurement) -> dict[str, Any]:
        return {
            "measured_at": found.measured_at,
            "model_id": found.model_id,
            "customers": found.customers,
            "equity": money(found.equity_minor, self._currency),
            "low": money(found.low_minor, self._currency),
            "high": money(found.high_minor, self._currency),
        }
