"""Key figures: literal tables of facts in, expected figures out, and the plain Python oracle for everything else."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.clock import format_instant
from app.db.engine import Database
from app.errors import MissingRates
from app.measurement.kpis import service
from app.measurement.kpis.definitions import KPIS
from app.measurement.kpis.question import Reporting, Sent
from tests.support import kpi_oracle
from tests.support.kpi_oracle import METRICS, Fact, Rate, Stay, World

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ADDITIVE = ("purchases", "new_customers", "revenue_gross", "refunds", "revenue_net")


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1, statement_timeout_seconds=30, application="test")
    yield database
    await database.close()


async def ask(database: Database, world: World, *, stored: bool = False, **asked: Any) -> list[dict[str, Any]]:
    """The rows of an answer, identifiers as text."""
    if not stored:
        kpi_oracle.store(world, database.url)
    sent = Sent(metrics=tuple(asked.pop("metrics", METRICS)), **asked)
    reporting = Reporting(currency=world.currency, zone=ZoneInfo(world.zone), now=NOW)
    async with database.read() as session:
        rows: list[dict[str, Any]] = (await service.answer(session, sent=sent, reporting=reporting))["data"]
    for row in rows:
        if row["group"].get("segment") is not None:
            row["group"] = row["group"] | {"segment": str(row["group"]["segment"])}
    return rows


def values(rows: list[dict[str, Any]], *keys: str) -> dict[Any, Any]:
    """Values by metric, or by the named parts of the group, or by period."""

    def key(row: dict[str, Any]) -> Any:
        parts = tuple(row[key] if key in row else row["group"][key] for key in keys or ("metric",))
        return parts if len(parts) > 1 else parts[0]

    return {key(row): row["value"] for row in rows}


WEEK_OF_A_SHOP = [
    Fact("T-1", at(1), 1_000, "C-1"),
    Fact("T-2", at(1), 1_200, "C-1"),
    Fact("T-3", at(2), 1_400, "C-2"),
    Fact("T-4", at(2), 0, "C-3"),  # given away: counts as activity, not as a purchase
    Fact("T-5", at(3), 5_000, None),
    Fact("T-6", at(4), 400, "C-1", kind="refund"),
    Fact("T-7", at(8), 9_900, "C-2"),  # after the window
]


async def test_figures_of_a_week_are_those_of_the_ledger(database: Database) -> None:
    rows = await ask(database, World(WEEK_OF_A_SHOP), from_="2026-10-01", to="2026-10-08")
    assert values(rows) == {
        "purchases": 4,
        "buyers": 2,
        "new_customers": 2,
        "revenue_gross": 86.00,
        "refunds": 4.00,
        "revenue_net": 82.00,
        "average_order_value": 21.50,
    }
    assert {row["metric"]: row["n"] for row in rows} == {
        "purchases": 4,
        "buyers": 2,
        "new_customers": 2,
        "revenue_gross": 4,
        "refunds": 1,
        "revenue_net": 5,
        "average_order_value": 4,
    }


async def test_an_average_has_the_interval_of_its_sample_mean(database: Database) -> None:
    facts = [Fact(f"T-{amount}", at(1), amount) for amount in (1_000, 1_200, 1_400)]
    [row] = await ask(database, World(facts), metrics=["average_order_value"])
    # t(0.975, 2) = 4.302653 in any table, s / sqrt(3) = 2 / sqrt(3) = 1.154701.
    assert (row["value"], row["level"], row["n"]) == (12.0, 0.95, 3)
    assert (row["low"], row["high"]) == (pytest.approx(12 - 4.968275, abs=1e-5), pytest.approx(12 + 4.968275, abs=1e-5))
    assert (row["numerator"], row["denominator"]) == (36.0, 3)


@pytest.mark.parametrize(
    ("amounts", "value", "reason"),
    [([], None, "zero_denominator"), ([700], 7.0, "too_few"), ([5, 5], 0.05, "zero_variance")],
)
async def test_an_average_without_an_interval_says_why(
    database: Database, amounts: list[int], value: float | None, reason: str
) -> None:
    facts = [Fact(f"T-{number}", at(1), amount) for number, amount in enumerate(amounts)]
    [row] = await ask(database, World(facts), metrics=["average_order_value"])
    assert (row["value"], row["low"], row["high"], row["level"], row["reason"]) == (value, None, None, None, reason)


async def test_guests_count_in_revenue_and_cannot_be_counted_as_buyers(database: Database) -> None:
    rows = await ask(database, World(WEEK_OF_A_SHOP), customers="guest", to="2026-10-08")
    assert values(rows)["revenue_gross"] == 50.00
    assert values(rows)["purchases"] == 1
    for row in rows[1:3]:
        assert (row["value"], row["numerator"], row["n"]) == (None, None, 0)
        assert row["reason"] == "guests_are_anonymous"


async def test_known_customers_and_guests_add_up_to_all(database: Database) -> None:
    world = World(WEEK_OF_A_SHOP)
    every, known, guests = [
        values(await ask(database, world, customers=who, metrics=["purchases", "revenue_net"]))
        for who in ("all", "known", "guest")
    ]
    assert every == {metric: known[metric] + guests[metric] for metric in every}


async def test_a_customer_is_new_once_and_only_by_the_first_purchase_ever(database: Database) -> None:
    facts = [
        Fact("T-1", at(1, month=8), 100, "C-1"),
        Fact("T-2", at(1, month=9), 0, "C-2"),  # a gift first: not yet a purchase
        Fact("T-3", at(1, month=10), 100, "C-1"),
        Fact("T-4", at(2, month=10), 100, "C-2"),
        Fact("T-5", at(1, month=8), 100, "C-3", kind="refund"),
        Fact("T-6", at(3, month=10), 100, "C-3"),
    ]
    rows = await ask(database, World(facts), metrics=["new_customers"], interval="month", from_="2026-09-01")
    assert values(rows, "period") == {"2026-09": 0, "2026-10": 2, "2026-11": 0}


async def test_periods_without_facts_are_there_with_zero_or_a_reason(database: Database) -> None:
    facts = [Fact("T-1", at(1, month=8), 100), Fact("T-2", at(1, month=10), 100)]
    metrics = ["revenue_net", "average_order_value"]
    rows = await ask(database, World(facts), metrics=metrics, interval="month", from_="2026-08-01", to="2026-11-01")
    september = [row for row in rows if row["period"] == "2026-09"]
    assert [row["value"] for row in september] == [0.0, None]
    assert "reason" not in september[0]
    assert september[1]["reason"] == "zero_denominator"


async def test_days_and_months_are_cut_in_the_reporting_time_zone(database: Database) -> None:
    # Midnight of 1 November 2026 in Los Angeles is 07:00 UTC; clocks go back that night, so the day has 25 hours.
    midnight = datetime(2026, 11, 1, 7, tzinfo=UTC)
    facts = [
        Fact("T-1", midnight - timedelta(microseconds=1), 1),
        Fact("T-2", midnight, 20),
        Fact("T-3", midnight + timedelta(hours=25, microseconds=-1), 300),
        Fact("T-4", midnight + timedelta(hours=25), 4_000),
    ]
    world = World(facts, zone="America/Los_Angeles")
    window = {"from_": "2026-10-31", "to": "2026-11-03", "metrics": ["revenue_gross"]}
    days = values(await ask(database, world, interval="day", **window), "period")
    assert days == {"2026-10-31": 0.01, "2026-11-01": 3.20, "2026-11-02": 40.00}
    months = values(await ask(database, world, interval="month", stored=True, **window), "period")
    assert months == {"2026-10": 0.01, "2026-11": 43.20}


async def test_a_day_that_a_zone_skipped_is_no_period(database: Database) -> None:
    # Samoa went from 29 to 31 December 2011 when it crossed the date line.
    rows = await ask(
        database,
        World(zone="Pacific/Apia"),
        metrics=["purchases"],
        interval="day",
        from_="2011-12-29",
        to="2012-01-01",
    )
    assert [row["period"] for row in rows] == ["2011-12-29", "2011-12-31"]


async def test_facts_belong_to_the_segment_their_customer_was_in_at_that_time(database: Database) -> None:
    world = World(
        facts=[
            Fact("T-1", at(1), 1, "C-1"),  # before the first membership: counts to it
            Fact("T-2", at(10), 20, "C-1"),
            Fact("T-3", at(15), 300, "C-1"),  # at the very instant of the change: the new segment
            Fact("T-4", at(20), 4_000, "C-1"),  # in a gap
            Fact("T-5", at(25), 50_000, "C-1"),
            Fact("T-6", at(1), 600_000, "C-2"),  # never in it
            Fact("T-7", at(1), 7_000_000, None),
        ],
        stays=[
            Stay("C-1", "loyal", at(5), at(15)),
            Stay("C-1", "asleep", at(15), at(18)),
            Stay("C-1", "loyal", at(22)),
        ],
        segments=("champions", "loyal", "asleep"),
    )
    rows = await ask(database, world, metrics=["revenue_gross", "buyers"], group_by=("segment",))
    assert values(rows, "metric", "segment_key") == {
        ("revenue_gross", "champions"): 0.0,
        ("revenue_gross", "loyal"): 500.21,
        ("revenue_gross", "asleep"): 3.0,
        ("revenue_gross", None): 76_040.0,
        ("buyers", "champions"): 0,
        ("buyers", "loyal"): 1,
        ("buyers", "asleep"): 1,
        ("buyers", None): 2,
    }


async def test_memberships_that_overlap_by_mistake_count_nothing_twice(database: Database) -> None:
    stays = [Stay("C-1", "loyal", at(1), at(20)), Stay("C-1", "asleep", at(10))]
    world = World([Fact("T-1", at(15), 100)], stays=stays, segments=("loyal", "asleep"))
    rows = await ask(database, world, metrics=["purchases"], group_by=("segment",))
    assert values(rows, "segment_key") == {"loyal": 0, "asleep": 1}


async def test_buyers_of_all_history_are_the_members_of_their_segments(database: Database) -> None:
    rng = random.Random(7)
    members = {f"C-{number}": rng.choice(("champions", "loyal", "asleep")) for number in range(50)}
    world = World(
        facts=[Fact(f"T-{number}", at(rng.randrange(1, 28)), 100, f"C-{number % 50}") for number in range(200)],
        stays=[Stay(customer, segment, NOW) for customer, segment in members.items()],
        segments=("champions", "loyal", "asleep"),
    )
    rows = await ask(database, world, metrics=["buyers"], group_by=("segment",))
    assert values(rows, "segment_key") == {key: list(members.values()).count(key) for key in world.segments}


async def test_foreign_amounts_are_converted_at_the_rate_of_their_day(database: Database) -> None:
    world = World(
        facts=[
            Fact("T-1", at(5), 1_000, currency="USD"),
            Fact("T-2", at(7), 1_000, currency="USD"),  # 2 days after the last rate
            Fact("T-3", at(6), 1_000, currency="JPY"),  # no minor units: 1,000 yen
            Fact("T-4", at(6), 1, currency="EUR"),
        ],
        rates=[
            Rate(date(2026, 10, 4), "USD", "EUR", Fraction("0.80")),
            Rate(date(2026, 10, 5), "USD", "EUR", Fraction("0.90")),
            Rate(date(2026, 10, 6), "EUR", "JPY", Fraction("160")),  # the other way round: 1 / 160
        ],
    )
    rows = await ask(database, world, metrics=["revenue_gross"], interval="day", from_="2026-10-05", to="2026-10-08")
    assert values(rows, "period") == {"2026-10-05": 9.00, "2026-10-06": 6.26, "2026-10-07": 9.00}


@pytest.mark.parametrize("rates", [[], [Rate(date(2026, 10, 1), "USD", "EUR", Fraction(1))]])
async def test_amounts_without_a_rate_are_refused_with_currency_and_days(database: Database, rates: list[Rate]) -> None:
    facts = [Fact(f"T-{day}", at(day), 100, currency="GBP") for day in range(9, 16)]
    facts += [Fact("T-0", at(20), 100, currency="USD"), Fact("T-1", at(1), 100)]
    world = World(facts, rates=rates)
    with pytest.raises(MissingRates) as refused:
        await ask(database, world, metrics=["revenue_net"])
    assert [flaw.detail for flaw in refused.value.errors] == [
        "no rate from GBP to EUR for 7 day(s) with transactions; first "
        "2026-10-09, 2026-10-10, 2026-10-11, 2026-10-12, 2026-10-13",
        "no rate from USD to EUR for 1 day(s) with transactions; first 2026-10-20",
    ]


async def test_what_adds_no_amounts_needs_no_rates(database: Database) -> None:
    facts = [Fact("T-1", at(1), 100, currency="GBP"), Fact("T-2", at(2), 100, kind="refund")]
    rows = await ask(database, World(facts), metrics=["purchases", "buyers", "refunds"])
    assert values(rows) == {"purchases": 1, "buyers": 1, "refunds": 1.0}


async def test_sums_stay_exact_where_doubles_do_not(database: Database) -> None:
    # 2**53 + 1 is the first whole number a double cannot hold; its square is beyond a bigint.
    facts = [Fact("T-1", at(1), 2**53), Fact("T-2", at(1), 1), Fact("T-3", at(1), 2**53, kind="refund")]
    assert values(await ask(database, World(facts), metrics=["revenue_net"])) == {"revenue_net": 0.01}


async def test_squares_on_both_sides_of_a_bigint_are_added_exactly(database: Database) -> None:
    # 3,037,000,499 is the largest whole number whose square is below 2**63.
    facts = [Fact(f"T-{amount}", at(1), amount) for amount in (3_037_000_499, 3_037_000_500, 4_000_000_001)]
    [row] = await ask(database, World(facts), metrics=["average_order_value"])
    [expected] = kpi_oracle.answer(World(facts), start=at(1), end=at(2), metrics=["average_order_value"])
    assert row == nearly(expected)


@pytest.mark.parametrize("seed", range(30))
async def test_figures_equal_the_oracle_whatever_the_facts(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    world = kpi_oracle.a_world(rng)
    kpi_oracle.store(world, database.url)
    for _ in range(8):
        begins, ends = a_window(rng, world)
        question: dict[str, Any] = {
            "metrics": METRICS if rng.random() < 0.5 else rng.sample(METRICS, rng.randrange(1, 4)),
            "group_by": tuple(rng.sample(kpi_oracle.DIMENSIONS, rng.choice((0, 1, 1, 2, 3)))),
            "interval": rng.choice(kpi_oracle.INTERVALS),
            "customers": rng.choice(("all", "all", "known", "guest")),
        }
        bounds = {"from_": format_instant(begins), "to": format_instant(ends)}
        found = await ask(database, world, stored=True, **bounds, **question)
        expected = kpi_oracle.answer(world, start=begins, end=ends, **question)
        assert found == [nearly(row) for row in expected], question


def a_window(rng: random.Random, world: World) -> tuple[datetime, datetime]:
    """A window that begins or ends at a fact's very instant as often as not."""
    instants = sorted(fact.occurred_at for fact in world.facts)
    anywhere = instants[0] + timedelta(seconds=rng.randrange(-86_400, 20 * 86_400))
    begins = rng.choice((anywhere, rng.choice(instants)))
    later = [instant for instant in instants if instant > begins]
    somewhere = begins + timedelta(microseconds=rng.randrange(1, 40 * 86_400 * 10**6))
    return begins, rng.choice((somewhere, rng.choice(later or [somewhere])))


def nearly(row: dict[str, Any]) -> dict[str, Any]:
    """Counts and sums exactly; a mean, which the service rounds twice (per unit, then per 100), to 1e-14 of itself."""
    if row["metric"] != "average_order_value":
        return row
    return {key: pytest.approx(value, rel=1e-14) if isinstance(value, float) else value for key, value in row.items()}


@pytest.mark.parametrize("seed", range(100, 115))
async def test_groups_and_months_add_up_to_the_window(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    world = kpi_oracle.a_world(rng, facts=200)
    total = values(await ask(database, world, metrics=ADDITIVE))
    for finer in (
        {"group_by": ("segment",)},
        {"group_by": ("channel", "campaign")},
        {"group_by": ("campaign", "segment"), "interval": "week"},
        {"interval": "month"},
        {"interval": "day"},
    ):
        sums: defaultdict[str, Fraction] = defaultdict(Fraction)
        for row in await ask(database, world, stored=True, metrics=ADDITIVE, **finer):
            sums[row["metric"]] += Fraction(str(row["value"]))
        assert {metric: float(value) for metric, value in sums.items()} == pytest.approx(total, rel=1e-14), finer


async def test_the_page_lists_every_metric_as_it_is_defined() -> None:
    page = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text()
    rows = [
        f"| `{kpi.name}` | {kpi.unit} | {kpi.direction.replace('_', ' ')} | "
        f"{' / '.join(f'`{measure.name}`' for measure in kpi.measures)} | {kpi.meaning} |"
        for kpi in KPIS
    ]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
