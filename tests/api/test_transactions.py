"""Pushing transactions over HTTP."""

from urllib.parse import quote

import pytest

from tests.conftest import Service
from tests.support.records import transaction

pytestmark = pytest.mark.anyio


async def test_the_same_row_again_is_a_duplicate(service: Service) -> None:
    first = await service.push(transaction())
    again = await service.push(transaction())
    assert (first["created"], again["created"], again["duplicates"]) == (1, 0, 1)


async def test_the_same_identifier_with_other_content_is_a_conflict(service: Service) -> None:
    await service.push(transaction(amount="10.00"))
    answer = await service.push(transaction(amount="11.00"), transaction("T-2"))
    assert answer["created"] == 1
    assert [(row["index"], row["code"], row["pointer"]) for row in answer["rejected"]] == [
        (0, "conflict", "/transactions/0/transaction_id")
    ]


async def test_one_bad_row_does_not_cost_the_good_ones(service: Service) -> None:
    rows = [transaction(f"T-{i}") for i in range(200)]
    rows[57]["currency"] = "ZZZ"
    answer = await service.push(*rows)
    assert (answer["received"], answer["created"]) == (200, 199)
    assert [row["pointer"] for row in answer["rejected"]] == ["/transactions/57/currency"]


async def test_a_known_batch_sent_again_changes_nothing(service: Service) -> None:
    rows = [transaction(f"T-{i}", customer_id=f"C-{i % 7}") for i in range(300)]
    first, again = await service.push(*rows), await service.push(*rows)
    assert (first["created"], again["created"], again["duplicates"]) == (300, 0, 300)
    shuffled = await service.push(*reversed(rows))
    assert (shuffled["created"], shuffled["duplicates"]) == (0, 300)


async def test_rows_that_are_partly_known_are_stored_in_part(service: Service) -> None:
    await service.push(*[transaction(f"T-{i:03}") for i in range(50)])
    answer = await service.push(*[transaction(f"T-{i:03}") for i in range(25, 75)])
    assert (answer["created"], answer["duplicates"], answer["rejected"]) == (25, 25, [])


async def test_identifiers_with_slashes_and_other_signs_are_reached_by_every_path(service: Service) -> None:
    for customer_id in ("gid://shop/Customer/17", "a b+c?d#e%2F", "ü/é"):
        await service.push(transaction(customer_id, customer_id=customer_id))
        place = f"/v1/customers/{quote(customer_id, safe='')}"
        for path in ("", "/transactions", "/events", "/features", "/segments", "/segments/history", "/export"):
            answer = await service.client.get(place + path)
            assert answer.status_code == 200, (customer_id, path, answer.text)
        listed = (await service.client.get(f"{place}/transactions")).json()["data"]
        assert [row["transaction_id"] for row in listed] == [customer_id]
        assert (await service.client.delete(place)).status_code == 200
        assert (await service.client.get(place)).status_code == 404


async def test_rows_remembered_from_a_moment_ago_are_told_from_new_ones_and_from_contradictions(
    service: Service,
) -> None:
    rows = [
        transaction(
            f"T-{i:03}",
            customer_id=f"C-{i % 7}",
            amount=f"{i}.50",
            items=[{"product_id": "P", "quantity": 1, "unit_price": i}],
        )
        for i in range(300)
    ]
    assert (await service.push(*rows[:200]))["created"] == 200
    rows[150] = {**rows[150], "items": [{"product_id": "P", "quantity": 2, "unit_price": 150}]}
    rows[160] = {**rows[160], "margin": "-0.01"}
    answer = await service.push(*reversed(rows))
    assert (answer["received"], answer["created"], answer["duplicates"]) == (300, 100, 198)
    assert sorted((row["index"], row["code"]) for row in answer["rejected"]) == [(139, "conflict"), (149, "conflict")]


async def test_rows_of_a_transaction_that_failed_are_not_remembered(service: Service) -> None:
    rows = [transaction(f"T-{i:03}") for i in range(150)]
    async with service.app.state.service.database.write() as session:
        await session.exec_driver_sql("alter table dirty_customers rename to hidden")
    refused = await service.client.post("/v1/transactions", json={"transactions": rows})
    assert refused.status_code >= 500
    async with service.app.state.service.database.write() as session:
        await session.exec_driver_sql("alter table hidden rename to dirty_customers")
    answer = await service.push(*reversed(rows))
    assert (answer["created"], answer["duplicates"]) == (150, 0)


async def test_what_is_remembered_is_forgotten_when_the_customer_is_erased(service: Service) -> None:
    rows = [transaction(f"T-{i:03}", customer_id=f"C-{i % 2}") for i in range(150)]
    await service.push(*rows)
    assert (await service.client.delete("/v1/customers/C-1")).status_code == 200
    answer = await service.push(*reversed(rows))
    assert (answer["duplicates"], {row["code"] for row in answer["rejected"]}) == (75, {"customer_erased"})
