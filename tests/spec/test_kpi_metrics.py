"""Key figures of engagement, loyalty, costs and value: literal rows in, figures out; and their changes."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.clock import start_of_day
from app.db.engine import Database
from app.errors import MissingRates
from app.measurement.kpis import service
from app.measurement.kpis.question import Reporting, Sent
from tests.support import kpi_oracle
from tests.support.kpi_oracle import Fact, Rate, Stay, World
from tests.support.kpi_tables import Cost, Event, store_costs, store_events, store_values

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OCTOBER = {"from_": "2026-10-01", "to": "2026-11-01"}
SEPTEMBER = {"compare_from": "2026-09-01", "compare_to": "2026-10-01"}


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1, statement_timeout_seconds=30, application="test")
    yield database
    await database.close()


def given(
    database: Database,
    facts: Sequence[Fact] = (),
    *,
    events: Sequence[Event] = (),
    costs: Sequence[Cost] = (),
    **world: Any,
) -> None:
    kpi_oracle.store(World(list(facts), **world), database.url)
    store_events(events, database.url)
    store_costs(costs, database.url)


async def ask(database: Database, *metrics: str, zone: str = "UTC", **asked: Any) -> list[dict[str, Any]]:
    sent = Sent(metrics=metrics, **(OCTOBER | asked))
    reporting = Reporting(currency="EUR", zone=ZoneInfo(zone), now=NOW)
    async with database.read() as session:
        rows: list[dict[str, Any]] = (await service.answer(session, sent=sent, reporting=reporting))["data"]
    return rows


def parts(rows: list[dict[str, Any]], key: str) -> dict[Any, tuple[Any, Any, Any]]:
    """Value, numerator and denominator by a part of the group or by period."""
    return {
        row[key] if key in row else row["group"][key]: (row["value"], row["numerator"], row["denominator"])
        for row in rows
    }


NOTHING = [
    ("conversion_rate", "zero_denominator"),
    ("click_through_rate", "zero_denominator"),
    ("open_rate", "zero_denominator"),
    ("repeat_purchase_rate", "zero_denominator"),
    ("retention_rate", "zero_denominator"),
    ("churn_rate", "zero_denominator"),
    ("csat", "zero_denominator"),
    ("nps", "zero_denominator"),
    ("cost_per_acquisition", "zero_denominator"),
    ("roas", "zero_denominator"),
    ("cltv", "no_active_model"),
    ("revenue_growth", "baseline_missing"),
]


async def test_of_nothing_there_is_no_rate_but_a_reason(database: Database) -> None:
    rows = await ask(database, *(metric for metric, _ in NOTHING))
    assert [(row["metric"], row["reason"]) for row in rows] == NOTHING
    assert {row["value"] for row in rows} == {None}
    compared = await ask(database, *(metric for metric, _ in NOTHING), **SEPTEMBER)
    for row in compared:
        assert row["baseline"]["value"] is row["change"]["absolute"]["value"] is row["change"]["relative"]["value"]
        assert row["baseline"]["reason"], row


async def test_who_converts_after_a_visit_counts_once(database: Database) -> None:
    given(
        database,
        [
            Fact("T-1", at(2), 100, "C-1"),
            Fact("T-2", at(3), 100, "C-1"),
            Fact("T-3", at(1), 100, "C-2"),  # before the visit
            Fact("T-4", at(9), 0, "C-3"),  # a gift is no purchase
            Fact("T-5", at(9), 100, "C-9"),  # bought without a visit
            Fact("T-6", at(9), 100, "C-5", kind="refund"),
            Fact("T-7", at(1, month=11), 100, "C-5"),  # after the window
        ],
        events=[
            Event("visit", at(1), "C-1"),
            Event("page_view", at(2), "C-1"),
            Event("visit", at(5), "C-2"),
            Event("page_view", at(8), "C-3"),
            Event("visit", at(8), "C-4"),
            Event("sign_up", at(8), "C-4"),  # at that very instant
            Event("visit", at(8), "C-5"),
            Event("visit", at(8), "C-6"),
            Event("conversion", at(20), "C-6"),
            Event("click", at(8), "C-7"),
            Event("visit", at(8), None),  # erased
            Event("visit", at(8, month=9), "C-8"),
        ],
    )
    [row] = await ask(database, "conversion_rate")
    # Wilson's interval of 3 of 6 is symmetric: .5 +- z sqrt(z^2 + 6) / (2 (6 + z^2)), z = 1.959964.
    assert (row["value"], row["numerator"], row["denominator"], row["n"], row["level"]) == (0.5, 3, 6, 6, 0.95)
    assert (row["low"], row["high"]) == (pytest.approx(0.18762, abs=1e-5), pytest.approx(0.81238, abs=1e-5))


async def test_a_conversion_belongs_to_the_group_of_the_visit(database: Database) -> None:
    given(
        database,
        [Fact("T-1", at(3), 100, "C-1", channel="store"), Fact("T-2", at(5), 100, "C-2")],
        events=[
            Event("visit", at(2), "C-1", channel="search"),
            Event("visit", at(4), "C-1", channel="email"),  # too late for that purchase
            Event("visit", at(4), "C-2", channel="email"),
            Event("visit", at(4), "C-3"),
        ],
    )
    rows = await ask(database, "conversion_rate", group_by=("channel",))
    assert parts(rows, "channel") == {"email": (0.5, 1, 2), "search": (1.0, 1, 1), None: (0.0, 0, 1)}


async def test_clicks_and_opens_count_once_per_customer_and_campaign(database: Database) -> None:
    given(
        database,
        events=[
            Event("impression", at(1), "C-1", campaign_id="spring"),
            Event("impression", at(2), "C-1", campaign_id="spring"),
            Event("click", at(2), "C-1", campaign_id="spring"),
            Event("click", at(2), "C-1", campaign_id="spring"),
            Event("impression", at(2), "C-1", campaign_id="autumn"),
            Event("impression", at(2), "C-2"),
            Event("click", at(2), "C-2"),
            Event("click", at(2), "C-3", campaign_id="spring"),  # never shown to
            Event("email_sent", at(3), "C-1", campaign_id="spring"),
            Event("email_open", at(3), "C-1", campaign_id="spring"),
            Event("email_sent", at(3), "C-2", campaign_id="spring"),
            Event("email_open", at(4), "C-2", campaign_id="spring"),
            Event("email_click", at(4), "C-2", campaign_id="spring"),
            Event("email_sent", at(3), "C-3", campaign_id="spring"),
            Event("email_open", at(4), "C-3", campaign_id="autumn"),
        ],
    )
    rows = await ask(database, "click_through_rate", "open_rate")
    assert parts(rows, "metric") == {
        # Shown: C-1 spring, C-1 autumn, C-2 without a campaign; mailed: three. Clicked: one, one, one mail.
        "click_through_rate": (0.5, 3, 6),
        "open_rate": (pytest.approx(2 / 3), 2, 3),
    }
    rows = await ask(database, "click_through_rate", group_by=("campaign",))
    assert parts(rows, "campaign") == {"autumn": (0.0, 0, 1), "spring": (0.5, 2, 4), None: (1.0, 1, 1)}


async def test_surveys_are_shares_of_valid_answers(database: Database) -> None:
    csat = [5, 4, 4, 3, 1, 0, 6, "5", None]  # the last four are no answers
    nps = [10, 9, 9, 8, 7, 6, 0, 11, -1, True]  # the last three are none
    given(
        database,
        events=[Event("survey", at(1), None, properties={"csat": answer}) for answer in csat]
        + [Event("survey", at(2), properties={"nps": answer}) for answer in nps]
        + [Event("review", at(2), properties={"nps": 10})],
    )
    csat_row, nps_row = await ask(database, "csat", "nps")
    assert (csat_row["value"], csat_row["numerator"], csat_row["n"]) == (0.6, 3, 5)
    assert (nps_row["value"], nps_row["numerator"], nps_row["denominator"]) == (pytest.approx(1 / 7), 1, 7)
    # (4 - 3) / 9 +- 1.959964 sqrt((7 / 9 - 1 / 81) / 9), by hand.
    assert (nps_row["low"], nps_row["high"]) == (pytest.approx(-0.46047, abs=1e-5), pytest.approx(0.68270, abs=1e-5))
    [known] = await ask(database, "csat", customers="known")
    assert known["reason"] == "zero_denominator"


async def test_repeat_buyers_bought_twice_in_the_same_group_and_period(database: Database) -> None:
    given(
        database,
        [
            Fact("T-1", at(1), 100, "C-1", channel="web"),
            Fact("T-2", at(2), 100, "C-1", channel="store"),
            Fact("T-3", at(3), 100, "C-2", channel="web"),
            Fact("T-4", at(4), 100, "C-2", channel="web"),
            Fact("T-5", at(5), 0, "C-3"),
            Fact("T-6", at(5), 100, "C-3"),
            Fact("T-7", at(5), 100, None),
            Fact("T-8", at(6), 100, None),
        ],
    )
    rows = await ask(database, "repeat_purchase_rate", "buyers")
    assert parts(rows, "metric") == {"repeat_purchase_rate": (pytest.approx(2 / 3), 2, 3), "buyers": (3, 3, None)}
    rows = await ask(database, "repeat_purchase_rate", group_by=("channel",))
    assert parts(rows, "channel") == {"store": (0.0, 0, 1), "web": (0.5, 1, 2), None: (0.0, 0, 1)}


async def test_retention_is_of_the_buyers_of_the_equally_long_window_before(database: Database) -> None:
    given(
        database,
        [
            Fact("T-0", at(31, month=8, hour=0), 100, "C-1"),  # the first instant of 31 days before 1 October
            Fact("T-1", at(9), 100, "C-1"),
            Fact("T-2", at(30, month=9, hour=23), 100, "C-2"),
            Fact("T-3", at(30, month=8), 100, "C-3"),  # too early
            Fact("T-4", at(9), 100, "C-3"),
            Fact("T-5", at(9, month=9), 100, "C-4"),
            Fact("T-6", at(9), 0, "C-4"),
            Fact("T-7", at(9, month=9), 100, "C-5", kind="refund"),
            Fact("T-8", at(9), 100, "C-6"),
        ],
    )
    retention, churn = await ask(database, "retention_rate", "churn_rate")
    assert (retention["value"], retention["numerator"], retention["denominator"]) == (pytest.approx(1 / 3), 1, 3)
    assert (churn["value"], churn["numerator"], churn["denominator"]) == (pytest.approx(2 / 3), 2, 3)
    assert (retention["low"], retention["high"]) == (pytest.approx(1 - churn["high"]), pytest.approx(1 - churn["low"]))


async def test_a_whole_month_follows_the_month_before_and_a_begun_one_as_many_days(database: Database) -> None:
    given(
        database,
        [
            Fact("T-1", at(1, month=8), 100, "C-1"),  # 31 days before 1 September, but in August
            Fact("T-2", at(1, month=9), 100, "C-1"),
            Fact("T-3", at(31, month=10), 100, "C-1"),
            Fact("T-4", at(20, month=10), 100, "C-2"),  # more than 3 days before 1 November
            Fact("T-5", at(2, month=11), 100, "C-1"),
        ],
    )
    window = {"from_": "2026-09-01", "to": "2026-11-04", "interval": "month"}
    rows = await ask(database, "retention_rate", **window)
    assert parts(rows, "period") == {"2026-09": (1.0, 1, 1), "2026-10": (1.0, 1, 1), "2026-11": (1.0, 1, 1)}


@pytest.mark.parametrize("seed", range(12))
async def test_customers_kept_are_those_that_a_loop_finds(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    zone = ZoneInfo(rng.choice(("UTC", "Europe/Berlin", "America/Los_Angeles")))
    begins = at(1, month=8)
    facts = [
        Fact(f"T-{n}", begins + timedelta(minutes=rng.randrange(120 * 1440)), rng.choice((0, 1, 5)), f"C-{n % 25}")
        for n in range(120)
    ]
    given(database, facts)
    first = date(2026, 9, 1) + timedelta(days=rng.randrange(30))
    past = first + timedelta(days=rng.randrange(1, 80))
    interval = rng.choice((None, "week", "month"))
    window = {"from_": str(first), "to": str(past), "interval": interval}
    rows = await ask(database, "retention_rate", zone=str(zone), **window)
    found = [(row["numerator"], row["denominator"]) for row in rows]
    assert found == [_kept(facts, days, zone) for days in _days(first, past, interval)], (window, zone)


def _days(first: date, past: date, interval: str | None) -> list[tuple[date, date, date]]:
    """Of each period where the one before begins, where it begins and where it ends."""
    label = {None: lambda day: "", "week": lambda day: day.strftime("%G-W%V"), "month": lambda day: f"{day:%Y-%m}"}
    name, one = label[interval], timedelta(days=1)
    periods: dict[str, list[date]] = {}
    for offset in range((past - first).days):
        periods.setdefault(name(first + offset * one), []).append(first + offset * one)
    found = []
    for days in periods.values():
        begins, ends = days[0], days[-1] + one
        before = begins - len(days) * one
        if interval and name(begins - one) != name(begins) and name(ends - one) != name(ends):
            before = begins - one
            while name(before - one) == name(before):
                before -= one
        found.append((before, begins, ends))
    return found


def _kept(facts: Sequence[Fact], days: tuple[date, date, date], zone: ZoneInfo) -> tuple[int, int]:
    before, begins, ends = (start_of_day(day, zone) for day in days)
    active = {fact.customer_id for fact in facts if fact.amount_minor and before <= fact.occurred_at < begins}
    again = {fact.customer_id for fact in facts if fact.amount_minor and begins <= fact.occurred_at < ends}
    return len(active & again), len(active)


async def test_lifetime_value_is_the_mean_over_the_customers_of_a_segment_now(database: Database) -> None:
    given(
        database,
        [Fact("T-1", at(1), 100)],
        stays=[Stay("C-1", "asleep", at(1), at(5)), *(Stay(f"C-{n}", "loyal", at(5)) for n in (1, 2, 3))],
        segments=("loyal", "asleep"),
    )
    store_values({"C-1": 1_000, "C-2": 1_200, "C-3": 1_400, "C-4": 10_000, "C-5": None}, database.url)
    [row] = await ask(database, "cltv")
    assert (row["value"], row["numerator"], row["denominator"], row["n"]) == (34.0, 136.0, 4, 4)
    rows = await ask(database, "cltv", group_by=("segment",))
    assert parts(rows, "segment_key") == {
        "loyal": (12.0, 36.0, 3),
        "asleep": (None, 0.0, 0),
        None: (100.0, 100.0, 1),
    }
    # t(0.975, 2) = 4.302653, s / sqrt(3) = 2 / sqrt(3).
    assert (rows[0]["low"], rows[0]["high"]) == (pytest.approx(12 - 4.968275), pytest.approx(12 + 4.968275))
    assert [row["reason"] for row in rows[1:]] == ["zero_denominator", "too_few"]


async def test_a_candidate_says_nothing_of_lifetime_values(database: Database) -> None:
    store_values({"C-1": 1_000}, database.url, status="candidate")
    [row] = await ask(database, "cltv")
    assert (row["value"], row["reason"]) == (None, "no_active_model")


MARKETING = [
    Cost(31_00, date(2026, 10, 1), date(2026, 11, 1), channel="search"),  # 1.00 a day
    Cost(40_00, date(2026, 9, 21), date(2026, 10, 11), channel="email", campaign_id="spring"),  # 2.00 a day, 10 days
    Cost(7_00, date(2026, 10, 1), date(2026, 10, 8), category="technology"),
    Cost(99_00, date(2026, 11, 1), date(2026, 11, 2), channel="search"),
]
ADVERTISED = [
    Fact("T-1", at(2), 5_000, "C-1", channel="search"),
    Fact("T-2", at(3), 1_000, "C-2", channel="search"),
    Fact("T-3", at(3), 2_000, "C-2", channel="email", campaign_id="spring"),
    Fact("T-4", at(4), 500, "C-2", channel="email", campaign_id="spring", kind="refund"),
    Fact("T-5", at(5), 9_000, "C-3", channel="store"),
    Fact("T-6", at(5), 700, "C-4"),
]


async def test_costs_per_new_customer_and_revenue_per_media_cost(database: Database) -> None:
    given(database, ADVERTISED, costs=MARKETING)
    rows = await ask(database, "cost_per_acquisition", "roas")
    # 31 + 20 + 7 euros for four customers; 50 + 10 + 20 - 5 euros of 51 of media, without what no media paid for.
    assert parts(rows, "metric") == {
        "cost_per_acquisition": (14.5, 58.0, 4),
        "roas": (pytest.approx(75 / 51), 75.0, 51.0),
    }
    rows = await ask(database, "cost_per_acquisition", group_by=("channel",))
    assert parts(rows, "channel") == {
        "email": (None, 20.0, 0),
        "search": (15.5, 31.0, 2),
        "store": (0.0, 0.0, 1),
        None: (None, 7.0, 1),
    }
    assert [row.get("reason") for row in rows] == ["zero_denominator", None, None, "untagged"]
    rows = await ask(database, "roas", group_by=("channel", "campaign"))
    assert {tuple(row["group"].values()): row["value"] for row in rows} == {
        ("email", "spring"): 0.75,
        ("search", None): pytest.approx(60 / 31),
        ("store", None): None,
        (None, None): None,
    }


async def test_costs_are_cut_by_period_and_add_up(database: Database) -> None:
    given(database, ADVERTISED, costs=MARKETING)
    rows = await ask(database, "cost_per_acquisition", interval="week")
    # Thursday 1 to Sunday 4 October: four days of 1.00, 2.00 and 1.00; then seven of 1.00, six of 2.00, three of 1.00.
    assert [row["numerator"] for row in rows] == [16.0, 22.0, 7.0, 7.0, 6.0]


async def test_parts_of_a_day_have_no_costs_to_speak_of(database: Database) -> None:
    given(database, ADVERTISED, costs=MARKETING)
    window = {"from_": "2026-10-02T10:00:00Z", "to": "2026-10-02T18:00:00Z"}
    [row] = await ask(database, "cost_per_acquisition", **window)
    assert (row["value"], row["reason"]) == (None, "shorter_than_a_day")


async def test_costs_and_revenue_abroad_take_rates_or_are_refused(database: Database) -> None:
    facts = [Fact("T-1", at(2), 1_000, currency="GBP", channel="search")]
    costs = [Cost(10_00, date(2026, 10, 2), date(2026, 10, 3), channel="search", currency="GBP")]
    given(database, facts, costs=costs)
    for metric, what in (("cost_per_acquisition", "costs"), ("roas", "transactions")):
        with pytest.raises(MissingRates) as refused:
            await ask(database, metric)
        assert f"1 day(s) with {what}; first 2026-10-02" in refused.value.errors[0].detail
    given(database, facts, costs=costs, rates=[Rate(date(2026, 10, 1), "GBP", "EUR", Fraction("1.25"))])
    rows = await ask(database, "cost_per_acquisition", "roas")
    assert parts(rows, "metric") == {"cost_per_acquisition": (12.5, 12.5, 1), "roas": (1.0, 12.5, 12.5)}


@pytest.mark.parametrize(
    ("metric", "group_by", "interval", "reason"),
    [
        ("cost_per_acquisition", ("segment",), None, "grouping_has_no_meaning"),
        ("roas", ("segment", "channel"), None, "grouping_has_no_meaning"),
        ("cltv", ("channel",), None, "grouping_has_no_meaning"),
        ("cltv", (), "month", "period_has_no_meaning"),
    ],
)
async def test_a_grouping_without_meaning_is_null_with_a_reason(
    database: Database, metric: str, group_by: tuple[Any, ...], interval: Any, reason: str
) -> None:
    given(database, ADVERTISED, costs=MARKETING, segments=("loyal",))
    store_values({"C-1": 1_000}, database.url)
    rows = await ask(database, metric, group_by=group_by, interval=interval)
    assert rows
    assert {(row["value"], row["numerator"], row["reason"]) for row in rows} == {(None, None, reason)}


async def test_guests_have_no_figures_of_customers(database: Database) -> None:
    given(database, [Fact("T-1", at(1), 100, None)])
    metrics = ("retention_rate", "repeat_purchase_rate", "conversion_rate", "open_rate", "nps", "cltv")
    rows = await ask(database, *metrics, customers="guest")
    assert {row["reason"] for row in rows} == {"guests_are_anonymous"}


async def test_growth_and_changes_of_sums_are_exact_and_have_no_interval(database: Database) -> None:
    given(
        database,
        [
            Fact("T-1", at(5, month=9), 10_000),
            Fact("T-2", at(5), 13_000),
            Fact("T-3", at(6), 500, kind="refund"),
        ],
    )
    net, growth, refunds = await ask(database, "revenue_net", "revenue_growth", "refunds", **SEPTEMBER)
    assert (net["value"], net["baseline"]["value"]) == (125.0, 100.0)
    assert (net["change"]["absolute"]["value"], net["change"]["relative"]["value"]) == (25.0, 0.25)
    assert net["change"]["absolute"]["low"] is net["change"]["relative"]["low"] is None
    assert (growth["value"], growth["numerator"], growth["denominator"]) == (0.25, 25.0, 100.0)
    assert refunds["change"]["absolute"]["value"] == 5.0
    assert refunds["change"]["relative"] == {"value": None, "reason": "zero_denominator", "n": 1}


async def test_growth_out_of_nothing_or_a_loss_is_no_share(database: Database) -> None:
    given(database, [Fact("T-1", at(5, month=9), 100, kind="refund"), Fact("T-2", at(5), 100)])
    [row] = await ask(database, "revenue_growth", **SEPTEMBER)
    assert (row["value"], row["denominator"], row["reason"]) == (None, -1.0, "zero_denominator")


async def test_a_mean_changes_by_welch_and_the_delta_method(database: Database) -> None:
    before = [Fact(f"B-{amount}", at(5, month=9), amount * 100) for amount in (24, 25, 26)]
    given(database, before + [Fact(f"A-{amount}", at(5), amount * 100) for amount in (30, 34, 38)])
    [row] = await ask(database, "average_order_value", **SEPTEMBER)
    absolute, relative = row["change"]["absolute"], row["change"]["relative"]
    # Means 34 and 25, standard error sqrt(16 / 3 + 1 / 3) = 2.3805 with 2.249 degrees of freedom: t = 3.8764.
    assert (absolute["value"], absolute["method"], absolute["n"]) == (9.0, "welch", 6)
    assert absolute["low"] == pytest.approx(9 - 9.2279, abs=0.01)
    assert (relative["value"], relative["method"]) == (pytest.approx(0.36), "delta")
    assert relative["low"] < 0.36 < relative["high"]


async def test_a_share_changes_by_newcombe_and_koopman(database: Database) -> None:
    # 56 of 70 against 48 of 80: .2, .0524 to .3339 (Newcombe 1998, table II, example a, method 10).
    facts = [Fact(f"A-{n}-{k}", at(5), 1, f"C-{n}") for n in range(70) for k in range(2 if n < 56 else 1)]
    facts += [Fact(f"B-{n}-{k}", at(5, month=9), 1, f"C-{n}") for n in range(80) for k in range(2 if n < 48 else 1)]
    given(database, facts)
    [row] = await ask(database, "repeat_purchase_rate", **SEPTEMBER)
    absolute, relative = row["change"]["absolute"], row["change"]["relative"]
    assert (absolute["value"], absolute["low"], absolute["high"]) == (
        pytest.approx(0.2),
        pytest.approx(0.0524, abs=5e-5),
        pytest.approx(0.3339, abs=5e-5),
    )
    assert (absolute["method"], absolute["n"], relative["method"]) == ("newcombe", 150, "koopman")
    assert relative["value"] == pytest.approx(1 / 3)
    assert relative["low"] < relative["value"] < relative["high"]


async def test_a_score_changes_absolutely_only(database: Database) -> None:
    answers = [(10, 10), (10, 10), (0, 9), (9, 8), (9, 10), (7, 10)]
    given(
        database,
        events=[Event("survey", at(1, month=month), properties={"nps": nps}) for nps, month in answers],
    )
    [row] = await ask(database, "nps", **SEPTEMBER, from_="2026-10-01", to="2026-11-01")
    assert (row["value"], row["baseline"]["value"]) == (pytest.approx(3 / 4), -1.0)
    assert row["change"]["absolute"] == {
        **{"value": pytest.approx(1.75), "low": None, "high": None, "level": 0.95, "method": "welch", "n": 5},
        "reason": "too_few",
    }
    assert row["change"]["relative"] == {"value": None, "reason": "relative_has_no_meaning", "n": 5}


async def test_periods_are_compared_in_their_order_and_groups_of_either_window_are_shown(database: Database) -> None:
    given(
        database,
        [
            Fact("T-1", at(5, month=8), 100, channel="web"),
            Fact("T-2", at(5, month=9), 300, channel="store"),
            Fact("T-3", at(5), 500, channel="web"),
        ],
    )
    rows = await ask(
        database,
        "purchases",
        group_by=("channel",),
        interval="month",
        from_="2026-09-01",
        to="2026-11-01",
        compare_from="2026-08-01",
        compare_to="2026-09-01",
    )
    found = [(row["group"]["channel"], row["period"], row["value"], row["baseline"]["value"]) for row in rows]
    assert found == [
        ("store", "2026-09", 1, 0),
        ("store", "2026-10", 0, None),
        ("web", "2026-09", 0, 1),
        ("web", "2026-10", 1, None),
    ]
    assert {row["baseline"].get("reason") for row in rows} == {None, "baseline_missing"}


async def test_segments_of_events_are_those_of_that_time(database: Database) -> None:
    given(
        database,
        [Fact("T-1", at(20), 100)],
        events=[Event("visit", at(2)), Event("visit", at(19)), Event("survey", at(2), properties={"csat": 5})],
        stays=[Stay("C-1", "loyal", at(1), at(10)), Stay("C-1", "asleep", at(10))],
        segments=("loyal", "asleep"),
    )
    rows = await ask(database, "conversion_rate", "csat", group_by=("segment",))
    assert [(row["metric"], row["group"]["segment_key"], row["denominator"]) for row in rows] == [
        ("conversion_rate", "loyal", 1),
        ("conversion_rate", "asleep", 1),
        ("csat", "loyal", 1),
        ("csat", "asleep", 0),
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_visits_and_messages_are_those_that_a_loop_finds(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    zone = ZoneInfo(rng.choice(("UTC", "America/Los_Angeles")))
    types = ("visit", "page_view", "sign_up", "impression", "click", "email_sent", "email_click", "email_open")
    events = [
        Event(
            rng.choice(types),
            at(1) + timedelta(hours=rng.randrange(28 * 24)),
            rng.choice((None, *(f"C-{n}" for n in range(6)))),
            rng.choice((None, "web")),
            rng.choice((None, "spring", "autumn")),
        )
        for _ in range(250)
    ]
    facts = [Fact(f"T-{n}", at(1) + timedelta(hours=rng.randrange(28 * 24)), 1, f"C-{n % 8}") for n in range(12)]
    given(database, facts, events=events)
    metrics = ("conversion_rate", "click_through_rate", "open_rate")
    rows = await ask(database, *metrics, zone=str(zone), interval="week", group_by=("channel",))
    found = {
        (row["metric"], row["group"]["channel"], row["period"]): (row["numerator"], row["denominator"]) for row in rows
    }

    def week(instant: datetime) -> str:
        return instant.astimezone(zone).strftime("%G-W%V")

    first = start_of_day(date(2026, 10, 1), zone)
    weeks = sorted({week(first + timedelta(days=n)) for n in range(31)})
    assert found == {
        (metric, channel, label): _loop(
            metric,
            [e for e in events if week(e.occurred_at) == label and e.customer_id],
            [f for f in facts if week(f.occurred_at) == label],
            channel,
        )
        for metric in metrics
        for channel in ("web", None)
        for label in weeks
    }


def _loop(metric: str, events: list[Event], facts: list[Fact], channel: str | None) -> tuple[int, int]:
    """Of one week: how many did, and how many could."""
    if metric == "conversion_rate":
        visits: dict[str | None, datetime] = {}
        for event in sorted(events, key=lambda event: event.occurred_at):
            if event.type in ("visit", "page_view") and event.channel == channel:
                visits.setdefault(event.customer_id, event.occurred_at)
        then = [(event.customer_id, event.occurred_at) for event in events if event.type == "sign_up"]
        then += [(fact.customer_id, fact.occurred_at) for fact in facts]
        return len({who for who, when in then if who in visits and when >= visits[who]}), len(visits)
    answers = {"impression": "click", "email_sent": "email_click"}
    if metric == "open_rate":
        answers = {"email_sent": "email_open"}
    sent = {(e.type, e.customer_id, e.campaign_id) for e in events if e.type in answers and e.channel == channel}
    back = {(e.type, e.customer_id, e.campaign_id) for e in events}
    return sum((answers[type_], who, about) in back for type_, who, about in sent), len(sent)
