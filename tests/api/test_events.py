"""Pushing events over HTTP and reading them back."""

from typing import Any

import httpx
import orjson
import pytest

from app.records.events.columns import comparable
from app.records.intake.envelope import MAX_DEPTH
from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio


def event(event_id: str = "E-1", **values: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "customer_id": "C-1",
        "type": "visit",
        "occurred_at": "2026-10-01T10:00:00Z",
        **values,
    }


async def push(service: Service, *events: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    answer = await service.client.post("/v1/events", json={"events": events, **envelope})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def push_raw(service: Service, body: bytes) -> httpx.Response:
    return await service.client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})


async def listed(service: Service, customer_id: str = "C-1", **query: Any) -> dict[str, Any]:
    answer = await service.client.get(f"/v1/customers/{customer_id}/events", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = orjson.loads(answer.content)
    return found


def reasons(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["code"], row["pointer"]) for row in answer["rejected"]]


async def test_an_event_comes_back_as_it_was_sent(service: Service) -> None:
    sent = event(
        type="email_click",
        channel="email",
        campaign_id="autumn",
        value=2.5,
        properties={"link": "a", "nested": {"list": [1, None, True]}},
    )
    assert (await push(service, sent, source="crm"))["created"] == 1
    (got,) = (await listed(service))["data"]
    del sent["customer_id"]
    assert got == {**sent, "source": "crm"}


async def test_what_was_left_out_of_an_event_is_null_or_empty(service: Service) -> None:
    await push(service, event(properties=None))
    (got,) = (await listed(service))["data"]
    assert (got["channel"], got["campaign_id"], got["value"], got["properties"]) == (None, None, None, {})


async def test_the_same_event_again_is_a_duplicate_however_its_json_is_written(service: Service) -> None:
    first = (
        b'{"events":[{"event_id":"E-1","customer_id":"C-1","type":"visit","occurred_at":"2026-10-01T10:00:00Z",'
        b'"properties":{"a":1.0,"b":{"c":[1e2,"\\u00e9"]},"n":123456789012345678901234567890}}]}'
    )
    again = (
        '{"events":[{"properties":{"n":123456789012345678901234567890,"b":{"c":[100,"é"]},"a":1},"event_id":"E-1",'
        '"customer_id":"C-1","type":"visit","occurred_at":"2026-10-01T12:00:00+02:00"}]}'
    ).encode()
    assert (await push_raw(service, first)).json()["created"] == 1
    for body in (first, again):
        assert (await push_raw(service, body)).json()["duplicates"] == 1


async def test_another_content_under_a_known_identifier_is_a_conflict(service: Service) -> None:
    changes: list[dict[str, Any]] = [
        {"type": "click"},
        {"customer_id": "C-2"},
        {"occurred_at": "2026-10-01T10:00:01Z"},
        {"value": 1},
        {"channel": "web"},
        {"campaign_id": "x"},
        {"properties": {"a": True}},
    ]
    known = event(properties={"a": 1})
    await push(service, known)
    answer = await push(service, *[{**known, **change} for change in changes], event("E-2"))
    assert answer["created"] == 1
    # The first is told by what is stored, the others by what stands in the body before them.
    assert reasons(answer) == [("conflict", f"/events/{i}/event_id") for i in range(len(changes))]
    for change in changes:
        assert reasons(await push(service, {**known, **change})) == [("conflict", "/events/0/event_id")]


async def test_repetitions_within_one_body_are_told_apart_from_contradictions(service: Service) -> None:
    answer = await push(service, event(), event(), event(value=3))
    assert (answer["created"], answer["duplicates"]) == (1, 1)
    assert reasons(answer) == [("conflict", "/events/2/event_id")]


async def test_one_identifier_may_stand_in_two_sources(service: Service) -> None:
    assert (await push(service, event(), source="web"))["created"] == 1
    assert (await push(service, event(value=1), source="app"))["created"] == 1
    assert [row["source"] for row in (await listed(service))["data"]] == ["web", "app"]


async def test_rows_that_are_partly_known_are_stored_in_part(service: Service) -> None:
    await push(service, *[event(f"E-{i:03}", value=i) for i in range(50)])
    answer = await push(service, *[event(f"E-{i:03}", value=i) for i in range(25, 75)])
    assert (answer["created"], answer["duplicates"], answer["rejected"]) == (25, 25, [])


async def test_a_known_identifier_that_no_sample_meets_costs_nothing_but_its_own_row(service: Service) -> None:
    # 17 of 1,000 identifiers are looked at first; E-501 is none of them (every 62nd and the last).
    await push(service, event("E-501"))
    answer = await push(service, *[event(f"E-{i:03}") for i in range(1000)])
    assert (answer["created"], answer["duplicates"], answer["rejected"]) == (999, 1, [])


BAD: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"type": "Visit"}, ("invalid_event_type", "type")),
    ({"type": ""}, ("invalid_event_type", "type")),
    ({"type": "visit\n"}, ("invalid_event_type", "type")),
    ({"type": "1st"}, ("invalid_event_type", "type")),
    ({"type": "v" * 101}, ("invalid_event_type", "type")),
    ({"type": "bésuch"}, ("invalid_event_type", "type")),
    ({"occurred_at": "2026-10-01T10:00:00"}, ("naive_instant", "occurred_at")),
    ({"occurred_at": "1899-12-31T23:59:59Z"}, ("absurd_instant", "occurred_at")),
    ({"occurred_at": "2200-01-01T00:00:00Z"}, ("absurd_instant", "occurred_at")),
    ({"occurred_at": "yesterday"}, ("invalid_instant", "occurred_at")),
    ({"occurred_at": 1}, ("invalid_type", "occurred_at")),
    ({"value": "5"}, ("invalid_type", "value")),
    ({"value": True}, ("invalid_type", "value")),
    ({"value": 10**400}, ("number_out_of_range", "value")),
    ({"properties": []}, ("invalid_type", "properties")),
    ({"properties": "text"}, ("invalid_type", "properties")),
    ({"properties": {"a": "x\x00y"}}, ("nul_character", "properties/a")),
    ({"properties": {"x\x00y": 1}}, ("nul_character", "properties")),
    ({"event_id": ""}, ("invalid_length", "event_id")),
    ({"event_id": "x" * 256}, ("invalid_length", "event_id")),
    ({"customer_id": None}, ("invalid_type", "customer_id")),
    ({"customer_id": "a\x00b"}, ("nul_character", "customer_id")),
    ({"channel": "c" * 101}, ("invalid_length", "channel")),
    ({"colour": "red"}, ("unknown_field", "colour")),
]


async def test_bad_events_are_refused_with_their_places_and_cost_no_other(service: Service) -> None:
    rows = [
        event(f"bad-{i}", **change) if "event_id" not in change else event(**change)
        for i, (change, _) in enumerate(BAD)
    ]
    answer = await push(service, *rows, event("good"))
    wanted = [(code, f"/events/{i}/{field}") for i, (_, (code, field)) in enumerate(BAD)]
    assert (answer["created"], reasons(answer)) == (1, wanted)


async def test_properties_that_the_database_could_not_keep_are_refused(service: Service) -> None:
    documents = [
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "too_deep"),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "too_deep"),
        (b'{"a":1e400}', "unreadable_row"),
        # A double reads both as 0, PostgreSQL's numeric has no room for them.
        (b'{"a":1e-20000}', "number_out_of_range"),
        (b'{"a":0.' + b"0" * 20_000 + b"1}", "number_out_of_range"),
        (b'{"a":"\xff"}', "unreadable_row"),
    ]
    bad = [
        orjson.dumps(event(f"bad-{i}"))[:-1] + b',"properties":' + raw + b"}" for i, (raw, _) in enumerate(documents)
    ]
    answer = await push_raw(service, b'{"events":[' + b",".join([*bad, orjson.dumps(event())]) + b"]}")
    assert answer.status_code == 200, answer.text
    codes = [row["code"] for row in answer.json()["rejected"]]
    assert (answer.json()["created"], codes) == (1, [code for _, code in documents])


async def test_what_is_not_json_is_unreadable_as_a_whole(service: Service) -> None:
    for token in [b"NaN", b"Infinity", b'"\\ud800"', b"01"]:
        answer = await push_raw(service, b'{"events":[' + orjson.dumps(event())[:-1] + b',"value":' + token + b"}]}")
        assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_body"), token


async def test_numbers_longer_than_64_bits_come_back_with_all_their_digits(service: Service) -> None:
    long = b"123456789012345678901234567890.25"
    await push_raw(service, b'{"events":[' + orjson.dumps(event())[:-1] + b',"properties":{"n":' + long + b"}}]}")
    answer = await service.client.get("/v1/customers/C-1/events")
    assert long in answer.content


async def test_surveys_with_answers_on_the_scales_are_kept(service: Service) -> None:
    surveys: list[dict[str, Any]] = [{}, {"csat": 1}, {"csat": 5, "nps": 0}, {"nps": 10}, {"csat": None, "note": "x"}]
    rows = [event(f"E-{i}", type="survey", properties=answers) for i, answers in enumerate(surveys)]
    assert (await push(service, *rows))["created"] == len(surveys)


async def test_surveys_with_an_answer_off_the_scale_are_refused(service: Service) -> None:
    surveys: list[tuple[dict[str, Any], str]] = [
        ({"csat": 0}, "csat"),
        ({"csat": 6}, "csat"),
        ({"csat": 4.0}, "csat"),
        ({"csat": "4"}, "csat"),
        ({"csat": True}, "csat"),
        ({"nps": -1}, "nps"),
        ({"csat": 3, "nps": 11}, "nps"),
    ]
    rows = [event(f"E-{i}", type="survey", properties=answers) for i, (answers, _) in enumerate(surveys)]
    wanted = [("invalid_survey", f"/events/{i}/properties/{question}") for i, (_, question) in enumerate(surveys)]
    assert reasons(await push(service, *rows)) == wanted
    # Other events may mean something else by the same names.
    assert (await push(service, *[{**row, "type": "review"} for row in rows]))["created"] == len(surveys)


async def test_a_refused_event_is_kept_and_can_be_retried_when_mended(service: Service) -> None:
    bad = event(type="survey", properties={"csat": 9})
    await push(service, bad, source="shop")
    (kept,) = (await service.client.get("/v1/rejections", params={"kind": "events"})).json()["data"]
    assert (kept["payload"]["properties"], kept["code"], kept["source"]) == ({"csat": 9}, "invalid_survey", "shop")
    mended = {**bad, "properties": {"csat": 5}}
    answer = await service.client.post(f"/v1/rejections/{kept['rejection_id']}/retry", json={"payload": mended})
    assert (answer.status_code, answer.json().get("created")) == (200, 1), answer.text
    assert [row["source"] for row in (await listed(service))["data"]] == ["shop"]


async def test_a_customers_events_come_newest_first_page_by_page(service: Service) -> None:
    rows = [event(f"E-{i:02}", occurred_at=f"2026-10-{1 + i // 2:02}T10:00:00Z") for i in range(20)]
    await push(service, *rows)
    await push(service, event("other", customer_id="C-2"))
    seen: list[str] = []
    cursor = None
    while True:
        found = await listed(service, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [row["event_id"] for row in found["data"]]
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"E-{i:02}" for i in reversed(range(20))]


async def test_events_of_nobody_known_are_not_found(service: Service) -> None:
    for path in ("nobody", "%00"):
        assert (await service.client.get(f"/v1/customers/{path}/events")).status_code == 404


async def test_events_of_a_merged_customer_are_the_survivors(service: Service) -> None:
    await push(service, event(customer_id="old"), event("E-2", customer_id="new"))
    merged = await service.client.post("/v1/customers/merge", json={"from": "old", "into": "new"})
    assert merged.status_code == 200, merged.text
    # Sent again under the old name the row is known, and a further one joins the survivor.
    answer = await push(service, event(customer_id="old"), event("E-3", customer_id="old"))
    assert (answer["created"], answer["duplicates"]) == (1, 1)
    assert {row["event_id"] for row in (await listed(service, "new"))["data"]} == {"E-1", "E-2", "E-3"}


async def test_events_of_the_erased_are_refused_and_not_kept(service: Service) -> None:
    await push(service, event(customer_id="gone"))
    assert (await service.client.delete("/v1/customers/gone")).status_code == 200
    answer = await push(service, event("E-2", customer_id="gone"), event("E-3"))
    assert (answer["created"], reasons(answer)) == (1, [("customer_erased", "/events/0/customer_id")])
    kept = (await service.client.get("/v1/rejections")).json()["data"]
    assert [(row["payload"], row["customer_id"]) for row in kept] == [(None, None)]


async def test_a_body_of_events_and_one_of_transactions_are_not_taken_for_each_other(service: Service) -> None:
    await push(service, *[event(f"E-{i}") for i in range(100)])
    again = await push(service, *[event(f"E-{i}") for i in range(100)])
    assert (again["created"], again["duplicates"]) == (0, 100)
    assert (await service.push(*[transaction(f"E-{i}") for i in range(100)]))["created"] == 100


def test_documents_are_compared_by_meaning() -> None:
    same = comparable(b'{"a":[1.0,{"b":null}],"c":1e2}')
    assert same == comparable(b'{ "c": 100, "a": [1, {"b": null}] }')
    for other in (b'{"a":[true,{"b":null}],"c":100}', b'{"a":[{"b":null},1],"c":100}', b'{"a":[1,{"b":null}]}'):
        assert comparable(other) != same
    assert comparable(b"[]") != comparable(b"{}")
    assert comparable(b"[true]") != comparable(b"[[true]]")
