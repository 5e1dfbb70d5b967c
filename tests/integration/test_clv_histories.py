"""Purchase histories from literal transactions: what counts as a purchase day, and what it was worth."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.modelling.clv.repository import Histories, Span, bought_after, histories, population
from app.modelling.clv.task import ValueKind
from app.modelling.features.compiler import Range, Reporting
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

# calibration_end is 10 January in Berlin, whose day begins an hour before that of UTC.
BERLIN = Reporting("EUR", ZoneInfo("Europe/Berlin"))
SPAN = Span(datetime(2026, 1, 10, 23, tzinfo=UTC), date(2026, 1, 10))
UNTIL = datetime(2026, 1, 20, 23, tzinfo=UTC)


def fact(name: str, customer_id: str, at: str, amount: str, **more: Any) -> dict[str, Any]:
    return transaction(name, customer_id=customer_id, occurred_at=f"2026-01-{at}Z", amount=amount, **more)


def refund(name: str, customer_id: str, at: str, amount: str, **more: Any) -> dict[str, Any]:
    return fact(name, customer_id, at, amount, kind="refund", **more)


FACTS = [
    # Two on one day of Berlin, which are two days of UTC; the second purchase day is worth 5 + 2.
    fact("a1", "a-days", "01T23:30:00", "1"),
    fact("a2", "a-days", "02T10:00:00", "3"),
    fact("a3", "a-days", "05T10:00:00", "5"),
    fact("a4", "a-days", "05T20:00:00", "2"),
    # The last moment of 10 January in Berlin, and the first after it.
    fact("a5", "a-days", "10T22:59:59", "8"),
    fact("a6", "a-days", "10T23:00:00", "100"),
    # Nothing was paid, but somebody was there.
    fact("b1", "b-zero", "03T10:00:00", "10"),
    fact("b2", "b-zero", "07T10:00:00", "0"),
    # A refund is taken off the day of the purchase it names, whenever it happens, and only once it has.
    fact("c1", "c-linked", "01T10:00:00", "10"),
    fact("c2", "c-linked", "03T10:00:00", "20"),
    fact("c3", "c-linked", "05T10:00:00", "30"),
    refund("c4", "c-linked", "08T10:00:00", "15", refunds="c2"),
    refund("c5", "c-linked", "09T10:00:00", "4", refunds="c1"),
    refund("c6", "c-linked", "12T10:00:00", "30", refunds="c3"),
    # One that names nothing is taken off the last purchase day before it; before the first there is none.
    refund("d0", "d-loose", "01T10:00:00", "7"),
    fact("d1", "d-loose", "02T10:00:00", "10"),
    fact("d2", "d-loose", "04T10:00:00", "20"),
    refund("d3", "d-loose", "05T10:00:00", "6"),
    fact("d4", "d-loose", "06T10:00:00", "30"),
    # More went back than was bought.
    fact("e1", "e-back", "02T10:00:00", "10"),
    fact("e2", "e-back", "04T10:00:00", "20"),
    refund("e3", "e-back", "05T10:00:00", "90"),
    # Only refunds, and nothing before the end: no purchase, no history.
    refund("f1", "f-none", "05T10:00:00", "9"),
    fact("g1", "g-later", "15T10:00:00", "9"),
]
# customer: repeat purchases, age at the last, age, days with a value after the first, their value in cents
EXPECTED = {
    "a-days": (2, 8, 8, 2, 700 + 800),
    "b-zero": (1, 4, 7, 1, 0),
    "c-linked": (2, 4, 9, 2, 2_000 - 1_500 + 3_000),
    "d-loose": (2, 4, 8, 2, 2_000 - 600 + 3_000),
    "e-back": (1, 2, 8, 1, 2_000 - 9_000),
}


async def read(service: Service, *, value: ValueKind = "revenue") -> Histories:
    ids = sorted({each["customer_id"] for each in FACTS} | {"h-foreign", "m-margin"})
    async with service.app.state.service.database.read() as session:
        return await histories(session, ids, SPAN, reporting=BERLIN, value=value)


def by_customer(found: Histories) -> dict[str, tuple[int, ...]]:
    columns = (
        found.repeat_purchases,
        found.age_at_last_purchase,
        found.age,
        found.value_days,
        found.value_minor,
    )
    return dict(zip(found.customer_ids, zip(*(each.tolist() for each in columns), strict=True), strict=True))


async def test_purchase_days_are_counted_and_valued_net_of_refunds(service: Service) -> None:
    await service.push(*FACTS)
    found = await read(service)
    assert by_customer(found) == EXPECTED
    assert found.customer_ids == sorted(EXPECTED)
    assert found.is_valued.all()


async def test_the_population_is_the_same_customers_and_what_they_did_since(service: Service) -> None:
    await service.push(*FACTS)
    everybody = Range("", "zzz")
    async with service.app.state.service.database.read() as session:
        rows = await population(session, everybody, SPAN, until=UNTIL, reporting=BERLIN, value="revenue")
        alone = await population(session, everybody, SPAN, until=None, reporting=BERLIN, value="revenue")
        later = await bought_after(session, everybody, SPAN, until=UNTIL, reporting=BERLIN)
    assert rows is not None
    assert alone is not None
    # Behind the history: purchase days since, how much older at the last of them, what all of it was worth; customers.
    since = {"a-days": (1, 1, 10_000), "c-linked": (0, 0, -3_000)}
    expected = [(*row, *since.get(name, (0, 0, 0)), 1) for name, row in EXPECTED.items()]
    assert sorted(map(tuple, rows.tolist())) == sorted(expected)
    assert sorted(map(tuple, alone.tolist())) == sorted((*row, 0, 0, 0, 1) for row in EXPECTED.values())
    assert later == {1: 1}


async def test_margins_count_only_where_all_of_a_day_is_known(service: Service) -> None:
    await service.push(
        fact("m1", "m-margin", "01T10:00:00", "10", margin="4"),
        fact("m2", "m-margin", "03T10:00:00", "10", margin="3.50"),
        fact("m3", "m-margin", "03T11:00:00", "0"),
        fact("m4", "m-margin", "05T10:00:00", "10"),
        fact("m5", "m-margin", "07T10:00:00", "10", margin="2"),
        refund("m6", "m-margin", "08T10:00:00", "5", margin="1", refunds="m5"),
        fact("m7", "m-margin", "09T10:00:00", "10", margin="9"),
        refund("m8", "m-margin", "10T10:00:00", "5", refunds="m7"),
    )
    found = by_customer(await read(service, value="margin"))
    # 3 and 7 January; on 5 January no margin was given, and of 9 January what the refund took off is not known.
    assert found == {"m-margin": (4, 8, 9, 2, 350 + 200 - 100)}


async def test_amounts_are_converted_by_the_rate_of_their_day_or_not_valued(service: Service) -> None:
    foreign = [fact(f"h{day}", "h-foreign", f"0{day}T10:00:00", "10", currency="USD") for day in (2, 4, 6)]
    await service.push(*FACTS, *foreign)
    unrated = await read(service)
    assert dict(zip(unrated.customer_ids, unrated.is_valued.tolist(), strict=True))["h-foreign"] is False
    assert np.count_nonzero(~unrated.is_valued) == 1
    rates = [
        {"on": day, "from": "USD", "to": "EUR", "rate": rate}
        for day, rate in (("2026-01-01", "0.5"), ("2026-01-05", "0.9"))
    ]
    assert (await service.client.put("/v1/exchange-rates", json={"rates": rates})).status_code == 200
    found = await read(service)
    assert found.is_valued.all()
    assert by_customer(found) == {**EXPECTED, "h-foreign": (2, 4, 8, 2, 500 + 900)}
