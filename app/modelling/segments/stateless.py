"""Assigning customers who are not stored, from their features alone."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import anyio.to_thread
import numpy as np

from app.db.engine import Session
from app.errors import FieldError, InvalidInput, SegmentationNotFound, UnknownFeature
from app.modelling.features.columns import Values, is_category
from app.modelling.features.definitions import Feature
from app.modelling.segments import repository
from app.modelling.segments.assigning import Assignment
from app.modelling.segments.repository import Version
from app.modelling.segments.rfm import FREQUENCY
from app.modelling.segments.working import Assigners, Working

Row = Mapping[str, Any]
NOWHERE = {"segment_id": None, "segment_key": None, "segment_name": None, "reason": None}


async def assign(
    session: Session, segmentation_id: UUID, rows: Sequence[Row], *, version: int | None, assigners: Assigners
) -> dict[str, Any]:
    """Where these rows belong. Raises SegmentationNotFound, UnknownFeature, InvalidInput, ModelTampered."""
    found = (
        await repository.shown_version(session, segmentation_id)
        if version is None
        else await repository.version_of(session, segmentation_id, version)
    )
    if found is None:
        raise SegmentationNotFound("There is no such segmentation or version, or it has not been learned yet")
    working = await assigners.of(session, found)
    asks = [column.name for column in working.assigner.derived if not column.name.startswith("by_hand")]
    if asks:
        detail = f"{len(asks)} conditions of these rules ask about more than features; look customers up instead"
        raise InvalidInput(detail, errors=[FieldError("/rows", "not_applicable", detail)])
    values = columns_of(rows, working)
    assignment = await anyio.to_thread.run_sync(working.assigner.assign, values) if rows else None
    data = _shown(assignment, found, len(rows)) if assignment is not None else []
    return {"segmentation_id": segmentation_id, "version": found.version, "data": data}


def columns_of(rows: Sequence[Row], working: Working) -> Values:
    """The rows as columns; what is not given is unknown. Raises UnknownFeature and InvalidInput, naming the place."""
    features = {each.name: each for each in working.assigner.features}
    strange = [(at, name) for at, row in enumerate(rows) for name in row if name not in features]
    if strange:
        raise UnknownFeature(
            f"This version reads {', '.join(features)}",
            errors=[
                FieldError(_pointer(at, name), "unknown_feature", f"{name!r} is not read by this version")
                for at, name in strange[:50]
            ],
        )
    values = {name: _column(rows, feature) for name, feature in features.items()}
    if working.assigner.only_tells_buyers:
        # Whoever is described by purchases has bought, unless the row says otherwise.
        values[FREQUENCY] = np.where(np.isnan(values[FREQUENCY]), 1.0, values[FREQUENCY])
    return values | {column.name: np.full(len(rows), None, dtype=object) for column in working.assigner.derived}


def _pointer(row: int, name: str) -> str:
    return f"/rows/{row}/{name.replace('~', '~0').replace('/', '~1')}"


def _column(rows: Sequence[Row], feature: Feature) -> np.ndarray[Any, Any]:
    wanted = str if is_category(feature) else (int, float)
    values = [row.get(feature.name) for row in rows]
    wrong = [
        at
        for at, value in enumerate(values)
        if value is not None and (isinstance(value, bool) or not isinstance(value, wanted))
    ]
    if wrong:
        kind = "text" if is_category(feature) else "a number"
        raise InvalidInput(
            f"{feature.name} is {kind}",
            errors=[FieldError(_pointer(at, feature.name), "invalid_type", f"must be {kind}") for at in wrong[:50]],
        )
    return np.array(values, dtype=object if is_category(feature) else np.float64)


def _shown(assignment: Assignment, version: Version, rows: int) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = [NOWHERE] * rows
    for place, (position, code) in enumerate(zip(assignment.positions, assignment.codes, strict=True)):
        outcome = assignment.outcomes[code]
        data[position] = {
            "segment_id": version.segment_ids[outcome.segment_key],
            "segment_key": outcome.segment_key,
            "segment_name": version.segment_names[outcome.segment_key],
            "reason": outcome.reason,
        }
        if assignment.confidence is not None:
            data[position]["confidence"] = float(assignment.confidence[place])
    return data
