"""Lifetime value through HTTP: what is learned, served, added up, and what is said when it cannot be."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select, update

from app.jobs.compute import Compute
from app.jobs.queue import enqueue
from app.jobs.runtime import Runner
from app.modelling.clv.jobs import handlers
from app.stats.btyd.simulation import simulate
from app.tables.jobs import jobs
from app.tables.predictions import clv_equity, clv_scores
from app.tables.registry import models
from tests.conftest import Service
from tests.support.answers import be_sound
from tests.support.clv import Clv, Fact
from tests.support.modelling import COMPUTE
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

# Behind it lie 300 days until the clock of `service` stands.
START = datetime(2026, 1, 5, 10, tzinfo=UTC)
TRUE = {"r": 0.8, "alpha": 12.0, "a": 0.6, "b": 2.5}


@pytest.fixture
def clv(service: Service) -> Clv:
    service.client.event_hooks["response"].append(be_sound)
    return Clv(service)


def shop(customers: int = 400) -> list[Fact]:
    """Customers C-000, C-001, ... by the story that BG/NBD tells; each begins somewhere in the first 100 days."""
    ages = np.linspace(200.0, 299.0, customers)
    drawn = simulate("bg_nbd", TRUE, T=ages, seed=11)
    facts = []
    for number, (age, repeats, last) in enumerate(zip(ages, drawn.x, drawn.t_x, strict=True)):
        first = START + timedelta(days=299 - int(age))
        days = sorted({0, *(max(round(last * each / repeats), 1) for each in range(1, int(repeats) + 1))})
        value = 1_000 + 400 * (number % 23)
        facts += [(f"C-{number:03}", first + timedelta(days=day), "purchase", value + 100 * (day % 7)) for day in days]
    return facts


@pytest.fixture
async def served(clv: Clv) -> tuple[Clv, str]:
    """A shop and the model that serves it."""
    clv.store(shop(), currency="EUR")
    model = await clv.train(model="bg_nbd", time_unit="day", horizon_days=180, discount_rate_annual=0.1, name="First")
    await clv.activate(model["model_id"])
    return clv, model["model_id"]


def cents(money: dict[str, str]) -> int:
    assert money["currency"] == "EUR"
    return round(float(money["amount"]) * 100)


async def listed(clv: Clv, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await clv.get("/v1/clv/customers", limit=150, **params, **cursor)
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_a_model_is_learned_put_to_work_and_retired(clv: Clv) -> None:
    clv.store(shop(), currency="EUR")
    assert (await clv.client.get("/v1/customers/C-001/clv")).json()["code"] == "no_active_model"
    found = await clv.train(model="auto", time_unit="day", horizon_days=180, calibration_end="2026-09-01")
    waiting = await clv.client.post("/v1/clv/models", json={"model": "bg_nbd"})
    asked = await clv.get(f"/v1/clv/models/{waiting.json()['model_id']}")
    assert (asked["status"], asked["model"], asked["parameters"]) == ("training", "bg_nbd", None)
    assert asked["calibration_end"] == "2026-10-31"
    early = await clv.client.post(f"/v1/clv/models/{asked['model_id']}/activate")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    assert (found["status"], found["calibration_end"], found["currency"]) == ("candidate", "2026-09-01", "EUR")
    # All three are shown, each judged by what came after; one was taken, by that.
    held_out = {each["model"]: each["holdout"]["log_likelihood"] for each in found["candidates"]}
    assert set(held_out) == {"bg_nbd", "mbg_nbd", "pareto_nbd"}
    converged = {each["model"] for each in found["candidates"] if each["convergence"]["converged"]}
    assert found["model"] == max(converged, key=lambda each: held_out[each])
    assert [each["model"] for each in found["candidates"] if each["chosen"]] == [found["model"]]
    assert found["forecast"]["purchases"]["low"] < found["forecast"]["purchases"]["value"]
    model_id = found["model_id"]
    assert (await clv.activate(model_id))["scored"] == 400
    shown = await clv.get(f"/v1/clv/models/{model_id}")
    assert (shown["status"], shown["scored_at"]) == ("active", "2026-11-01T12:00:00Z")
    page = await clv.get("/v1/clv/models", limit=1)
    rest = await clv.get("/v1/clv/models", limit=1, cursor=page["next_cursor"])
    assert [each["model_id"] for each in (*page["data"], *rest["data"])] == [asked["model_id"], model_id]
    archived = (await clv.client.post(f"/v1/clv/models/{model_id}/archive")).json()
    assert archived["status"] == "archived"
    answer = await clv.client.get("/v1/clv/customers")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_model")


async def test_one_customer_many_and_the_list_say_the_same(served: tuple[Clv, str]) -> None:
    clv, model_id = served
    rows = await listed(clv)
    values = [cents(each["clv"]) for each in rows]
    assert (len(rows), values) == (400, sorted(values, reverse=True))
    for row in (rows[0], rows[200], rows[-1]):
        one = await clv.get(f"/v1/customers/{row['customer_id']}/clv")
        for name in row.keys() - {"scored_at"}:
            # Series and tables are summed in another order where many are worked out together.
            same = pytest.approx(row[name], rel=1e-9) if isinstance(row[name], float) else row[name]
            assert one[name] == same
        assert cents(one["clv_low"]) <= cents(one["clv"]) <= cents(one["clv_high"])
        assert (one["model_id"], one["horizon_days"], one["reason"]) == (model_id, 180, None)
        # Discounted, so less than purchases times value; by less than all of half a year at 10 %.
        undiscounted = one["expected_purchases"] * cents(one["expected_value"])
        assert 0.94 * undiscounted - 2 < cents(one["clv"]) <= undiscounted + 2
    asked = [rows[0]["customer_id"], "nobody", rows[1]["customer_id"], rows[0]["customer_id"]]
    many = (await clv.client.post("/v1/clv/scores", json={"customer_ids": asked})).json()
    assert many["unknown"] == ["nobody"]
    assert [each["customer_id"] for each in many["data"]] == [asked[0], asked[2]]
    assert [each["clv"] for each in many["data"]] == [rows[0]["clv"], rows[1]["clv"]]
    everybody = [each["customer_id"] for each in rows]
    many = (await clv.client.post("/v1/clv/scores", json={"customer_ids": everybody})).json()
    assert [each["clv"] for each in many["data"]] == [each["clv"] for each in rows]


async def test_a_profile_has_the_stored_value_and_its_time(served: tuple[Clv, str]) -> None:
    clv, model_id = served
    [row] = [each for each in await listed(clv) if each["customer_id"] == "C-007"]
    clv.service.clock.advance(timedelta(hours=3))
    found = (await clv.get("/v1/customers/C-007"))["scores"]["clv"]
    assert (found["clv"], found["as_of"], found["model_id"]) == (row["clv"], row["scored_at"], model_id)
    await clv.service.push(transaction("n", customer_id="new", occurred_at="2026-11-01T14:00:00Z"))
    assert (await clv.get("/v1/customers/new"))["scores"]["clv"]["reason"] == "not_scored"
    await clv.client.post(f"/v1/clv/models/{model_id}/archive")
    assert (await clv.get("/v1/customers/C-007"))["scores"]["clv"]["reason"] == "no_active_model"


class Meanwhile(Compute):
    """Lets something happen while the first range is being worked out elsewhere."""

    def __init__(self, happens: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(1)
        self._happens: Callable[[], Awaitable[Any]] | None = happens

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return await COMPUTE.run(function, *arguments)


async def test_who_is_erased_during_a_scoring_is_not_scored(served: tuple[Clv, str]) -> None:
    clv, _ = served
    compute = Meanwhile(lambda: clv.client.delete("/v1/customers/C-005"))
    clv.runner = Runner(
        clv.state.database,
        clock=clv.state.clock,
        compute=compute,
        handlers=handlers(clv.reporting, clv.clv_models),
    )
    await clv.result(await enqueued(clv, "score_clv"))
    rows = await listed(clv)
    assert len(rows) == 399
    assert "C-005" not in {each["customer_id"] for each in rows}
    assert (await clv.get("/v1/clv/equity"))["total"]["customers"] == 399


async def test_a_purchase_counts_at_once_for_its_customer(served: tuple[Clv, str]) -> None:
    clv, _ = served
    before = await clv.get("/v1/customers/C-001/clv")
    await clv.service.push(transaction("new", customer_id="C-001", occurred_at="2026-11-01T11:00:00Z", amount="30"))
    after = await clv.get("/v1/customers/C-001/clv")
    assert after["purchase_days"] == before["purchase_days"] + 1
    assert after["expected_purchases"] > before["expected_purchases"]
    # What was known then is what it was.
    assert (await clv.get("/v1/customers/C-001/clv", as_of="2026-11-01T11:00:00Z"))["clv"] == before["clv"]


async def test_the_past_is_told_by_who_knew_nothing_later(served: tuple[Clv, str]) -> None:
    clv, first = served
    # Learned up to 31 October, at work since noon of 1 November: between the two nothing served.
    between = await clv.get("/v1/customers/C-001/clv", as_of="2026-11-01T00:00:00Z")
    assert between["model_id"] == first
    for as_of, status, code in (
        ("2026-10-31T23:59:59Z", 409, "no_active_model"),
        ("2026-11-01T12:00:01Z", 422, "invalid_input"),
    ):
        answer = await clv.client.get("/v1/customers/C-001/clv", params={"as_of": as_of})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    clv.service.clock.advance(timedelta(days=2))
    second = await clv.train(model="mbg_nbd", time_unit="week", horizon_days=90)
    # While everybody is being scored by the new one, and until that is over, the old one serves.
    answer = await clv.client.post(f"/v1/clv/models/{second['model_id']}/activate")
    assert (await clv.get("/v1/customers/C-001/clv"))["model_id"] == first
    await clv.result(answer)
    assert (await clv.get("/v1/customers/C-001/clv"))["model_id"] == second["model_id"]
    then = await clv.get("/v1/customers/C-001/clv", as_of="2026-11-02T00:00:00Z")
    assert (then["model_id"], then["horizon_days"]) == (first, 180)
    statuses = [each["status"] for each in (await clv.get("/v1/clv/models"))["data"]]
    assert statuses == ["active", "archived"]
    async with clv.state.database.read() as session:
        kept = (
            await session.execute(select(clv_scores.c.model_id, func.count()).group_by(clv_scores.c.model_id))
        ).all()
    assert [(str(row[0]), row[1]) for row in kept] == [(second["model_id"], 400)]


async def test_equity_is_the_sum_of_values_in_total_and_by_segment(served: tuple[Clv, str]) -> None:
    clv, model_id = served
    await clv.service.client.post("/v1/customers", json={"customers": [{"customer_id": "never-bought"}]})
    rows = {each["customer_id"]: cents(each["clv"]) for each in await listed(clv)}
    rules = [
        {"key": "often", "name": "Often", "when": {"feature": "purchase_days", "op": ">", "value": 3}},
        {"key": "others", "name": "Others", "when": {"feature": "purchase_days", "op": ">=", "value": 0}},
    ]
    segmentation_id = await clv.learn_and_activate("Rules", "rules", rules=rules)
    await clv.result(await enqueued(clv, "score_clv"))
    found = await clv.get("/v1/clv/equity", group_by="segment", segmentation_id=segmentation_id)
    total = found["total"]
    assert (total["customers"], total["valued"]) == (400, 400)
    assert cents(total["equity"]) == sum(rows.values())
    assert cents(total["low"]) < cents(total["equity"]) < cents(total["high"])
    for segment in found["segments"]:
        members = await clv.members(segment["segment_id"])
        assert segment["customers"] == len(members)
        assert cents(segment["equity"]) == sum(rows.get(each, 0) for each in members)
        assert segment["valued"] == len([each for each in members if each in rows])
        assert cents(segment["low"]) < cents(segment["equity"]) < cents(segment["high"])
        assert [each["customers"] for each in segment["history"]] == [len(members)]
        theirs = await listed(clv, segment_id=segment["segment_id"])
        assert sorted(each["customer_id"] for each in theirs) == sorted(each for each in members if each in rows)
    assert [each["key"] for each in found["segments"]] == ["often", "others"]
    assert sum(each["share"] for each in found["segments"]) == pytest.approx(1)
    # Measured when it was put to work, and again by the scoring.
    assert [each["model_id"] for each in total["history"]] == [model_id]
    clv.service.clock.advance(timedelta(days=1))
    await clv.result(await enqueued(clv, "score_clv"))
    history = (await clv.get("/v1/clv/equity"))["total"]["history"]
    assert [each["measured_at"] for each in history] == ["2026-11-02T12:00:00Z", "2026-11-01T12:00:00Z"]
    # A day without a purchase is a day of silence.
    assert cents(history[0]["equity"]) < cents(history[1]["equity"])


async def enqueued(clv: Clv, kind: str, **arguments: Any) -> httpx.Response:
    """A job that nobody asks for through HTTP, as an answer that has its place."""
    async with clv.state.database.write() as session:
        job_id = await enqueue(session, kind, arguments=arguments)
    return httpx.Response(202, headers={"location": f"/v1/jobs/{job_id}"})


async def test_who_never_bought_is_undetermined_and_who_is_unknown_is_not_there(served: tuple[Clv, str]) -> None:
    clv, model_id = served
    await clv.service.client.post("/v1/customers", json={"customers": [{"customer_id": "never-bought"}]})
    found = await clv.get("/v1/customers/never-bought/clv")
    assert (found["reason"], found["purchase_days"], found["model_id"]) == ("no_purchases", 0, model_id)
    assert {found[name] for name in ("clv", "clv_low", "p_alive", "expected_purchases", "expected_value")} == {None}
    many = (await clv.client.post("/v1/clv/scores", json={"customer_ids": ["never-bought"]})).json()
    assert many["data"] == [found]
    for path in ("/v1/customers/nobody/clv", "/v1/customers/%00/clv", f"/v1/clv/models/{UUID(int=0)}"):
        assert (await clv.client.get(path)).status_code == 404
    missing = {"segment_id": str(UUID(int=0)), "segmentation_id": str(UUID(int=0)), "group_by": "segment"}
    for path in ("/v1/clv/customers", "/v1/clv/equity"):
        assert (await clv.client.get(path, params=missing)).status_code == 404


async def test_money_without_a_rate_leaves_one_customer_undetermined_and_the_others_alone(
    served: tuple[Clv, str],
) -> None:
    clv, _ = served
    foreign = transaction("usd", customer_id="C-002", occurred_at="2026-10-31T11:00:00Z", currency="USD")
    await clv.service.push(foreign)
    answer = await clv.client.get("/v1/customers/C-002/clv")
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_exchange_rates")
    many = (await clv.client.post("/v1/clv/scores", json={"customer_ids": ["C-002", "C-003"]})).json()["data"]
    assert (many[0]["clv"], many[0]["reason"]) == (None, "missing_exchange_rates")
    assert (many[0]["p_alive"], many[1]["reason"]) == (pytest.approx(1, abs=0.5), None)
    await clv.result(await enqueued(clv, "score_clv"))
    rows = await listed(clv)
    assert [each["customer_id"] for each in rows if each["clv"] is None] == [rows[-1]["customer_id"]] == ["C-002"]
    error = (await clv.refused(model="bg_nbd"))["error"]
    assert (error["code"], error["errors"][0]["pointer"]) == ("missing_exchange_rates", "USD")


async def test_what_cannot_be_learned_from_is_refused_with_the_reason(clv: Clv) -> None:
    first = [(f"N-{number:02}", START, "purchase", 1_000) for number in range(30)]
    clv.store(first, currency="EUR")
    error = (await clv.refused(model="auto", horizon_days=30))["error"]
    assert (error["code"], error["errors"][0]["code"]) == ("invalid_input", "no_repeat_purchases")
    early = (await clv.refused(model="bg_nbd", calibration_end="2025-12-31"))["error"]
    assert early["code"] == "too_few_customers"
    await clv.service.push(
        *(
            transaction(f"again-{number}", customer_id=f"N-{number:02}", occurred_at="2026-02-01T10:00:00Z", amount="0")
            for number in range(6)
        )
    )
    error = (await clv.refused(model="bg_nbd", horizon_days=3_650))["error"]
    assert error["errors"] == [
        {"pointer": "/horizon_days", "code": "horizon_exceeds_history", "detail": error["detail"]}
    ]
    # They came back, but nothing that they paid then tells what a purchase is worth.
    found = await clv.train(model="bg_nbd", horizon_days=90)
    assert (found["gamma_gamma"]["p"], found["gamma_gamma"]["reason"]) == (None, "no_positive_spend")
    assert "no_positive_spend" in [each["code"] for each in found["warnings"]]
    await clv.activate(found["model_id"])
    one = await clv.get("/v1/customers/N-01/clv")
    assert (one["clv"], one["reason"]) == (None, "no_positive_spend")
    assert one["expected_purchases"] > 0
    equity = (await clv.get("/v1/clv/equity"))["total"]
    assert (equity["customers"], equity["valued"], equity["equity"]["amount"], equity["low"]) == (30, 0, "0.00", None)
    margin = await clv.train(model="bg_nbd", horizon_days=90, value="margin")
    assert margin["gamma_gamma"]["reason"] == "no_positive_spend"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"model": "bg_nbd", "calibration_end": "2026-11-01"}, "/calibration_end"),
        ({"model": "bg_nbd", "calibration_end": "2026-11-01T00:00:00Z"}, "/calibration_end"),
        ({"model": "lstm"}, "/model"),
        ({"model": "bg_nbd", "horizon_days": 0}, "/horizon_days"),
        ({"model": "bg_nbd", "horizon_days": 3_651}, "/horizon_days"),
        ({"model": "bg_nbd", "discount_rate_annual": -0.1}, "/discount_rate_annual"),
        ({"model": "bg_nbd", "penalizer": 0.1}, "/penalizer"),
    ],
)
async def test_what_means_nothing_is_refused_at_once(clv: Clv, asked: dict[str, Any], pointer: str) -> None:
    answer = await clv.client.post("/v1/clv/models", json=asked)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_more_returned_than_bought_is_worth_little_and_never_less_than_nothing(served: tuple[Clv, str]) -> None:
    clv, _ = served
    before = await clv.get("/v1/customers/C-004/clv")
    await clv.service.push(
        transaction("r", customer_id="C-004", occurred_at="2026-10-31T11:00:00Z", kind="refund", amount="100000")
    )
    after = await clv.get("/v1/customers/C-004/clv")
    assert after["expected_purchases"] == before["expected_purchases"]
    assert 0 <= cents(after["clv_low"]) <= cents(after["clv"]) <= cents(before["clv"])


async def test_a_model_that_was_tampered_with_is_not_opened(served: tuple[Clv, str]) -> None:
    clv, _ = served
    async with clv.state.database.write() as session:
        await session.execute(
            update(models).where(models.c.kind == "clv").values(content=func.overlay(models.c.content, b"7", 40))
        )
    answer = await clv.client.get("/v1/customers/C-001/clv")
    assert (answer.status_code, answer.json()["code"]) == (409, "model_tampered")


async def test_a_scoring_goes_on_where_the_last_attempt_stopped(served: tuple[Clv, str]) -> None:
    clv, model_id = served
    clv.service.clock.advance(timedelta(days=1))
    answer = await enqueued(clv, "score_clv")
    done = {"model_id": model_id, "after": "C-199", "done": 200, "moves": {}, "as_of": "2026-11-02T11:00:00Z"}
    job_id = UUID(answer.headers["location"].rsplit("/", 1)[1])
    async with clv.state.database.write() as session:
        await session.execute(update(jobs).where(jobs.c.job_id == job_id).values(checkpoint=done))
    assert (await clv.result(answer))["scored"] == 400
    async with clv.state.database.read() as session:
        s = clv_scores.c
        rows = await session.execute(select(s.scored_at, func.min(s.customer_id), func.count()).group_by(s.scored_at))
        found = sorted((row[0].day, row[0].hour, row[1], row[2]) for row in rows)
        measured = await session.scalar(select(func.max(clv_equity.c.measured_at)))
    assert found == [(1, 12, "C-000", 200), (2, 11, "C-200", 200)]
    assert measured is not None
    assert measured.hour == 11
