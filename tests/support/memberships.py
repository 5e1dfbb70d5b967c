"""Memberships seen from several sides: as ranges, as look-ups and lists, and worked out anew from the facts."""

import csv
import io
import json
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.modelling.features.columns import FeatureColumns
from app.modelling.segments import repository
from app.modelling.segments.evaluation import Reading, read_columns
from app.tables.customers import customers
from app.tables.segments import memberships
from tests.support.modelling import Modelling

# More than a small push may have: such a body is stored at once, and its customers wait in the dirty set.
LARGE_BODY = 70_000


async def push_in_bulk(modelling: Modelling, *rows: dict[str, Any]) -> None:
    """Push transactions as a bulk does: their customers are evaluated later, by whoever drains."""
    body = json.dumps({"transactions": rows}) + " " * LARGE_BODY
    headers = {"Content-Type": "application/json"}
    answer = await modelling.client.post("/v1/transactions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def query(modelling: Modelling, statement: Any) -> list[Any]:
    async with modelling.state.database.read() as session:
        return list((await session.execute(statement)).all())


async def ranges(modelling: Modelling) -> dict[tuple[UUID, str], list[Any]]:
    """All ranges by segmentation and customer, oldest first."""
    found: dict[tuple[UUID, str], list[Any]] = defaultdict(list)
    for row in await query(modelling, select(memberships).order_by(memberships.c.valid_from)):
        found[row.segmentation_id, row.customer_id].append(row)
    return found


async def assert_ranges_are_sound(modelling: Modelling) -> None:
    """Nobody is in two segments of one segmentation at once, and `since` says where the stay began."""
    for rows in (await ranges(modelling)).values():
        assert rows[0].since == rows[0].valid_from
        for earlier, later in pairwise(rows):
            assert earlier.valid_to is not None
            assert earlier.valid_to <= later.valid_from
            stayed = earlier.valid_to == later.valid_from and earlier.segment_id == later.segment_id
            assert later.since == (earlier.since if stayed else later.valid_from)
            if stayed:
                assert (earlier.version, earlier.reason) != (later.version, later.reason)


async def assert_one_number(modelling: Modelling) -> None:
    """Size, list, export and look-up agree for every segment."""
    for listed in (await modelling.get("/v1/segmentations"))["data"]:
        for segment in listed["segments"]:
            members = await modelling.members(segment["segment_id"])
            path = f"/v1/segments/{segment['segment_id']}/members"
            lines = (await modelling.client.get(path, params={"format": "ndjson"})).text.splitlines()
            assert [json.loads(line)["customer_id"] for line in lines] == members
            table = (await modelling.client.get(path, params={"format": "csv"})).text
            assert [row["customer_id"] for row in csv.DictReader(io.StringIO(table))] == members
            assert segment["size"] == len(members)
            answer = await modelling.client.post("/v1/segments/lookup", json={"customer_ids": members})
            assert answer.json()["unknown"] == []
            for each in answer.json()["data"]:
                mine = [m for m in each["memberships"] if m["segmentation_id"] == listed["segmentation_id"]]
                assert [m["segment_id"] for m in mine] == [segment["segment_id"]]


async def recomputed(
    modelling: Modelling, as_of: datetime, segmentation_id: str | None = None
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Segment and reason of everybody, straight from the method: no ranges, no dirty set."""
    async with modelling.state.database.read() as session:
        [version] = await repository.active_versions(session, UUID(segmentation_id) if segmentation_id else None)
        ids = list(await session.scalars(select(customers.c.customer_id)))
        working = await modelling.assigners.of(session, version)
        reading = Reading(working.assigner.features, working.assigner.derived, as_of, modelling.reporting)
        columns: FeatureColumns = await read_columns(session, reading, scope=ids)
    assignment = working.assigner.assign(columns.values)
    outcomes = [assignment.outcomes[code] for code in assignment.codes]
    who = [columns.customer_ids[position] for position in assignment.positions]
    return {each: (o.segment_key, dict(o.reason)) for each, o in zip(who, outcomes, strict=True)}


async def current(modelling: Modelling, **params: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Segment and reason of everybody, as look-ups say."""
    ids = [row.customer_id for row in await query(modelling, select(customers.c.customer_id))]
    found = {each: await modelling.get(f"/v1/customers/{each}/segments", **params) for each in ids}
    return {
        each: (membership["segment_key"], membership["reason"])
        for each, answer in found.items()
        for membership in answer["memberships"]
    }
