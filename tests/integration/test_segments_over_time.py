"""Memberships as time goes by: replayed months, single transactions, the clock alone, and whatever else happens."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import make_url, select

from app.config import Settings
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.definitions import BY_NAME
from app.modelling.segments.evaluation import Reading, read_columns
from app.tables.customers import customers
from app.tables.segments import memberships
from tests.conftest import ADMIN_KEY, Service
from tests.integration.test_kpis_online_retail import invoices, load
from tests.support.memberships import assert_one_number, assert_ranges_are_sound, current, query, ranges, recomputed
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import shop

pytestmark = pytest.mark.anyio

TICK, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
FEATURES = ("days_since_last_purchase", "purchase_count", "total_spend", "purchase_count_90d", "refund_total")


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    currency = getattr(request, "param", "EUR")
    return Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency=currency, pool_size=4)


@pytest.fixture
def modelling(service: Service) -> Modelling:
    return Modelling(service)


def set_clock(modelling: Modelling, at: datetime) -> None:
    modelling.service.clock.advance(at - modelling.state.clock.now())


def lately(modelling: Modelling) -> str:
    """A moment ago: facts of this very instant are not known yet."""
    return (modelling.state.clock.now() - TICK).isoformat()


def month_ends() -> list[datetime]:
    """The first instants of February 2011 to December 2011, and the day after the last fact."""
    months = [datetime(2011, month, 1, tzinfo=UTC) for month in range(2, 13)]
    return [*months, datetime(2011, 12, 10, tzinfo=UTC)]


def naive(*instants: datetime) -> list[datetime]:
    """Instants of UTC as files have them."""
    return [each.astimezone(UTC).replace(tzinfo=None) for each in instants]


def store_between(modelling: Modelling, table: Any, start: datetime, end: datetime) -> None:
    """The invoices of [start, end), as an import brings them: new customers, facts, the dirty set."""
    at, (first, past) = table["InvoiceDate_min"].to_numpy(), (np.datetime64(each, "s") for each in naive(start, end))
    load(table.filter((at >= first) & (at < past)), modelling.service.database_url)
    conninfo = make_url(modelling.service.database_url).set(drivername="postgresql")
    with psycopg.connect(conninfo.render_as_string(hide_password=False)) as connection:
        theirs = "select distinct customer_id from transactions where customer_id is not null"
        window = "and occurred_at >= %s and occurred_at < %s"
        connection.execute(f"insert into customers (customer_id) {theirs} on conflict do nothing")
        connection.execute(
            f"insert into dirty_customers (customer_ids) select array_agg(customer_id) from ({theirs} {window}) as found",
            (start, end),
        )
        connection.execute("analyze customers, transactions, memberships")


async def held(modelling: Modelling, segmentation_id: str, at: datetime) -> dict[str, tuple[str, dict[str, Any]]]:
    """Segment and reason of everybody at an instant, by the lists of members."""
    found = {}
    for segment in (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["segments"]:
        path, params = f"/v1/segments/{segment['segment_id']}/members", {"as_of": at.isoformat(), "format": "ndjson"}
        lines = (await modelling.client.get(path, params=params)).text.splitlines()
        found.update({each["customer_id"]: (segment["key"], each["reason"]) for each in map(json.loads, lines)})
    return found


async def features_at(modelling: Modelling, at: datetime) -> dict[str, list[float]]:
    reading = Reading(tuple(BY_NAME[name] for name in FEATURES), (), at, modelling.reporting)
    async with modelling.state.database.read() as session:
        ids = list(await session.scalars(select(customers.c.customer_id)))
        columns: FeatureColumns = await read_columns(session, reading, scope=ids)
    return {
        each: [float(columns.values[name][place]) for name in FEATURES]
        for place, each in enumerate(columns.customer_ids)
    }


def plainly(rows: list[dict[str, Any]], at: datetime) -> list[float]:
    """The same figures of one customer in plain Python."""
    known = [each for each in rows if each["at"] < at]
    bought = [each for each in known if each["pence"] >= 0]
    paid = [each for each in bought if each["pence"] > 0]
    return [
        float(min((at - each["at"]) // DAY for each in bought)) if bought else float("nan"),
        float(len(paid)),
        sum(each["pence"] for each in bought) / 100,
        float(sum(each["at"] >= at - 90 * DAY for each in paid)),
        -sum(each["pence"] for each in known if each["pence"] < 0) / 100,
    ]


def pence_of(millionths: int) -> int:
    pence = (abs(millionths) + 5_000) // 10_000
    return -pence if millionths < 0 else pence


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("settings", ["GBP"], indirect=True)
async def test_a_replay_of_a_year_answers_every_month_end_as_it_was(modelling: Modelling, real_data: Path) -> None:
    table = invoices(real_data / "online_retail" / "online_retail_2010_2011.csv.gz")
    before, start = datetime(2010, 12, 1, tzinfo=UTC), datetime(2011, 1, 1, tzinfo=UTC)
    set_clock(modelling, start)
    store_between(modelling, table, before, start)
    recent = {
        "all": [{"did": {"type": "purchase", "within_days": 45}}, {"feature": "total_spend", "op": ">", "value": 500}]
    }
    asked: dict[str, dict[str, Any]] = {
        "RFM": {"method": "rfm"},
        "Kinds": {"method": "kmeans", "k": 4},
        "Rules": {"method": "rules", "rules": [{"key": "good", "name": "Good", "when": recent}]},
    }
    learned = [await modelling.learn_and_activate(name, **how) for name, how in asked.items()]
    await modelling.drain()
    await replay(modelling, table)
    await assert_answers_equal_a_recompute(modelling, table, learned)
    await assert_ranges_are_sound(modelling)
    # Whoever has bought is in one segment ever after: no gap, no overlap, no end.
    for (segmentation_id, _), rows in (await ranges(modelling)).items():
        if str(segmentation_id) != learned[2]:
            assert [row.valid_to for row in rows] == [*(row.valid_from for row in rows[1:]), None]
    assert len(await held(modelling, learned[0], month_ends()[-1])) == 4_338  # reference.json: customers who bought


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("settings", ["GBP"], indirect=True)
async def test_a_real_shop_has_the_published_quintiles(modelling: Modelling, real_data: Path) -> None:
    folder, end = real_data / "online_retail", month_ends()[-1]
    set_clock(modelling, end)
    whole = invoices(folder / "online_retail_2010_2011.csv.gz")
    store_between(modelling, whole, datetime(2010, 12, 1, tzinfo=UTC), end)
    segmentation_id = await modelling.learn_and_activate()
    found = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    reference = json.loads((folder / "reference.json").read_text())["rfm"]
    edges, published = found["params"]["edges"], reference["quantiles_20_40_60_80"]
    assert edges["days_since_last_purchase"] == published["R"]
    assert edges["purchase_count"] == published["F"]
    # The reference gives three decimals.
    assert edges["total_spend"] == pytest.approx(published["M"], abs=0.0005)
    assert sum(each["size"] for each in found["segments"]) == reference["customers"]


async def replay(modelling: Modelling, table: Any) -> None:
    """Every month in two halves, so that the clock moves customers within a month too."""
    for end in month_ends():
        start = modelling.state.clock.now()
        for upto in (start + (end - start) / 2, end):
            store_between(modelling, table, modelling.state.clock.now(), upto)
            set_clock(modelling, upto)
            await modelling.drain()


async def assert_answers_equal_a_recompute(modelling: Modelling, table: Any, learned: list[str]) -> None:
    facts: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        fact = {"at": row["InvoiceDate_min"].replace(tzinfo=UTC), "pence": pence_of(row["millionths_sum"])}
        facts.setdefault((row["CustomerID_min"] or "").removesuffix(".0"), []).append(fact)
    for end in month_ends():
        for segmentation_id in learned:
            assert await held(modelling, segmentation_id, end) == await recomputed(modelling, end, segmentation_id), end
        found = await features_at(modelling, end)
        expected = [plainly(facts[each], end) for each in found]
        wrong = ~np.isclose(list(found.values()), expected, rtol=1e-6, atol=1e-12, equal_nan=True).all(axis=1)
        assert [(each, end) for each, is_wrong in zip(found, wrong, strict=True) if is_wrong] == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_shop_fed_one_by_one_is_where_the_whole_would_be(modelling: Modelling, seed: int) -> None:
    rng = random.Random(seed)
    await modelling.service.push(*shop())
    learned = [
        await modelling.learn_and_activate("RFM"),
        await modelling.learn_and_activate("Kinds", method="kmeans", k=3),
    ]
    await modelling.drain()
    for step in range(40):
        modelling.service.clock.advance(timedelta(minutes=rng.randrange(1, 3_000)))
        row = transaction(
            f"S-{step}",
            customer_id=rng.choice([f"C-{rng.randrange(25):02}", f"N-{rng.randrange(5)}"]),
            occurred_at=lately(modelling),
            amount=f"{rng.randrange(1, 300)}",
            kind=rng.choice(["purchase", "purchase", "purchase", "refund"]),
        )
        await modelling.service.push(row)
        if step % 10 == 9:
            await modelling.drain()
            for each in learned:
                batch = await recomputed(modelling, modelling.state.clock.now(), each)
                assert await held(modelling, each, modelling.state.clock.now()) == batch
    await assert_ranges_are_sound(modelling)
    await assert_one_number(modelling)


async def keep_the_feed_alive(modelling: Modelling, number: int) -> None:
    """A fact of somebody else: as long as some come, time moves customers."""
    await modelling.service.push(transaction(f"alive-{number}", customer_id="else", occurred_at=lately(modelling)))
    await modelling.drain()


async def test_a_window_that_runs_out_ends_a_membership_at_its_instant(modelling: Modelling) -> None:
    bought = datetime(2026, 10, 20, 9, 30, tzinfo=UTC)
    await modelling.service.push(transaction("T-1", occurred_at=bought.isoformat()))
    rules = [{"key": "fresh", "name": "Fresh", "when": {"did": {"type": "purchase", "within_days": 30}}}]
    await modelling.learn_and_activate("Fresh", method="rules", rules=rules)
    set_clock(modelling, bought + 30 * DAY - HOUR)
    await keep_the_feed_alive(modelling, 1)
    assert await modelling.drain() == 0
    set_clock(modelling, bought + 30 * DAY)
    assert await modelling.drain() == 0, "the first instant of a window belongs to it"
    assert await modelling.keys_of("C-1") == ["fresh"]
    set_clock(modelling, bought + 30 * DAY + TICK)
    assert await modelling.drain() == 1
    assert await modelling.keys_of("C-1") == []
    assert await modelling.keys_of("C-1", as_of=(bought + 30 * DAY).isoformat()) == ["fresh"]
    [stay] = (await modelling.get("/v1/customers/C-1/segments/history"))["data"]
    assert stay["valid_to"] == (bought + 30 * DAY + TICK).isoformat().replace("+00:00", "Z")
    assert await modelling.keys_of("else") == ["fresh"]


async def test_recency_moves_customers_on_the_day_it_does(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    await modelling.drain()
    for step in range(24):
        modelling.service.clock.advance(timedelta(hours=41))
        if step % 12 == 0:
            await keep_the_feed_alive(modelling, step)
        await modelling.drain()
        now = modelling.state.clock.now()
        found = await held(modelling, segmentation_id, now)
        assert found == await recomputed(modelling, now, segmentation_id)
    moved = len(await query(modelling, select(memberships.c.customer_id).where(memberships.c.valid_to.is_not(None))))
    assert moved > 0
    await assert_ranges_are_sound(modelling)


async def test_a_silent_feed_moves_nobody_until_it_speaks_again(modelling: Modelling) -> None:
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate()
    await keep_the_feed_alive(modelling, 0)
    modelling.service.clock.advance(40 * DAY)
    before = await held(modelling, segmentation_id, modelling.state.clock.now())
    assert await modelling.drain() == 0
    assert await held(modelling, segmentation_id, modelling.state.clock.now()) == before
    await keep_the_feed_alive(modelling, 1)
    now = modelling.state.clock.now()
    after = await held(modelling, segmentation_id, now)
    assert after != before
    assert after == await recomputed(modelling, now, segmentation_id)


async def assert_key_figures_count_the_same(modelling: Modelling, segmentation_id: str, step: int) -> None:
    """Everybody buys on one day: the buyers of that day by segment are the members of that instant."""
    await modelling.drain()
    noon = datetime.combine(modelling.state.clock.now().date() + DAY, datetime.min.time(), UTC) + 12 * HOUR
    everybody = [row.customer_id for row in await query(modelling, select(customers.c.customer_id))]
    modelling.service.clock.advance(noon + HOUR - modelling.state.clock.now())
    day: date = noon.date()
    rows = [
        transaction(f"K-{step}-{n}", customer_id=each, occurred_at=noon.isoformat(), amount="1")
        for n, each in enumerate(everybody)
    ]
    await modelling.service.push(*rows)
    asked = {"metric": "buyers", "group_by": "segment", "segmentation_id": segmentation_id}
    counted = await modelling.get("/v1/kpis", **asked, **{"from": str(day), "to": str(day + DAY)})
    buyers = {row["group"]["segment"]: row["value"] for row in counted["data"] if row["value"]}
    members = {
        each["segment_id"]: len(await modelling.members(each["segment_id"], as_of=noon.isoformat()))
        for each in (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["segments"]
    }
    assert {key: count for key, count in members.items() if count} == {
        key: count for key, count in buyers.items() if key is not None
    }


@pytest.mark.parametrize("seed", range(2))
async def test_every_way_of_counting_gives_one_number_whatever_happened(modelling: Modelling, seed: int) -> None:
    rng = random.Random(seed)
    await modelling.service.push(*shop())
    segmentation_id = await modelling.learn_and_activate("Kinds", method="kmeans", k=3)
    await modelling.learn_and_activate("RFM")

    async def ids() -> list[str]:
        return [row.customer_id for row in await query(modelling, select(customers.c.customer_id))]

    async def ingest(step: int) -> None:
        rows = [
            transaction(
                f"P-{step}-{n}", customer_id=rng.choice([*await ids(), f"N-{step}"]), occurred_at=lately(modelling)
            )
            for n in range(rng.randrange(1, 12))
        ]
        await modelling.service.push(*rows)

    async def merge(step: int) -> None:
        one, other = rng.sample(await ids(), 2)
        answer = await modelling.client.post("/v1/customers/merge", json={"from": one, "into": other})
        assert answer.status_code == 200, answer.text

    async def erase(step: int) -> None:
        assert (await modelling.client.delete(f"/v1/customers/{rng.choice(await ids())}")).status_code == 200

    async def refit(step: int) -> None:
        path = f"/v1/segmentations/{segmentation_id}/refit"
        await modelling.result(await modelling.client.post(path, json={"k": rng.randrange(2, 5), "seed": step}))
        await modelling.start(segmentation_id, "activate")

    async def refresh(step: int) -> None:
        await modelling.start(segmentation_id, "refresh")

    deeds = [ingest, merge, erase, refit, refresh]
    rng.shuffle(deeds)
    for step, deed in enumerate(deeds):
        modelling.service.clock.advance(timedelta(hours=rng.randrange(1, 200)))
        await deed(step)
        await assert_one_number(modelling)
        await modelling.drain()
        await assert_one_number(modelling)
    await assert_key_figures_count_the_same(modelling, segmentation_id, seed)
    await assert_one_number(modelling)
    await assert_ranges_are_sound(modelling)
    assert set(await current(modelling)) <= set(await ids())
