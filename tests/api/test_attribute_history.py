"""Attributes that no longer hold stay known, so that any past day can be asked again."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.test_privacy import fetch, push
from tests.conftest import NOW, Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

# The clock of `service` stands here.
PRESENT = "2026-11-01 12:00:00+00"


def told(month: int | None, **attributes: Any) -> dict[str, Any]:
    at = {} if month is None else {"updated_at": f"2026-{month:02}-01T00:00:00Z"}
    return {"customer_id": "C-1", "attributes": attributes, **at}


def begin(month: int) -> str:
    return f"2026-{month:02}-01 00:00:00+00"


async def history(service: Service) -> list[tuple[Any, ...]]:
    """Every stretch with its attributes, the one that holds now last and without an end."""
    return await fetch(
        service,
        "select valid_from::text, valid_to::text, attributes from past_attributes union all"
        " select attributes_since::text, null, attributes from customers order by 1",
    )


async def test_what_is_replaced_held_until_the_update(service: Service) -> None:
    await push(service, "customers", told(1, city="Rome", n=1))
    await push(service, "customers", told(3, city="Oslo"))
    await push(service, "customers", told(4, n=None))
    assert await history(service) == [
        (begin(1), begin(3), {"city": "Rome", "n": 1}),
        (begin(3), begin(4), {"city": "Oslo", "n": 1}),
        (begin(4), None, {"city": "Oslo"}),
    ]


async def test_rows_of_one_body_each_leave_what_they_replaced(service: Service) -> None:
    await push(service, "customers", told(1, n=1), told(2, n=2), told(2, n=2.5), told(5, n=3))
    assert await history(service) == [
        (begin(1), begin(2), {"n": 1}),
        # What held for no time leaves no trace.
        (begin(2), begin(5), {"n": 2.5}),
        (begin(5), None, {"n": 3}),
    ]


async def test_without_updated_at_attributes_hold_from_the_push_on(service: Service) -> None:
    await push(service, "customers", told(None, n=1))
    service.clock.advance(timedelta(hours=1))
    await push(service, "customers", told(None, n=2))
    assert await history(service) == [
        (PRESENT, "2026-11-01 13:00:00+00", {"n": 1}),
        ("2026-11-01 13:00:00+00", None, {"n": 2}),
    ]


async def test_an_update_dated_in_the_future_holds_from_now_on(service: Service) -> None:
    await push(service, "customers", told(1, n=1))
    await push(service, "customers", told(12, n=2))
    assert await history(service) == [(begin(1), PRESENT, {"n": 1}), (PRESENT, None, {"n": 2})]


async def test_nothing_holds_from_before_what_it_replaces(service: Service) -> None:
    await push(service, "customers", told(None, n=1))
    # Its updated_at is the first known, so that it counts, but what it replaces was told only now.
    await push(service, "customers", told(3, n=2))
    assert await history(service) == [(PRESENT, None, {"n": 2})]


async def test_an_older_push_fills_gaps_from_where_the_known_began(service: Service) -> None:
    await push(service, "customers", told(5, n=1))
    await push(service, "customers", told(2, n=7, city="Rome"))
    assert await history(service) == [(begin(5), None, {"n": 1, "city": "Rome"})]


async def test_a_push_that_changes_no_attribute_begins_no_stretch(service: Service) -> None:
    await push(service, "customers", told(1, n=1))
    await push(service, "customers", {**told(2, n=1.0), "consent": {"marketing": True}})
    await push(service, "customers", {"customer_id": "C-1", "updated_at": "2026-03-01T00:00:00Z"})
    assert await history(service) == [(begin(1), None, {"n": 1})]


async def test_a_customer_who_was_only_named_has_no_attributes_since_ever(service: Service) -> None:
    await service.push(transaction())
    assert await history(service) == [(None, None, {})]
    await push(service, "customers", told(3, n=1))
    assert await history(service) == [(begin(3), None, {"n": 1})]


async def test_a_refused_update_leaves_the_history_as_it_is(service: Service) -> None:
    await push(service, "customers", told(1, n="x" * 40_000))
    answer = await push(service, "customers", told(2, m="x" * 40_000))
    assert answer["rejected"][0]["code"] == "too_large"
    assert [row[:2] for row in await history(service)] == [(begin(1), None)]


async def test_a_tracked_trait_holds_from_the_service_s_present(service: Service) -> None:
    body = {"batch": [{"type": "identify", "userId": "C-1", "messageId": "m-1", "traits": {"n": 1}}]}
    answer = await service.client.post("/v1/batch", json=body)
    assert answer.status_code == 200, answer.text
    [(since, _, attributes)] = await history(service)
    assert (since, attributes) == (PRESENT, {"n": 1})
    assert str(NOW)[:19] == PRESENT[:19]
