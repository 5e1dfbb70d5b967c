"""Churn through HTTP: learned, activated, served, made again for past instants, refused with the reason."""

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from app.jobs.queue import enqueue
from app.tables.predictions import churn_scores
from app.tables.registry import models
from tests.conftest import NOW, Service
from tests.support.answers import be_sound
from tests.support.churn import INACTIVITY, LABEL, Churn, buyers, instant
from tests.support.records import transaction

pytestmark = pytest.mark.anyio

FEW = ["days_since_last_purchase", "purchase_count_90d", "days_between_purchases"]
QUICK = {"definition": INACTIVITY, "algorithm": "logistic", "features": FEW}


@pytest.fixture
def churn(service: Service) -> Churn:
    service.client.event_hooks["response"].append(be_sound)
    return Churn(service)


@pytest.fixture
def shop(churn: Churn) -> Churn:
    churn.store(buyers(), currency="EUR")
    return churn


async def run(churn: Churn, kind: str) -> dict[str, Any]:
    """A nightly job, run now; its result."""
    async with churn.state.database.write() as session:
        job_id = await enqueue(session, kind, arguments={})
    await churn.runner.run(job_id)
    job = await churn.get(f"/v1/jobs/{job_id}")
    assert job["status"] == "succeeded", job
    result: dict[str, Any] = job["result"]
    return result


async def pages(churn: Churn, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await churn.get("/v1/churn/at-risk", **params, **cursor)
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_a_model_is_learned_out_of_time_activated_and_served(shop: Churn) -> None:
    answer = await shop.client.get("/v1/customers/B-0001/churn")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_model")
    model = await shop.learn_churn(**QUICK, name="Who leaves")
    assert (model["status"], model["judged_on"], model["horizon_days"]) == ("candidate", "out_of_time", 60)
    # Each outcome ends where the next cutoff begins; the last ends at as_of.
    ends = [each["cutoff"] for each in model["cohorts"]]
    assert ends == [instant(60 * step).strftime("%Y-%m-%dT%H:%M:%SZ") for step in (4, 3, 2, 1)]
    metrics = model["metrics"]
    assert metrics["roc_auc"]["low"] > 0.8
    assert metrics["brier"]["value"] < metrics["constant"]["brier"]["value"]
    assert len(metrics["calibration"]) == 10
    assert {each["feature"] for each in model["importances"]} == set(FEW)
    assert model["bands"]["is_assumed"] is True
    result = await shop.activate_churn(model["model_id"])
    assert (result["customers"], result["scored"], set(result["seconds"])) == (500, 500, {"read", "score", "write"})
    score = await shop.get("/v1/customers/B-0001/churn")
    odds = math.log(score["churn_probability"] / (1 - score["churn_probability"]))
    assert sum(each["contribution"] for each in score["reasons"]) + score["base"] == pytest.approx(odds, abs=1e-9)
    sizes = [abs(each["contribution"]) for each in score["reasons"]]
    assert sizes == sorted(sizes, reverse=True)
    # One number: now, in bulk and in the list.
    answer = await shop.client.post("/v1/churn/scores", json={"customer_ids": ["B-0001", "x\x00", "nobody", "B-0001"]})
    assert answer.status_code in (400, 422)
    answer = await shop.client.post("/v1/churn/scores", json={"customer_ids": ["B-0001", "nobody", "B-0001"]})
    [bulk] = answer.json()["data"]
    assert answer.json()["unknown"] == ["nobody"]
    same = ("churn_probability", "risk", "expected_value", "value_at_risk")
    listed = await pages(shop, limit=150)
    [stored] = [each for each in listed if each["customer_id"] == "B-0001"]
    assert [bulk[name] for name in same] == [score[name] for name in same] == [stored[name] for name in same]
    assert len({each["customer_id"] for each in listed}) == len(listed) == 500
    at_risk = [float(each["value_at_risk"]["amount"]) for each in listed]
    assert at_risk == sorted(at_risk, reverse=True)
    likely = await pages(shop, min_probability=0.5, limit=1_000)
    assert {each["customer_id"] for each in likely} == {
        each["customer_id"] for each in listed if each["churn_probability"] >= 0.5
    }
    assert (await shop.client.get("/v1/customers/nobody/churn")).status_code == 404
    assert (await shop.client.get("/v1/customers/%00/churn")).status_code in (404, 422)
    archived = await shop.client.post(f"/v1/churn/models/{model['model_id']}/archive")
    assert archived.json()["status"] == "archived"
    assert (await shop.client.get("/v1/churn/at-risk")).status_code == 409


async def test_a_score_follows_what_happens_and_a_past_one_is_made_again_as_it_was(shop: Churn) -> None:
    first = await shop.learn_churn(**QUICK)
    await shop.activate_churn(first["model_id"])
    before = await shop.get("/v1/customers/B-0001/churn")
    then = shop.state.clock.now()
    shop.service.clock.advance(timedelta(days=2))
    now = shop.state.clock.now() - timedelta(hours=1)
    await shop.service.push(transaction("new", customer_id="B-0001", occurred_at=now.isoformat()))
    await shop.service.push(transaction("who", customer_id="newcomer", occurred_at=now.isoformat(), amount="0"))
    after = await shop.get("/v1/customers/B-0001/churn")
    assert after["churn_probability"] < before["churn_probability"]
    second = await shop.learn_churn(**{**QUICK, "features": FEW[:1]})
    await shop.activate_churn(second["model_id"])
    assert (await shop.get("/v1/customers/B-0001/churn"))["model_id"] == second["model_id"]
    again = await shop.get("/v1/customers/B-0001/churn", as_of=then.isoformat())
    assert again == before
    # A purchase of amount 0 is activity, and worth nothing.
    newcomer = await shop.get("/v1/customers/newcomer/churn")
    assert (newcomer["expected_value"]["amount"], newcomer["value_at_risk"]["amount"]) == ("0.00", "0.00")
    for past, status in ((then - timedelta(days=1), 409), (now + timedelta(days=3), 422)):
        answer = await shop.client.get("/v1/customers/B-0001/churn", params={"as_of": past.isoformat()})
        assert answer.status_code == status
    async with shop.state.database.read() as session:
        kept = set(await session.scalars(select(churn_scores.c.model_id).distinct()))
    assert {str(each) for each in kept} == {second["model_id"]}


async def test_what_cannot_be_told_of_a_customer_has_a_reason_and_no_number(shop: Churn) -> None:
    await shop.service.push(
        transaction("old", customer_id="lapsed", occurred_at=instant(731).isoformat()),
        transaction("odd", customer_id="dollars", occurred_at=instant(1).isoformat(), currency="USD"),
        transaction("back", customer_id="returner", occurred_at=instant(9).isoformat(), amount="10"),
        transaction("b2", customer_id="returner", occurred_at=instant(8).isoformat(), amount="30", kind="refund"),
    )
    await shop.client.post("/v1/customers", json={"customers": [{"customer_id": "stranger"}]})
    model = await shop.learn_churn(**QUICK, as_of=NOW.isoformat())
    result = await shop.activate_churn(model["model_id"])
    assert result["undetermined"] == {"no_purchases": 1}
    score = await shop.get("/v1/customers/stranger/churn")
    assert (score["churn_probability"], score["risk"], score["reasons"]) == (None, None, [])
    assert (score["reason"], score["value_at_risk"]) == ("no_purchases", None)
    # Behind the look-back: not learned from, but there is no doubt about them.
    assert max(each["n"] for each in model["cohorts"]) <= 501
    assert (await shop.get("/v1/customers/lapsed/churn"))["churn_probability"] > 0.9
    # Without a rate the money is unknown, not the probability, which reads none.
    dollars = await shop.get("/v1/customers/dollars/churn")
    assert 0 < dollars["churn_probability"] < 1
    assert (dollars["expected_value"], dollars["value_at_risk"]) == (None, None)
    # Refunds above purchases: nothing is expected, rather than less than nothing.
    assert (await shop.get("/v1/customers/returner/churn"))["expected_value"]["amount"] == "0.00"
    bulk = await shop.client.post("/v1/churn/scores", json={"customer_ids": ["stranger", "B-0002"]})
    assert [each["churn_probability"] is None for each in bulk.json()["data"]] == [True, False]


async def test_lists_leave_out_who_refused_and_who_is_gone_and_count_by_segment(shop: Churn) -> None:
    intervention = {"cost": {"amount": "3.00", "currency": "EUR"}, "success_rate": [0.1, 0.4]}
    model = await shop.learn_churn(**QUICK, intervention=intervention)
    await shop.activate_churn(model["model_id"])
    segmentation_id = await shop.learn_and_activate("RFM")
    refused = [
        {"customer_id": "B-0001", "consent": {"marketing": False}},
        {"customer_id": "B-0002", "consent": {"profiling": False}},
        {"customer_id": "B-0003", "consent": {"marketing": True}},
    ]
    await shop.client.post("/v1/customers", json={"customers": refused})
    assert (await shop.client.delete("/v1/customers/B-0004")).status_code == 200
    listed = {each["customer_id"]: each for each in await pages(shop, limit=1_000)}
    assert not {"B-0001", "B-0002", "B-0004"} & listed.keys()
    assert {"B-0003", "B-0000"} <= listed.keys()
    profile = (await shop.get("/v1/customers/B-0003"))["scores"]
    stored = {name: listed["B-0003"][name] for name in ("churn_probability", "value_at_risk")}
    assert profile["churn"].items() >= {**stored, "as_of": listed["B-0003"]["scored_at"]}.items()
    assert (profile["clv"]["clv"], profile["clv"]["reason"]) == (None, "no_active_model")
    for each in listed.values():
        # High: p x value x .1 > 3, so that it pays at worst; medium: x .4, at best.
        stake = each["churn_probability"] * float(each["expected_value"]["amount"])
        expected = "high" if stake * 0.1 > 3 else "medium" if stake * 0.4 > 3 else "low"
        assert each["risk"] == expected
    found = await shop.get("/v1/churn/segments")
    assert (found["segmentation_id"], sum(each["scored"] for each in found["data"])) == (segmentation_id, 499)
    whole = found["data"][0]
    everybody = await shop.client.post(
        "/v1/churn/scores", json={"customer_ids": await shop.members(whole["segment_id"])}
    )
    risks = [each["risk"] for each in everybody.json()["data"]]
    assert whole["bands"] == {word: risks.count(word) for word in ("low", "medium", "high")}
    theirs = await pages(shop, segment_id=whole["segment_id"], limit=1_000)
    refusing = {"B-0001", "B-0002"}
    assert {each["customer_id"] for each in theirs} == {*(await shop.members(whole["segment_id"]))} - refusing
    unknown = "00000000-0000-0000-0000-000000000000"
    for path in (f"at-risk?segment_id={unknown}", f"segments?segmentation_id={unknown}", f"models/{unknown}"):
        assert (await shop.client.get(f"/v1/churn/{path}")).status_code == 404


async def test_expected_value_is_that_of_the_active_lifetime_value_model(shop: Churn) -> None:
    await shop.activate_churn((await shop.learn_churn(**QUICK))["model_id"])
    assert (await shop.get("/v1/customers/B-0001/churn"))["expected_value_source"] == "mean_spend"
    fill = """
        with artifact as (
          insert into models (model_id, kind, algorithm, format, content, signature, fingerprint, libraries, customers,
                              window_to) values (gen_random_uuid(), 'clv', 'x', 'x', '', '', '', '{}', 0, now())
          returning model_id
        ), valuing as (
          insert into predictive_models (kind, status, algorithm, request, artifact_id, as_of)
          select 'clv', 'active', 'bg_nbd', '{"horizon_days": 120}', model_id, now() from artifact returning model_id
        ) insert into clv_scores select model_id, 'B-0001', .5, 2, 100, 9000, now() from valuing
    """
    async with shop.state.database.write() as session:
        await session.execute(text(fill.replace(":", r"\:")))
    score = await shop.get("/v1/customers/B-0001/churn")
    # 90.00 in 120 days are 45.00 in 60.
    assert (score["expected_value_source"], score["expected_value"]["amount"]) == ("clv", "45.00")
    assert (await shop.get("/v1/customers/B-0002/churn"))["expected_value_source"] == "mean_spend"


async def test_a_tampered_model_is_refused_and_an_honest_one_survives_a_restart(shop: Churn) -> None:
    model = await shop.learn_churn(**QUICK)
    await shop.activate_churn(model["model_id"])
    before = await shop.get("/v1/customers/B-0007/churn")

    async def restarted() -> Any:
        # What a new process has: nothing in memory.
        state = shop.service.app.state
        state.churn_models.__init__(type(shop.models)(shop.state.secret, kind="churn"))
        await state.churn_lookups.close()
        state.churn_lookups._opened = None
        return await shop.client.get("/v1/customers/B-0007/churn")

    assert (await restarted()).json() == before
    async with shop.state.database.write() as session:
        await session.execute(update(models).where(models.c.kind == "churn").values(fingerprint="another"))
    answer = await restarted()
    assert (answer.status_code, answer.json()["code"]) == (409, "model_tampered")


async def test_a_challenger_takes_over_only_where_it_is_better_and_the_old_one_serves_until_then(shop: Churn) -> None:
    worse = {**QUICK, "features": ["days_since_first_purchase"], "as_of": instant(120).isoformat()}
    champion = await shop.learn_churn(**worse, retrain={"every_days": 30, "activate": "if_better"})
    await shop.activate_churn(champion["model_id"])
    assert (await run(shop, "retrain_churn_model"))["model_id"] is None  # not due yet
    shop.service.clock.advance(timedelta(days=31))
    started = await run(shop, "retrain_churn_model")
    assert started["continues"] == champion["model_id"]
    assert (await run(shop, "retrain_churn_model"))["model_id"] is None  # one is on its way
    await shop.runner.run(started["job_id"])
    challenger = await shop.get(f"/v1/churn/models/{started['model_id']}")
    said = challenger["champion"]
    assert said["model_id"] == champion["model_id"]
    assert said["is_better"] == said["takes_over"] == (said["gain"]["value"] > 0)
    assert said["gain"]["value"] == pytest.approx(said["log_loss"] - said["challenger_log_loss"], abs=1e-12)
    # Learned, and not yet activated: the old one serves.
    assert (await shop.get("/v1/customers/B-0001/churn"))["model_id"] == champion["model_id"]
    async with shop.state.database.read() as session:
        queued = await session.scalar(text("select count(*) from jobs where kind = 'activate_churn_model'"))
    assert queued == 1 + said["takes_over"]


async def test_while_a_model_is_learned_and_activated_under_requests_the_old_one_serves_until_it_is_over(
    shop: Churn,
) -> None:
    first = (await shop.learn_churn(**QUICK))["model_id"]
    await shop.activate_churn(first)
    over, answered = asyncio.Event(), [list[str]() for _ in range(4)]

    async def ask(number: int) -> None:
        while not over.is_set():
            answered[number].append((await shop.get(f"/v1/customers/B-{number:04}/churn"))["model_id"])

    clients = [asyncio.create_task(ask(number)) for number in range(len(answered))]
    second = (await shop.learn_churn(**QUICK, seed=2))["model_id"]
    assert {each for seen in answered for each in seen} == {first}
    await shop.activate_churn(second)
    over.set()
    await asyncio.gather(*clients)
    assert (await shop.get("/v1/customers/B-0001/churn"))["model_id"] == second
    for seen in answered:
        before = seen.count(first)
        # Enough that some were under way at every stage.
        assert before > 10
        assert seen == [first] * before + [second] * (len(seen) - before)


async def test_a_scoring_that_was_killed_goes_on_where_it_was(shop: Churn, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await shop.learn_churn(**QUICK)
    monkeypatch.setattr("app.modelling.segments.evaluation.AT_ONCE", 100)
    answer = await shop.client.post(f"/v1/churn/models/{model['model_id']}/activate")
    job_id = answer.headers["location"].rsplit("/", 1)[1]
    stop = """
        create function stop() returns trigger language plpgsql as $$
        begin if new.progress_done = 300 then raise exception 'stopped' using errcode = '57P01'; end if; return new; end $$
    """
    async with shop.state.database.write() as session:
        await session.execute(text(stop.replace(":", r"\:")))
        await session.execute(text("create trigger stop before update on jobs for each row execute function stop()"))
    with pytest.raises(Exception):  # noqa: B017, PT011  # however the worker ends
        await shop.runner.run(job_id)
    assert (await shop.client.get("/v1/customers/B-0001/churn")).status_code == 409
    async with shop.state.database.write() as session:
        await session.execute(text("drop trigger stop on jobs"))
    await shop.runner.run(job_id)
    result = (await shop.get(f"/v1/jobs/{job_id}"))["result"]
    assert (result["customers"], result["scored"], result["ranges"]) == (500, 500, 5)
    assert len(await pages(shop, limit=1_000)) == 500


async def test_drift_is_seen_and_warned_of(shop: Churn) -> None:
    model = await shop.learn_churn(**QUICK, as_of=instant(60).isoformat())
    assert model["drift"] is None
    await shop.activate_churn(model["model_id"])
    watched = await run(shop, "watch_churn")
    drift = (await shop.get(f"/v1/churn/models/{model['model_id']}"))["drift"]
    assert watched["status"] == drift["status"]
    # A horizon after it learned, what it would have said then can be laid beside what happened.
    assert drift["matured"]["cutoff"] == model["as_of"]
    assert drift["matured"]["observed"]["n"] == drift["matured"]["n"] > 400
    # The feed falls silent: everybody looks as if they were leaving.
    shop.service.clock.advance(timedelta(days=90))
    await run(shop, "watch_churn")
    found = await shop.get(f"/v1/churn/models/{model['model_id']}")
    assert found["drift"]["scores"]["verdict"] == "shifted"
    assert {"scores_shifted", "features_shifted", "miscalibrated"} == {each["code"] for each in found["warnings"]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"definition": {"kind": "inactivity", "horizon_days": 0}}, "/definition/inactivity/horizon_days"),
    ({"definition": {"kind": "gone"}}, "/definition"),
    ({"definition": INACTIVITY, "unheard_of": 1}, "/unheard_of"),
    ({"definition": INACTIVITY, "as_of": "2026-11-02T00:00:00Z"}, "/as_of"),
    ({"definition": INACTIVITY, "features": ["no_such"]}, "/features/0"),
    ({"definition": LABEL, "algorithm": "btyd"}, "/algorithm"),
    ({"definition": LABEL, "features": ["attributes.churned"]}, "/features/0"),
    ({"definition": INACTIVITY, "protected_attribute": "gender"}, "/protected_attribute"),
    (
        {
            "definition": INACTIVITY,
            "intervention": {"cost": {"amount": "1", "currency": "USD"}, "success_rate": 0.1},
        },
        "/intervention/cost/currency",
    ),
    (
        {
            "definition": INACTIVITY,
            "intervention": {"cost": {"amount": "0.001", "currency": "EUR"}, "success_rate": [0.3, 0.1]},
        },
        "/intervention/cost/amount",
    ),
]


async def test_what_means_nothing_is_refused_with_the_place(churn: Churn) -> None:
    for asked, pointer in REFUSED:
        answer = await churn.client.post("/v1/churn/models", json=asked)
        assert answer.status_code == 422, (asked, answer.text)
        assert pointer in [each["pointer"] for each in answer.json()["errors"]], answer.text


async def test_what_cannot_be_learned_from_fails_with_the_reason(churn: Churn) -> None:
    async def reason(**asked: Any) -> str:
        error = await churn.churn_fails(**{"algorithm": "logistic", **asked})
        code: str = error["errors"][0]["code"] if error["errors"] else error["code"]
        return code

    assert await reason(definition=INACTIVITY) == "no_purchases"
    churn.store(buyers(20), currency="EUR")
    assert await reason(definition={"kind": "inactivity", "horizon_days": 400}) == "horizon_exceeds_history"
    assert await reason(definition=INACTIVITY) == "too_few_positives"
    assert await reason(definition=LABEL) == "unknown_feature"
    people = [{"customer_id": f"B-{n:04}", "attributes": {"churned": "Yes", "n": n}} for n in range(20)]
    await churn.client.post("/v1/customers", json={"customers": people})
    assert await reason(definition={"kind": "label", "attribute": "churned"}) == "one_class"
    assert await reason(definition={**LABEL, "positive": "Perhaps"}) == "one_class"
    shop_is_silent = {"definition": {"kind": "inactivity", "horizon_days": 30}}
    churn.service.clock.advance(timedelta(days=60))
    assert await reason(**shop_is_silent) == "one_class"


async def test_where_everybody_stayed_there_is_nothing_to_learn_leaving_from(churn: Churn) -> None:
    # Each buys every 20 days: within any 60.
    facts = [
        (f"B-{number:04}", instant(day + number / 200), "purchase", 1_000)
        for number in range(120)
        for day in range(1, 300, 20)
    ]
    churn.store(iter(facts), currency="EUR")
    error = await churn.churn_fails(definition=INACTIVITY)
    assert [(each["pointer"], each["code"]) for each in error["errors"]] == [
        ("/definition/horizon_days", "everyone_active")
    ]
    assert "within 60 days" in error["detail"]


async def test_half_of_the_labels_may_be_missing_and_words_never_seen_do_no_harm(churn: Churn) -> None:
    people = [
        {
            "customer_id": f"P-{n}",
            "attributes": {
                "plan": ("basic", "gold", "silver")[n % 3],
                "calls": (n * 7) % 10,
                **({"churned": n * 31 % 100 < (60 if n % 3 == 0 else 20)} if n % 2 else {}),
            },
        }
        for n in range(800)
    ]
    await churn.client.post("/v1/customers", json={"customers": people})
    model = await churn.learn_churn(definition={"kind": "label", "attribute": "churned"}, algorithm="logistic")
    assert (model["n"], model["cohorts"][0]["unlabelled"], model["judged_on"]) == (400, 400, "out_of_fold")
    assert "attributes.churned" not in model["features"]
    assert [each["code"] for each in model["warnings"]] == ["labels_missing"]
    await churn.activate_churn(model["model_id"])
    strange = {"customer_id": "new", "attributes": {"plan": "platinum"}}
    await churn.client.post("/v1/customers", json={"customers": [strange]})
    assert 0 < (await churn.get("/v1/customers/new/churn"))["churn_probability"] < 1
