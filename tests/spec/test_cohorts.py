"""Cohorts: literal purchases in, triangles out; by HTTP, in csv, and every refusal."""

import csv
import io
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from tests.conftest import Service
from tests.support import kpi_oracle
from tests.support.kpi_oracle import Fact, Rate, World

pytestmark = pytest.mark.anyio


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


PURCHASES = [
    Fact("T-01", at(8, 1), 0, "C-1"),  # a gift: not yet a purchase
    Fact("T-02", at(9, 1, hour=0), 1_000, "C-1"),
    Fact("T-03", at(9, 5), 500, "C-1"),
    Fact("T-04", at(9, 9), 2_000, "C-2"),
    Fact("T-05", at(9, 10), 100, "C-2", kind="refund"),
    Fact("T-06", at(10, 2), 300, "C-1"),
    Fact("T-07", at(10, 3), 400, "C-3"),
    Fact("T-08", at(11, 1, hour=3), 600, "C-3"),  # today
    Fact("T-09", at(10, 3), 9_000, None),
    Fact("T-10", at(7, 3), 700, "C-4"),  # before the window
    Fact("T-11", at(10, 4), 700, "C-4"),
]
AUTUMN = "from=2026-09-01&to=2027-01-01"


async def ask(service: Service, query: str = AUTUMN, facts: list[Fact] | None = None, **world: Any) -> dict[str, Any]:
    kpi_oracle.store(World(PURCHASES if facts is None else facts, **world), service.database_url)
    answer = await service.client.get(f"/v1/cohorts?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def table(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {row["cohort"]: [cell["value"] for cell in row["cells"]] for row in answer["data"]}


async def test_customers_are_followed_from_the_month_of_their_first_purchase(service: Service) -> None:
    answer = await ask(service, f"{AUTUMN}&metric=buyers")
    # It is 1 November, so December has not begun.
    assert table(answer) == {
        "2026-09": [2, 1, 0, None],
        "2026-10": [1, 1, None, None],
        "2026-11": [0, None, None, None],
        "2026-12": [None] * 4,
    }
    assert [(row["customers"], row["complete"]) for row in answer["data"]] == [
        (2, True),
        (1, True),
        (0, False),
        (0, False),
    ]
    assert [cell["complete"] for cell in answer["data"][0]["cells"]] == [True, True, False, False]
    assert answer["data"][0]["cells"][3] == {
        **{"age": 3, "period": "2026-12", "complete": False, "buyers": None, "value": None},
        **{"low": None, "high": None, "level": None, "n": 0, "reason": "not_begun"},
    }


async def test_retention_has_wilsons_interval_and_nothing_of_nobody(service: Service) -> None:
    answer = await ask(service)
    assert table(answer)["2026-09"] == [1.0, 0.5, 0.0, None]
    # Wilson's interval of 1 of 2: .5 +- z sqrt(z^2 + 2) / (2 (2 + z^2)), z = 1.959964.
    half = answer["data"][0]["cells"][1]
    assert (half["low"], half["high"]) == (pytest.approx(0.09453, abs=1e-5), pytest.approx(0.90547, abs=1e-5))
    assert (half["n"], half["buyers"], half["level"]) == (2, 1, 0.95)
    assert answer["data"][2]["cells"][0]["reason"] == "zero_denominator"


async def test_revenue_is_gross_and_at_the_rate_of_its_day(service: Service) -> None:
    dollar = Fact("T-99", at(10, 20), 1_000, "C-2", currency="USD")
    rates = [Rate(at(10, 18).date(), "USD", "EUR", Fraction("0.8"))]
    answer = await ask(service, f"{AUTUMN}&metric=revenue", [*PURCHASES, dollar], rates=rates)
    assert table(answer)["2026-09"] == [35.0, 11.0, 0.0, None]
    assert table(answer)["2026-10"] == [4.0, 6.0, None, None]
    kpi_oracle.store(World([*PURCHASES, dollar]), service.database_url)
    refused = await service.client.get(f"/v1/cohorts?{AUTUMN}&metric=revenue")
    assert (refused.status_code, refused.json()["code"]) == (422, "missing_exchange_rates")
    assert (await service.client.get(f"/v1/cohorts?{AUTUMN}")).status_code == 200


async def test_without_a_window_the_first_cohort_is_that_of_the_first_transaction(service: Service) -> None:
    answer = await ask(service, "metric=buyers&interval=quarter")
    assert (answer["from"], answer["to"]) == ("2026-07-03T00:00:00Z", "2026-11-01T12:00:00Z")
    # C-1, C-2 and C-4 first bought in the third quarter; C-1 and C-4 again in the fourth, in which C-3 was new.
    assert table(answer) == {"2026-Q3": [3, 2], "2026-Q4": [1, None]}


async def test_before_anything_happened_there_is_one_empty_cohort(service: Service) -> None:
    answer = await service.client.get("/v1/cohorts")
    assert answer.json()["data_as_of"] is None
    assert table(answer.json()) == {"2026-11": [None]}


async def test_csv_has_a_line_for_each_cell(service: Service) -> None:
    await ask(service)
    for query, headers in ((f"{AUTUMN}&format=csv", {}), (AUTUMN, {"Accept": "text/csv, application/json;q=0.5"})):
        answer = await service.client.get(f"/v1/cohorts?{query}", headers=headers)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 16
        assert (rows[1]["cohort"], rows[1]["age"], rows[1]["value"], rows[1]["customers"]) == (
            "2026-09",
            "1",
            "0.5",
            "2",
        )
        assert (rows[3]["value"], rows[3]["reason"]) == ("", "not_begun")


@pytest.mark.parametrize(
    ("query", "code", "error"),
    [
        ("from=2026-02-01&to=2026-01-01", "bad_window", ("from", "bad_window")),
        ("from=x", "bad_window", ("from", "invalid_instant")),
        ("to=%00", "bad_window", ("to", "invalid_instant")),
        ("interval=hour", "invalid_input", ("interval", "literal_error")),
        ("metric=profit", "invalid_input", ("metric", "literal_error")),
        ("customers=all", "invalid_input", ("customers", "literal_error")),
        ("groupby=segment", "invalid_input", ("groupby", "extra_forbidden")),
        ("interval=day&from=2020-01-01&to=2026-01-01", "invalid_input", ("interval", "too_many_points")),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_with_the_place(
    service: Service, query: str, code: str, error: tuple[str, str]
) -> None:
    answer = await service.client.get(f"/v1/cohorts?{query}")
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert (problem["code"], [(each["pointer"], each["code"]) for each in problem["errors"]]) == (code, [error])


async def test_a_key_needs_the_scope_for_key_figures(service: Service) -> None:
    answer = await service.client.post("/v1/keys", json={"name": "till", "scopes": ["ingest"]})
    headers = {"Authorization": f"Bearer {answer.json()['key']}"}
    assert (await service.client.get("/v1/cohorts", headers=headers)).status_code == 403
