"""Handing out audiences: who is in them, who never is, and that arms stay."""

import asyncio
import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from app.activation.audiences import repository
from app.activation.audiences import service as audiences
from app.tables.campaigns import campaign_assignments
from app.tables.customers import customers
from app.tables.segments import memberships, segments
from tests.conftest import Service
from tests.support.campaigns import expose, exposure, plan, results, segment_of

pytestmark = pytest.mark.anyio

RUNNING = {"starts_at": "2026-10-15T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}
PEOPLE = [f"C-{i:03}" for i in range(400)]


# Everybody at once, and in pieces of whom some end within a page and some do not.
@pytest.fixture(autouse=True, params=[repository.STRETCH, 90])
def stretch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(repository, "STRETCH", request.param)
    return int(request.param)


async def audience(service: Service, campaign_id: str = "autumn", **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await service.client.get(
            f"/v1/campaigns/{campaign_id}/audience", params={"limit": 150, **params, **cursor}
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}


async def named(service: Service, campaign_id: str = "autumn", **params: Any) -> set[str]:
    return {each["customer_id"] for each in await audience(service, campaign_id, **params)}


async def assigned(service: Service, campaign_id: str = "autumn") -> dict[str, str]:
    a = campaign_assignments.c
    async with service.app.state.service.database.read() as session:
        rows = await session.execute(select(a.customer_id, a.arm).where(a.campaign_id == campaign_id))
        return {row[0]: row[1] for row in rows}


async def withdraw(service: Service, people: list[str]) -> None:
    statement = update(customers).where(customers.c.customer_id.in_(people)).values(consent_marketing=False)
    async with service.app.state.service.database.write() as session:
        await session.execute(statement)


async def test_the_holdout_is_recorded_and_never_handed_out(service: Service) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), holdout_share=0.25, **RUNNING)
    handed = await named(service)
    arms = await assigned(service)
    assert set(arms) == set(PEOPLE)
    assert handed == {each for each, arm in arms.items() if arm == "treated"}
    # Of 400 with a share of .25 within five standard errors of sqrt(400 * .25 * .75) = 8.7.
    assert 56 < len(PEOPLE) - len(handed) < 144
    shown = await results(service)
    assert {arm["arm"]: arm["n"] for arm in shown["arms"]} == {"holdout": 400 - len(handed), "treated": len(handed)}
    assert shown["sample_ratio"]["ok"] is True


async def test_asked_again_the_arms_are_the_same_and_new_members_join(service: Service) -> None:
    segment_id = await segment_of(service, PEOPLE)
    variants = [{"arm": "gift", "share": 0.4}, {"arm": "discount", "share": 0.4}]
    await plan(service, segment_id=segment_id, holdout_share=0.2, variants=variants, **RUNNING)
    first = {each["customer_id"]: each for each in await audience(service)}
    now = service.clock.now()
    async with service.app.state.service.database.write() as session:
        await session.execute(insert(customers), [{"customer_id": "NEW-1", "consent_marketing": True}])
        segmentation_id = await session.scalar(select(segments.c.segmentation_id))
        row = {"customer_id": "NEW-1", "segmentation_id": segmentation_id, "segment_id": segment_id, "version": 1}
        times = {"valid_from": now, "since": now, "evaluated_at": now, "reason": {}}
        await session.execute(insert(memberships).values(**row, **times))
    service.clock.advance(timedelta(days=2))
    again = {each["customer_id"]: each for each in await audience(service)}
    assert {name: again[name] for name in first} == first
    assert set(again) - set(first) <= {"NEW-1"}
    assert "NEW-1" in await assigned(service)
    by_arm = [await named(service, arm=arm) for arm in ("gift", "discount")]
    assert by_arm[0] | by_arm[1] == set(again)
    assert not by_arm[0] & by_arm[1]


async def test_arms_of_two_campaigns_have_nothing_to_do_with_each_other(service: Service) -> None:
    segment_id = await segment_of(service, PEOPLE)
    for campaign_id in ("autumn", "sale"):
        await plan(service, campaign_id=campaign_id, segment_id=segment_id, holdout_share=0.5, **RUNNING)
        await audience(service, campaign_id)
    one, other = await assigned(service), await assigned(service, "sale")
    same = sum(one[each] == other[each] for each in PEOPLE)
    # Independent halves agree for half of 400, within five standard errors of 10.
    assert 150 < same < 250


async def test_only_those_who_agreed_are_assigned_and_who_withdraws_stays_in_the_analysis(service: Service) -> None:
    silent = [f"S-{i}" for i in range(20)]
    await segment_of(service, silent, consent=None)
    await segment_of(service, ["NO-1"], consent=False)
    await plan(service, segment_id=await segment_of(service, [*PEOPLE, *silent, "NO-1"]), **RUNNING)
    handed = sorted(await named(service))
    assert set(await assigned(service)) == set(PEOPLE)
    await withdraw(service, handed[:10])
    assert await named(service) == set(handed[10:])
    assert sum(arm["n"] for arm in (await results(service))["arms"]) == len(PEOPLE)


async def test_members_of_excluded_segments_get_no_arm(service: Service) -> None:
    segment_id, excluded = await segment_of(service, PEOPLE), await segment_of(service, PEOPLE[:100])
    await plan(service, segment_id=segment_id, excluded_segment_ids=[excluded], **RUNNING)
    await audience(service)
    assert set(await assigned(service)) == set(PEOPLE[100:])


async def test_who_was_exposed_often_lately_gets_no_arm(service: Service) -> None:
    segment_id = await segment_of(service, PEOPLE)
    await plan(service, campaign_id="sale", segment_id=segment_id, holdout_share=0.5, **RUNNING)
    exposed = await named(service, "sale")
    capped = {"segment_id": segment_id, "frequency_cap": {"exposures": 1, "days": 7}, **RUNNING}
    await plan(service, **capped)
    await audience(service)
    assert set(await assigned(service)) == set(PEOPLE) - exposed
    service.clock.advance(timedelta(days=8))
    await plan(service, campaign_id="later", **capped)
    await audience(service, "later")
    arms = await assigned(service)
    fresh = {each for each, arm in arms.items() if arm == "treated"}
    # Those of autumn were handed out eight days ago too: a week later everybody may be assigned again.
    assert set(await assigned(service, "later")) == set(PEOPLE)
    assert fresh


async def test_the_global_holdout_is_in_no_campaign_while_it_lasts(service: Service) -> None:
    segment_id = await segment_of(service, PEOPLE)
    made = (await service.client.post("/v1/holdouts", json={"share": 0.5})).json()
    for campaign_id in ("autumn", "sale"):
        await plan(service, campaign_id=campaign_id, segment_id=segment_id, **RUNNING)
        await audience(service, campaign_id)
    inside = set(await assigned(service))
    assert inside == set(await assigned(service, "sale"))
    assert 150 < len(inside) < 250
    kept_out = next(each for each in PEOPLE if each not in inside)
    pushed = await expose(service, [exposure(kept_out, at="2026-10-20T00:00:00Z")])
    assert [row["code"] for row in pushed["rejected"]] == ["in_global_holdout"]
    await service.client.post(f"/v1/holdouts/{made['holdout_id']}/end")
    service.clock.advance(timedelta(seconds=1))
    await audience(service)
    assert set(await assigned(service)) == set(PEOPLE)


async def test_merged_customers_are_handed_out_once_under_the_surviving_name(service: Service) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), holdout_share=0.5, **RUNNING)
    await audience(service)
    arms = await assigned(service)
    treated = [each for each, arm in arms.items() if arm == "treated"]
    held = [each for each, arm in arms.items() if arm == "holdout"]
    far_same, far_other = sorted(treated)[-1], sorted(treated)[-2]
    for merged, into in ((far_same, treated[1]), (far_other, held[0])):
        answer = await service.client.post("/v1/customers/merge", json={"from": merged, "into": into})
        assert answer.status_code == 200, answer.text
    handed = await named(service)
    assert treated[1] in handed
    assert not handed & {far_same, far_other, held[0]}
    found = await results(service)
    assert (found["excluded"]["cross_overs"], found["excluded"]["duplicates"]) == (1, 1)


async def test_files_hold_the_same_customers_and_no_formula(service: Service) -> None:
    odd = ["=1+1", "+x", "-y", "@z", "a,b", 'say "hi"', "ü/é", "\\back", "two\nlines"]
    await plan(service, segment_id=await segment_of(service, [*PEOPLE, *odd]), holdout_share=0, **RUNNING)
    pages = {each["customer_id"]: each["assigned_at"] for each in await audience(service)}
    place = "/v1/campaigns/autumn/audience"
    answer = await service.client.get(place, params={"format": "ndjson"})
    rows = [json.loads(line) for line in answer.text.split("\n")[:-1]]
    assert {each["customer_id"]: each["assigned_at"] for each in rows} == pages
    assert set(pages) == {*PEOPLE, *odd}
    answer = await service.client.get(place, params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    shown = {f"'{each}" if each[0] in "=+-@" else each for each in pages}
    assert {row["customer_id"] for row in table} == shown
    assert {row["arm"] for row in table} == {"treated"}


async def test_pages_go_in_order_and_assign_no_more_than_the_piece_that_they_are_from(
    service: Service, stretch: int
) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), **RUNNING)
    first = await service.client.get("/v1/campaigns/autumn/audience", params={"limit": 1})
    assert set(await assigned(service)) == set(PEOPLE[:stretch])
    assert first.json()["data"][0]["customer_id"] in PEOPLE[:20]
    handed = [each["customer_id"] for each in await audience(service)]
    assert handed == sorted(set(handed))
    assert set(await assigned(service)) == set(PEOPLE)


async def test_a_stream_cut_off_has_only_whom_the_record_has_and_comes_again_with_the_same_arms(
    service: Service, stretch: int
) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), **RUNNING)
    state, now = service.app.state.service, service.clock.now()
    async with state.database.read() as session:
        rules = await audiences.rules_of(session, "autumn", arm=None, secret=state.secret, now=now)
    stream = audiences.lines(state.database, rules, arm=None, file_format="ndjson", now=now)
    streamed = [json.loads(line) for line in (await anext(stream)).splitlines()]
    await stream.aclose()
    before = await assigned(service)
    assert set(before) == set(PEOPLE[:stretch])
    assert {each["customer_id"] for each in streamed} == {each for each, arm in before.items() if arm == "treated"}
    service.clock.advance(timedelta(hours=1))
    answer = await service.client.get("/v1/campaigns/autumn/audience", params={"format": "ndjson"})
    again = {each["customer_id"]: each for each in map(json.loads, answer.text.splitlines())}
    assert [again[each["customer_id"]] for each in streamed] == streamed
    after = await assigned(service)
    assert (set(after), {name: after[name] for name in before}) == (set(PEOPLE), before)
    assert set(again) == {each for each, arm in after.items() if arm == "treated"}


async def test_who_left_the_segment_is_handed_out_still(service: Service) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), **RUNNING)
    handed = await named(service)
    service.clock.advance(timedelta(hours=1))
    left = update(memberships).values(valid_to=service.clock.now())
    async with service.app.state.service.database.write() as session:
        await session.execute(left)
    assert await named(service) == handed


async def test_who_was_exposed_under_a_name_merged_since_was_exposed_themselves(service: Service) -> None:
    segment_id = await segment_of(service, PEOPLE)
    await plan(service, campaign_id="sale", segment_id=segment_id, **RUNNING)
    exposed = sorted(await named(service, "sale"))
    fresh = sorted(set(PEOPLE) - set(exposed))
    for merged, into in zip(exposed[:3], reversed(fresh[-3:]), strict=True):
        answer = await service.client.post("/v1/customers/merge", json={"from": merged, "into": into})
        assert answer.status_code == 200, answer.text
    await plan(service, segment_id=segment_id, frequency_cap={"exposures": 1, "days": 7}, **RUNNING)
    await audience(service)
    assert set(await assigned(service)) == set(fresh[:-3])


async def test_hand_outs_at_once_assign_everybody_once(service: Service) -> None:
    await plan(service, segment_id=await segment_of(service, PEOPLE), **RUNNING)
    place = "/v1/campaigns/autumn/audience"
    answers = await asyncio.gather(*(service.client.get(place, params={"format": "ndjson"}) for _ in range(3)))
    found = [{line["customer_id"]: line for line in map(json.loads, each.text.splitlines())} for each in answers]
    assert found[0] == found[1] == found[2]
    arms = await assigned(service)
    assert (len(arms), set(found[0])) == (len(PEOPLE), {each for each, arm in arms.items() if arm == "treated"})


async def test_a_campaign_that_hands_out_nobody_says_why(service: Service) -> None:
    await plan(service, campaign_id="pushed", **RUNNING)
    await plan(service, segment_id=await segment_of(service, ["C-1"]))
    for campaign_id, params, status, code in (
        ("pushed", {}, 409, "no_audience"),
        ("autumn", {}, 409, "no_audience"),
        ("none", {}, 404, "campaign_not_found"),
        ("pushed", {"format": "xml"}, 422, "invalid_input"),
    ):
        answer = await service.client.get(f"/v1/campaigns/{campaign_id}/audience", params=params)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    await plan(service, campaign_id="on", segment_id=await segment_of(service, ["C-1"]), **RUNNING)
    answer = await service.client.get("/v1/campaigns/on/audience", params={"arm": "holdout"})
    assert answer.json()["errors"][0]["code"] == "holdout_is_not_handed_out"
