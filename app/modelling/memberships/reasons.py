"""Why a customer is where they are, worked out anew from the features of an instant by the version that placed them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.modelling.features import repository as features
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Reporting
from app.modelling.features.service import present
from app.modelling.memberships.repository import placed_by
from app.modelling.segments.repository import active_versions, version_of
from app.modelling.segments.working import Assigners, Working


async def explained(
    session: Session,
    customer_id: str,
    *,
    as_of: datetime | None,
    now: datetime,
    reporting: Reporting,
    assigners: Assigners,
) -> dict[str, Any]:
    """For each segmentation why a customer is in the segment they are in, or in none. Raises CustomerNotFound."""
    survivor = await present(session, customer_id)
    found = await placed_by(session, survivor, as_of=as_of)
    placed = {segmentation_id: (number, key) for segmentation_id, number, key in found}
    versions = [await version_of(session, own, number) for own, (number, _) in placed.items()]
    if as_of is None:
        versions += [each for each in await active_versions(session) if each.segmentation_id not in placed]
    data = []
    for version in versions:
        if version is None:
            continue
        working = await assigners.of(session, version)
        why = await _why(session, working, survivor, as_of=as_of or now, reporting=reporting)
        data.append(
            {
                "segmentation_id": version.segmentation_id,
                "version": version.version,
                "segment_key": placed.get(version.segmentation_id, (0, None))[1],
                "method": version.method,
                "explanation": why,
            }
        )
    return {"customer_id": survivor, "as_of": as_of or now, "data": sorted(data, key=lambda each: str(_own(each)))}


def _own(explanation: dict[str, Any]) -> UUID:
    own: UUID = explanation["segmentation_id"]
    return own


async def _why(
    session: Session, working: Working, customer_id: str, *, as_of: datetime, reporting: Reporting
) -> dict[str, Any]:
    assigner = working.assigner
    read = await features.read(
        session, assigner.features, scope=[customer_id], as_of=as_of, reporting=reporting, derived=assigner.derived
    )
    if read.unrated:
        return {"because": "an exchange rate is missing"}
    columns = FeatureColumns.of([*assigner.features, *assigner.derived], read.rows)
    return dict(assigner.explain(columns.values))
