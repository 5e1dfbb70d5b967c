"""Who moved where between two instants, and that it is what the members of both instants say."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Service
from tests.support.answers import be_sound
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import CUSTOMERS, shop

pytestmark = pytest.mark.anyio

BEFORE_ALL, FIRST = "2026-10-01T00:00:00Z", "2026-11-01T12:00:00Z"


@pytest.fixture
def modelling(service: Service) -> Modelling:
    service.client.event_hooks["response"].append(be_sound)
    return Modelling(service)


@pytest.fixture
async def active(modelling: Modelling) -> str:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    await modelling.drain()
    return segmentation_id


async def moves(modelling: Modelling, segmentation_id: str, start: str, end: str) -> dict[tuple[Any, Any], int]:
    path = f"/v1/segmentations/{segmentation_id}/transitions"
    found = await modelling.get(path, **{"from": start, "to": end})
    assert (found["segmentation_id"], found["from"], found["to"]) == (segmentation_id, start, end)
    counts = [each["customers"] for each in found["data"]]
    assert counts == sorted(counts, reverse=True)
    return {(each["from_key"], each["to_key"]): each["customers"] for each in found["data"]}


async def placed(modelling: Modelling, segmentation_id: str, at: str) -> dict[str, str]:
    """Key of the segment by customer, from the lists of members."""
    found: dict[str, str] = {}
    for segment in (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["segments"]:
        for customer_id in await modelling.members(segment["segment_id"], as_of=at):
            assert customer_id not in found
            found[customer_id] = segment["key"]
    return found


async def test_between_two_instants_without_a_change_everybody_stays(modelling: Modelling, active: str) -> None:
    found = await moves(modelling, active, FIRST, "2026-11-02T00:00:00Z")
    assert all(start == end for start, end in found)
    assert sum(found.values()) == CUSTOMERS


async def test_before_the_first_activation_nobody_was_anywhere(modelling: Modelling, active: str) -> None:
    found = await moves(modelling, active, BEFORE_ALL, FIRST)
    assert {start for start, _ in found} == {None}
    assert sum(found.values()) == CUSTOMERS
    assert await moves(modelling, active, "2026-09-01T00:00:00Z", BEFORE_ALL) == {}


async def test_moves_are_those_of_the_members_of_both_instants(modelling: Modelling, active: str) -> None:
    instants = [FIRST]
    for step in range(3):
        modelling.service.clock.advance(timedelta(days=40))
        now = modelling.state.clock.now()
        rows = [
            transaction(f"M-{step}-{n}", customer_id=f"C-{n:02}", occurred_at=now.isoformat(), amount="400")
            for n in range(step, 9, 2)
        ]
        await modelling.service.push(*rows, transaction(f"New-{step}", customer_id=f"New-{step}"))
        modelling.service.clock.advance(timedelta(minutes=1))
        await modelling.drain()
        await modelling.start(active, "refresh")
        instants.append(modelling.state.clock.now().isoformat().replace("+00:00", "Z"))
    modelling.service.clock.advance(timedelta(days=1))
    await modelling.start(active, "archive")
    instants.append(modelling.state.clock.now().isoformat().replace("+00:00", "Z"))
    at = {instant: await placed(modelling, active, instant) for instant in instants}
    for place, start in enumerate(instants):
        for end in instants[place + 1 :]:
            one, other = at[start], at[end]
            expected = Counter((one.get(each), other.get(each)) for each in one.keys() | other.keys())
            assert await moves(modelling, active, start, end) == expected
    left = await moves(modelling, active, instants[-2], instants[-1])
    assert {end for _, end in left} == {None}


async def test_a_window_that_is_none_and_a_segmentation_that_is_none_are_refused(
    modelling: Modelling, active: str
) -> None:
    path = f"/v1/segmentations/{active}/transitions"
    for params, status in (
        ({"from": FIRST, "to": FIRST}, 422),
        ({"from": FIRST, "to": BEFORE_ALL}, 422),
        ({"from": FIRST}, 422),
        ({"from": "yesterday", "to": FIRST}, 422),
        ({"from": "2026-10-01T00:00:00", "to": FIRST}, 422),
    ):
        assert (await modelling.client.get(path, params=params)).status_code == status
    unknown = f"/v1/segmentations/{uuid4()}/transitions"
    assert (await modelling.client.get(unknown, params={"from": BEFORE_ALL, "to": FIRST})).status_code == 404
