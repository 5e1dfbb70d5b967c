"""Key figures over HTTP: the question, the shape of the answer, and every refusal."""

import csv
import io
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url

from app.measurement.kpis.definitions import KPIS
from app.measurement.kpis.service import MAX_POINTS
from tests.conftest import Service
from tests.support import kpi_oracle
from tests.support.kpi_oracle import World
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import shop

pytestmark = pytest.mark.anyio

NOVEMBER = "metric=purchases&from=2026-11-01&to=2026-12-01"
# GET /v1/kpis of the contract.
CONTRACT = [
    "conversion_rate",
    "average_order_value",
    "cltv",
    "cost_per_acquisition",
    "revenue_gross",
    "refunds",
    "revenue_net",
    "purchases",
    "buyers",
    "new_customers",
    "repeat_purchase_rate",
    "retention_rate",
    "churn_rate",
    "click_through_rate",
    "open_rate",
    "csat",
    "nps",
    "roas",
    "revenue_growth",
]


async def ask(service: Service, query: str) -> dict[str, Any]:
    answer = await service.client.get(f"/v1/kpis?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(service: Service, query: str, *, status: int = 422) -> tuple[str, list[tuple[str, str]]]:
    """The problem's code, and pointer and code of each error in it."""
    answer = await service.client.get(f"/v1/kpis?{query}")
    assert answer.status_code == status, answer.text
    problem = answer.json()
    return problem["code"], [(error["pointer"], error["code"]) for error in problem["errors"]]


def connect(service: Service) -> psycopg.Connection:
    url = make_url(service.database_url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))


async def test_what_was_pushed_is_in_the_next_answer(service: Service) -> None:
    await service.push(
        transaction("T-1", amount="10.00"),
        transaction("T-2", amount="14.50", customer_id="C-2"),
        transaction("T-3", amount="4.50", kind="refund"),
    )
    answer = await ask(service, "metric=revenue_net&from=2026-10-01&to=2026-11-01")
    data_as_of = answer.pop("data_as_of")
    assert data_as_of.endswith("Z")
    assert answer == {
        "from": "2026-10-01T00:00:00Z",
        "to": "2026-11-01T00:00:00Z",
        "currency": "EUR",
        "timezone": "UTC",
        "interval": None,
        "data": [
            {
                "metric": "revenue_net",
                "group": {},
                "period": None,
                "value": 20.0,
                "low": None,
                "high": None,
                "level": None,
                "n": 3,
                "numerator": 20.0,
                "denominator": None,
            }
        ],
    }


async def test_without_bounds_the_window_is_all_history_until_now(service: Service) -> None:
    await service.push(
        transaction("T-1", occurred_at="2024-02-29T15:00:00Z"),
        transaction("T-2", occurred_at="2026-11-01T12:00:00Z"),  # this very instant, which ends the window
    )
    answer = await ask(service, "metric=purchases&interval=year")
    assert (answer["from"], answer["to"]) == ("2024-02-29T00:00:00Z", "2026-11-01T12:00:00Z")
    assert [(row["period"], row["value"]) for row in answer["data"]] == [("2024", 1), ("2025", 0), ("2026", 0)]


async def test_before_the_first_transaction_there_is_nothing_and_it_is_said(service: Service) -> None:
    answer = await ask(service, "metric=purchases,average_order_value")
    assert (answer["from"], answer["to"]) == ("2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z")
    assert answer["data_as_of"] is None
    assert [(row["value"], row.get("reason")) for row in answer["data"]] == [(0, None), (None, "zero_denominator")]


async def test_a_window_that_ends_before_the_first_transaction_is_its_last_day(service: Service) -> None:
    await service.push(transaction())
    answer = await ask(service, "metric=purchases&to=2020-01-01")
    assert (answer["from"], answer["to"]) == ("2019-12-31T00:00:00Z", "2020-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("interval", "periods"),
    [
        ("day", ["2026-12-31", "2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04"]),
        ("week", ["2026-W53", "2027-W01"]),
        ("month", ["2026-12", "2027-01"]),
        ("quarter", ["2026-Q4", "2027-Q1"]),
        ("year", ["2026", "2027"]),
    ],
)
async def test_periods_are_named_by_their_interval(service: Service, interval: str, periods: list[str]) -> None:
    answer = await ask(service, f"metric=purchases&interval={interval}&from=2026-12-31&to=2027-01-05")
    assert [row["period"] for row in answer["data"]] == periods


async def test_lists_may_be_repeated_or_have_commas(service: Service) -> None:
    await service.push(transaction(channel="web"), transaction("T-2", campaign_id="spring"))
    repeated = await ask(service, "metric=buyers&metric=purchases&group_by=channel&group_by=campaign")
    commas = await ask(service, "metric=buyers,%20purchases,buyers&group_by=channel,campaign")
    assert repeated == commas
    assert [(row["metric"], row["group"]) for row in commas["data"]] == [
        ("buyers", {"channel": "web", "campaign": None}),
        ("buyers", {"channel": None, "campaign": "spring"}),
        ("purchases", {"channel": "web", "campaign": None}),
        ("purchases", {"channel": None, "campaign": "spring"}),
    ]


async def test_csv_has_a_line_for_each_figure_and_runs_no_formula(service: Service) -> None:
    await service.push(
        transaction("T-1", amount="10.00", channel="=cmd()", occurred_at="2026-10-05T10:00:00Z"),
        transaction("T-2", amount="8.00", channel="=cmd()", occurred_at="2026-09-05T10:00:00Z"),
    )
    query = "metric=revenue_net,conversion_rate&group_by=channel&from=2026-10-01&to=2026-11-01"
    for suffix, headers in (("&format=csv", {}), ("", {"Accept": "text/csv"})):
        answer = await service.client.get(f"/v1/kpis?{query}{suffix}", headers=headers)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.text.splitlines() == [
            "metric,channel,period,value,low,high,level,n,numerator,denominator,reason,currency",
            "revenue_net,'=cmd(),,10.0,,,,1,10.0,,,EUR",
            "conversion_rate,'=cmd(),,,,,,0,0,0,zero_denominator,EUR",
        ]
    compared = await service.client.get(
        f"/v1/kpis?{query}&compare_from=2026-09-01&compare_to=2026-10-01", headers={"Accept": "text/csv"}
    )
    first = next(csv.DictReader(io.StringIO(compared.text)))
    assert (first["baseline_value"], first["change_absolute_value"], first["change_relative_value"]) == (
        "8.0",
        "2.0",
        "0.25",
    )
    for accept in ("*/*", "application/json", "text/csv;q=0.5, application/json"):
        answer = await service.client.get(f"/v1/kpis?{query}", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_a_window_compared_with_is_said_and_stands_beside_each_figure(service: Service) -> None:
    await service.push(transaction("T-1", amount="10.00", occurred_at="2026-10-05T10:00:00Z"))
    answer = await ask(
        service, "metric=purchases&from=2026-10-01&to=2026-11-01&compare_from=2026-09-01&compare_to=2026-10-01"
    )
    assert answer["compared"] == {"from": "2026-09-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"}
    [row] = answer["data"]
    assert (row["baseline"]["value"], row["change"]["absolute"]["value"]) == (0, 1.0)
    assert row["change"]["relative"] == {"value": None, "reason": "zero_denominator", "n": 1}


async def test_definitions_are_the_registry(service: Service) -> None:
    answer = await service.client.get("/v1/kpis/definitions")
    assert answer.status_code == 200
    assert [each["name"] for each in answer.json()["data"]] == [kpi.name for kpi in KPIS]
    assert answer.json()["data"][7] == {
        "name": "average_order_value",
        "unit": "money",
        "direction": "higher_is_better",
        "numerator": "revenue_gross",
        "denominator": "purchases",
        "interval": "student_t",
        "meaning": "Gross revenue per purchase, with the interval of a sample mean.",
        "has_no_meaning_by": [],
    }


async def test_every_metric_of_the_contract_is_answered_before_anything_happened(service: Service) -> None:
    assert {kpi.name for kpi in KPIS} == set(CONTRACT)
    answer = await ask(service, f"metric={','.join(CONTRACT)}")
    assert {row["metric"]: row.get("reason") for row in answer["data"] if row["value"] is None} == {
        **dict.fromkeys(
            ["conversion_rate", "average_order_value", "cost_per_acquisition", "repeat_purchase_rate"],
            "zero_denominator",
        ),
        **dict.fromkeys(["retention_rate", "churn_rate", "click_through_rate", "open_rate"], "zero_denominator"),
        **dict.fromkeys(["csat", "nps", "roas"], "zero_denominator"),
        "cltv": "no_active_model",
        "revenue_growth": "baseline_missing",
    }


async def test_all_unknown_metrics_are_named_with_those_that_are_known(service: Service) -> None:
    answer = await service.client.get("/v1/kpis?metric=profit,purchases,&metric=NPS")
    assert [(error["code"], error["detail"]) for error in answer.json()["errors"]] == [
        ("unknown_metric", "'profit' is not the name of a metric"),
        ("unknown_metric", "'' is not the name of a metric"),
        ("unknown_metric", "'NPS' is not the name of a metric"),
    ]
    assert answer.json()["detail"] == "Available are " + ", ".join(kpi.name for kpi in KPIS)


@pytest.mark.parametrize(
    ("query", "code", "errors"),
    [
        ("", "invalid_input", [("metric", "missing")]),
        ("metric=purchases&compare_from=2026-01-01", "bad_window", [("compare_to", "missing")]),
        ("metric=purchases&compare_to=2026-01-01", "bad_window", [("compare_from", "missing")]),
        (f"{NOVEMBER}&compare_from=2026-10-01&compare_to=2026-09-01", "bad_window", [("compare_from", "bad_window")]),
        (f"{NOVEMBER}&compare_from=2026-10-01&compare_to=x", "bad_window", [("compare_to", "invalid_instant")]),
        (f"{NOVEMBER}&compare_from=2026-10-01&compare_to=%00", "bad_window", [("compare_to", "invalid_instant")]),
        (
            f"{NOVEMBER}&compare_from=2026-10-01&compare_to=2026-11-02",
            "bad_window",
            [("compare_from", "overlapping_windows")],
        ),
        ("metric=purchases&format=xml", "invalid_input", [("format", "literal_error")]),
        ("metric=purchases&groupby=segment", "invalid_input", [("groupby", "extra_forbidden")]),
        ("metric=purchases&from_=2026-01-01", "invalid_input", [("from_", "extra_forbidden")]),
        ("metric=purchases&interval=hour", "invalid_input", [("interval", "literal_error")]),
        ("metric=purchases&customers=new", "invalid_input", [("customers", "literal_error")]),
        ("metric=purchases&group_by=country", "invalid_input", [("group_by", "unknown_dimension")]),
        ("metric=purchases&group_by=", "invalid_input", [("group_by", "unknown_dimension")]),
        ("metric=purchases&group_by=segment&segmentation_id=7", "invalid_input", [("segmentation_id", "uuid_parsing")]),
        ("metric=purchases&from=yesterday", "bad_window", [("from", "invalid_instant")]),
        ("metric=purchases&from=2026-02-30", "bad_window", [("from", "invalid_day")]),
        ("metric=purchases&to=2026-01-01T00:00:00", "bad_window", [("to", "naive_instant")]),
        ("metric=purchases&to=1066-10-14", "bad_window", [("to", "absurd_day")]),
        ("metric=purchases&from=%00", "bad_window", [("from", "invalid_instant")]),
        ("metric=%00", "unknown_metric", [("metric", "unknown_metric")]),
        ("metric=purchases&from=2026-02-01&to=2026-01-01", "bad_window", [("from", "bad_window")]),
        ("metric=purchases&from=2026-02-01&to=2026-02-01", "bad_window", [("from", "bad_window")]),
        ("metric=purchases&from=2027-01-01", "bad_window", [("from", "bad_window")]),
        ("metric=purchases&from=" + "9" * 65, "invalid_input", [("from", "string_too_long")]),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_with_the_place(
    service: Service, query: str, code: str, errors: list[tuple[str, str]]
) -> None:
    assert await refused(service, query) == (code, errors)


async def test_an_answer_too_long_to_read_is_refused_before_it_is_made(service: Service) -> None:
    too_many = ("invalid_input", [("interval", "too_many_points")])
    assert await refused(service, "metric=purchases&interval=day&from=1900-01-01&to=2199-01-01") == too_many
    days = "metric=purchases&interval=day&from=2020-01-01&to=2026-01-01"
    groups = MAX_POINTS // (6 * 365) + 1
    with connect(service) as connection:
        connection.execute(
            "insert into transactions (source, transaction_id, occurred_at, kind, amount_minor, currency, campaign_id)"
            " select 'crm', n::text, '2025-05-05', 'purchase', 1, 'EUR', n::text from generate_series(1, %s) n",
            (groups,),
        )
    assert await refused(service, f"{days}&group_by=campaign") == too_many
    assert len((await ask(service, days))["data"]) == 6 * 365 + 2


async def test_guests_have_no_buyers_to_count(service: Service) -> None:
    await service.push(transaction(customer_id=None))
    answer = await ask(service, "metric=buyers,new_customers,purchases&customers=guest")
    assert [(row["value"], row["n"], row.get("reason")) for row in answer["data"]] == [
        (None, 0, "guests_are_anonymous"),
        (None, 0, "guests_are_anonymous"),
        (1, 1, None),
    ]


async def test_amounts_of_a_currency_without_a_rate_are_refused(service: Service) -> None:
    await service.push(transaction(currency="GBP", occurred_at="2026-10-05T10:00:00Z"))
    answer = await service.client.get("/v1/kpis?metric=revenue_net")
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_exchange_rates")
    [error] = answer.json()["errors"]
    assert "GBP to EUR" in error["detail"]
    assert "2026-10-05" in error["detail"]


async def test_the_only_active_segmentation_is_the_one_that_is_meant(service: Service) -> None:
    await service.push(transaction())
    assert await refused(service, "metric=buyers&group_by=segment") == (
        "invalid_input",
        [("segmentation_id", "ambiguous")],
    )
    kpi_oracle.store(World(segments=("loyal",)), service.database_url)
    await service.push(transaction("T-2"))
    answer = await ask(service, "metric=buyers&group_by=segment")
    assert answer == await ask(service, f"metric=buyers&group_by=segment&segmentation_id={kpi_oracle.SEGMENTATION}")
    assert [row["group"] for row in answer["data"]] == [
        {"segment": str(kpi_oracle.segment_id("loyal")), "segment_key": "loyal", "segment_name": "Loyal"},
        {"segment": None, "segment_key": None, "segment_name": None},
    ]


async def test_buyers_of_a_segment_are_its_members(service: Service) -> None:
    modelling = Modelling(service)
    await service.push(*shop())
    await modelling.learn_and_activate()
    await modelling.drain()
    answer = await ask(service, "metric=buyers&group_by=segment")
    counted = {row["group"]["segment"]: row["value"] for row in answer["data"]}
    assert None not in counted, "everybody who bought is in a segment"
    assert {segment_id: len(await modelling.members(segment_id)) for segment_id in counted} == counted
    assert sum(counted.values()) == (await ask(service, "metric=buyers"))["data"][0]["value"] > 0


async def test_of_several_active_segmentations_one_has_to_be_named(service: Service) -> None:
    kpi_oracle.store(World(segments=("loyal",)), service.database_url)
    with connect(service) as connection, connection.cursor() as cursor:
        kpi_oracle.add_segmentation(cursor, UUID(int=1), "Another")
    answer = await service.client.get("/v1/kpis?metric=buyers&group_by=segment")
    assert answer.status_code == 422
    assert f"active: {UUID(int=1)} (Another), {kpi_oracle.SEGMENTATION} (Customers by value)" in answer.json()["detail"]
    assert (await ask(service, f"metric=buyers&group_by=segment&segmentation_id={UUID(int=1)}"))["data"] == []


async def test_a_segmentation_that_is_none_or_not_asked_about_is_refused(service: Service) -> None:
    unknown = f"metric=buyers&segmentation_id={UUID(int=1)}"
    assert await refused(service, unknown) == ("invalid_input", [("segmentation_id", "without_group_by")])
    assert await refused(service, f"{unknown}&group_by=segment", status=404) == ("segmentation_not_found", [])


async def test_a_key_needs_the_scope_for_key_figures(service: Service) -> None:
    answer = await service.client.post("/v1/keys", json={"name": "till", "scopes": ["ingest"]})
    headers = {"Authorization": f"Bearer {answer.json()['key']}"}
    for path in ("/v1/kpis?metric=purchases", "/v1/kpis/definitions"):
        assert (await service.client.get(path, headers=headers)).status_code == 403
