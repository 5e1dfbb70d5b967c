"""Importing files: what their rows become, and what damaged ones do not."""

import asyncio
import gzip
import io
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from app.errors import InvalidInput, TesseraError, Unavailable, Unreadable
from app.jobs import repository as jobs
from app.jobs.queue import enqueue
from app.records.imports.definitions import JOB_KIND
from app.records.imports.options import Options
from tests.support.imports import Importer, csv_of, importing, run_job

pytestmark = pytest.mark.anyio

LINES = "transaction_id,customer_id,occurred_at,product_id,quantity,unit_price"
FLAT = "transaction_id,customer_id,occurred_at,amount"
WHEN = "2026-10-01 10:00:00"


@pytest.fixture
async def importer(database_url: str, tmp_path: Path) -> AsyncIterator[Importer]:
    async with importing(database_url, tmp_path) as found:
        yield found


async def one(importer: Importer, columns: str) -> tuple[Any, ...]:
    (row,) = await importer.rows(f"select {columns} from transactions")
    return row


# Lines of transactions


async def test_lines_of_one_transaction_need_not_be_neighbours(importer: Importer) -> None:
    content = csv_of(
        LINES,
        f"T-1,C-1,{WHEN},A,2,1.50",
        f"T-2,C-2,{WHEN},A,1,1.50",
        f"T-1,C-1,{WHEN},B,1,4.00",
    )
    result = await importer(content)
    assert {name: result[name] for name in ("lines", "received", "created", "rejected")} == {
        "lines": 3,
        "received": 2,
        "created": 2,
        "rejected": 0,
    }
    found = await importer.rows("select transaction_id, amount_minor, line_count from transactions order by 1")
    assert found == [("T-1", 700, 2), ("T-2", 150, 1)]
    lines = "select line, product_id, quantity::text, unit_price::text from transaction_items"
    assert await importer.rows(f"{lines} where transaction_id = 'T-1' order by line") == [
        (0, "A", "2.000000", "1.500000"),
        (1, "B", "1.000000", "4.000000"),
    ]


@pytest.mark.parametrize(
    ("lines", "kind", "minor"),
    [
        # 3 x 0.335 = 1.005: half a cent goes away from zero.
        (["3,0.335"], "purchase", 101),
        (["-3,0.335"], "refund", 101),
        # Each line alone would round to 0; the sum is rounded once: 2 x 0.004 = 0.008.
        (["1,0.004", "1,0.004"], "purchase", 1),
        (["1,5.00", "-2,4.00"], "refund", 300),
        (["1,5.00", "-1,5.00"], "purchase", 0),
        (["0.5,0.000001", "1.5,2"], "purchase", 300),
        # Quantities and prices near their limits do not fit into 64 bits of millionths when multiplied.
        (["99999999,900000000.5", "0.000001,0.000001"], "purchase", 8_999_999_914_999_999_950),
    ],
)
async def test_the_amount_is_the_sum_of_the_lines_rounded_once(
    importer: Importer, lines: list[str], kind: str, minor: int
) -> None:
    await importer(csv_of(LINES, *(f"T-1,C-1,{WHEN},A,{line}" for line in lines)))
    assert await one(importer, "kind, amount_minor") == (kind, minor)


async def test_quantities_and_prices_are_stored_with_every_digit(importer: Importer) -> None:
    # Around the edges of the base of 10,000 in which PostgreSQL keeps numbers, with and without a fraction.
    numbers = ["0", "-1", "9999", "10000", "0.000001", "-0.01", "9999.9999", "10000.0001", "99999999.5"]
    numbers += ["100000000", "-999999999999.999999"]
    for number in numbers:
        await importer(csv_of(LINES, f"{number},C-1,{WHEN},A,{number},1", f"{number},C-1,{WHEN},B,0.5,{number}"))
    lines = "select transaction_id, line, trim_scale(quantity)::text, trim_scale(unit_price)::text"
    found = await importer.rows(f"{lines} from transaction_items order by 1, 2")
    expected = [row for each in sorted(numbers) for row in ((each, 0, each, "1"), (each, 1, "0.5", each))]
    assert found == expected


async def test_a_sum_that_64_bits_cannot_hold_is_refused(importer: Importer) -> None:
    result = await importer(csv_of(LINES, f"T-1,C-1,{WHEN},A,999999999999,999999999999"))
    assert (result["created"], result["reasons"]) == (0, {"amount_too_large": 1})


async def test_the_digits_of_each_currency_decide_where_to_round(importer: Importer) -> None:
    rows = (f"T-{currency},C-1,{WHEN},A,1,10.5555,{currency}" for currency in ("JPY", "EUR", "KWD"))
    await importer(csv_of(f"{LINES},currency", *rows))
    found = await importer.rows("select currency, amount_minor from transactions order by amount_minor")
    assert found == [("JPY", 11), ("EUR", 1056), ("KWD", 10556)]


async def test_the_currency_of_a_row_wins_over_that_of_the_file(importer: Importer) -> None:
    await importer(csv_of(f"{FLAT},currency", f"T-1,C-1,{WHEN},1.00,USD", f"T-2,C-1,{WHEN},1.00,"), currency="GBP")
    assert await importer.rows("select transaction_id, currency from transactions order by 1") == [
        ("T-1", "USD"),
        ("T-2", "GBP"),
    ]


async def test_differing_times_of_lines_mean_the_earliest(importer: Importer) -> None:
    await importer(csv_of(LINES, "T-1,C-1,2026-10-01 10:05:00,A,1,1", f"T-1,C-1,{WHEN},B,1,1"))
    assert await one(importer, "occurred_at") == (datetime(2026, 10, 1, 10, tzinfo=UTC),)


@pytest.mark.parametrize(("field", "values"), [("customer_id", ("C-1", "C-2")), ("currency", ("EUR", "USD"))])
async def test_lines_that_disagree_are_refused_together(
    importer: Importer, field: str, values: tuple[str, str]
) -> None:
    told = {"customer_id": "C-1", "currency": "EUR"}
    rows = []
    for value in values:
        row = {**told, field: value}
        rows.append(f"T-1,{row['customer_id']},{WHEN},A,1,1.00,{row['currency']}")
    rows.insert(1, f"T-2,C-1,{WHEN},A,1,1.00,EUR")
    result = await importer(csv_of(f"{LINES},currency", *rows))
    assert (result["created"], result["rejected"]) == (1, 1)
    assert [(each["index"], each["code"], each["pointer"]) for each in result["first_rejected"]] == [
        (2, "lines_disagree", f"/rows/2/{field}")
    ]


async def test_an_empty_cell_agrees_with_everything(importer: Importer) -> None:
    await importer(csv_of(LINES, f"T-1,C-1,{WHEN},A,1,1.00", "T-1,,,B,1,1.00"))
    assert await one(importer, "customer_id, amount_minor") == ("C-1", 200)


async def test_a_bad_line_costs_its_whole_transaction_and_no_other(importer: Importer) -> None:
    content = csv_of(
        LINES,
        f"T-1,C-1,{WHEN},A,1,1.00",
        f"T-2,C-1,{WHEN},A,1,1.00",
        f"T-1,C-1,{WHEN},B,two,1.00",
        f",C-1,{WHEN},B,1,1.00",
    )
    result = await importer(content)
    assert (result["lines"], result["received"], result["created"], result["rejected"]) == (4, 3, 1, 2)
    assert [(each.index, each.code, each.pointer) for each in sorted(importer.refused, key=lambda r: r.index)] == [
        (2, "invalid_number", "/rows/2/quantity"),
        (3, "missing_field", "/rows/3/transaction_id"),
    ]
    kept = await importer.rows("select index, code, customer_id, payload from rejections order by index")
    assert [row[:3] for row in kept] == [(2, "invalid_number", "C-1"), (3, "missing_field", "C-1")]
    assert json.loads(kept[0][3]) == {
        "transaction_id": "T-1",
        "customer_id": "C-1",
        "occurred_at": "2026-10-01T10:00:00Z",
        "currency": "EUR",
        "items": [
            {"product_id": "A", "quantity": "1", "unit_price": "1.00"},
            {"product_id": "B", "quantity": "two", "unit_price": "1.00"},
        ],
    }


# Rows that are transactions


async def test_an_empty_customer_is_a_guest(importer: Importer) -> None:
    await importer(csv_of(FLAT, f"T-1,,{WHEN},1.00"))
    assert await one(importer, "customer_id") == (None,)
    assert await importer.rows("select * from customers") == []


async def test_a_file_without_customers_says_that_all_are_guests(importer: Importer) -> None:
    result = await importer(csv_of("transaction_id,occurred_at,amount", f"T-1,{WHEN},1.00"))
    assert result["notes"] == ["no column is customer_id: all of these are transactions of guests"]


@pytest.mark.parametrize(
    ("row", "stored"),
    [
        ("-5.00,,", ("refund", 500)),
        ("5.00,,", ("purchase", 500)),
        ("5.00,refund,T-0", ("refund", 500)),
        ("-5.00,Refund,", ("refund", 500)),
        ("-0.00,,", ("purchase", 0)),
        ("-5.00,purchase,", "negative_amount"),
        ("5.00,gift,", "invalid_value"),
        ("5.00,purchase,T-0", "refunds_on_purchase"),
        ("5.005,,", "inexact_amount"),
        ("five,,", "invalid_amount"),
        ("--5.00,,", "negative_amount"),
        (",,", "missing_field"),
    ],
)
async def test_amounts_say_by_their_sign_or_kind_what_they_are(
    importer: Importer, row: str, stored: tuple[str, int] | str
) -> None:
    result = await importer(csv_of(f"{FLAT},kind,refunds", f"T-1,C-1,{WHEN},{row}"))
    if isinstance(stored, str):
        assert result["reasons"] == {stored: 1}
    else:
        assert await one(importer, "kind, amount_minor") == stored


async def test_what_is_not_mapped_is_ignored_and_listed(importer: Importer) -> None:
    columns = {"transaction_id": "Order", "amount": "Total"}
    content = csv_of("Order,Total,occurred_at,Colour,customer_id", f"T-1,1.00,{WHEN},red,C-1")
    result = await importer(content, columns=columns)
    assert (result["created"], result["ignored_columns"]) == (1, ["Colour"])


async def test_one_column_may_be_two_fields(importer: Importer) -> None:
    await importer(csv_of(FLAT, f"T-1,C-1,{WHEN},1.00"), columns={"channel": "customer_id"})
    assert await one(importer, "channel") == ("C-1",)


async def test_identifiers_stay_as_they_stand_in_the_file(importer: Importer) -> None:
    await importer(csv_of(FLAT, f"00017, 17850.0,{WHEN},1.00"))
    assert await one(importer, "transaction_id, customer_id") == ("00017", " 17850.0")


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"amount": "Totl"}, "no column 'Totl'; the file has 'transaction_id', 'customer_id', 'occurred_at', 'amount'"),
        ({"amont": "amount"}, "no field 'amont'"),
        ({"quantity": "amount"}, "lines need product_id, quantity and unit_price; missing: product_id, unit_price"),
    ],
)
async def test_a_mapping_that_does_not_fit_says_what_there_is(
    importer: Importer, mapping: dict[str, str], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        await importer(csv_of(FLAT, f"T-1,C-1,{WHEN},1.00"), columns=mapping)


@pytest.mark.parametrize("missing", ["transaction_id", "occurred_at", "amount"])
async def test_a_file_without_a_needed_column_is_refused(importer: Importer, missing: str) -> None:
    header = FLAT.replace(missing, "other")
    with pytest.raises(InvalidInput, match=missing):
        await importer(csv_of(header, "1,2,3,4"))


async def test_a_file_without_any_currency_is_refused(importer: Importer) -> None:
    with pytest.raises(InvalidInput, match="give the currency of the whole file"):
        await importer(csv_of(FLAT, f"T-1,C-1,{WHEN},1.00"), currency=None)


# Times


@pytest.mark.parametrize(
    ("written", "zone", "meant"),
    [
        ("2026-07-01 12:00:00", "UTC", "2026-07-01T12:00:00Z"),
        ("2026-07-01 12:00:00", "Europe/Berlin", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00", "Europe/Berlin", "2026-07-01T10:00:00Z"),
        ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00Z"),
        ("2026-07-01 12:00:00.123456789", "UTC", "2026-07-01T12:00:00.123456Z"),
        ("2026-07-01T12:00:00Z", "Europe/Berlin", "2026-07-01T12:00:00Z"),
        ("2026-07-01 12:00:00 +0530", "Europe/Berlin", "2026-07-01T06:30:00Z"),
        # Clocks went from 02:00 to 03:00: half past two is read with the offset before, +01:00.
        ("2026-03-29 02:30:00", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        # Clocks went from 03:00 back to 02:00: the first of the two, +02:00.
        ("2026-10-25 02:30:00", "Europe/Berlin", "2026-10-25T00:30:00Z"),
    ],
)
async def test_times_are_read_in_the_zone_of_the_file(importer: Importer, written: str, zone: str, meant: str) -> None:
    # A second row in another notation: reading all at once and one by one must mean the same.
    for other in ("2026-01-01", "2026-01-01T00:00:00Z"):
        await importer(csv_of(FLAT, f"T-1,C-1,{written},1.00", f"T-2,C-1,{other},1.00"), timezone=zone, source=other)
    found = await importer.rows("select occurred_at from transactions where transaction_id = 'T-1'")
    assert found == [(datetime.fromisoformat(meant),)] * 2


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("1/10/2026 10:00", "invalid_instant"),
        ("2026-02-30", "invalid_instant"),
        ("2026-10-01 25:00", "invalid_instant"),
        ("20261001", "invalid_instant"),
        ("0001-01-01", "absurd_instant"),
        ("9999-12-31 23:59:59", "absurd_instant"),
        ("2226-01-01", "absurd_instant"),
        ("", "missing_field"),
    ],
)
async def test_what_is_no_usual_time_is_refused(importer: Importer, written: str, code: str) -> None:
    result = await importer(csv_of(FLAT, f"T-1,C-1,{written},1.00", f"T-2,C-1,{WHEN},1.00"), timezone="Asia/Tokyo")
    assert (result["created"], result["reasons"]) == (1, {code: 1})


# Once


async def test_the_same_order_from_two_files_counts_once(importer: Importer) -> None:
    flat, lines = csv_of(FLAT, f"T-1,C-1,{WHEN},3.00"), csv_of(LINES, f"T-2,C-1,{WHEN},A,1,3.00")
    first = [await importer(flat, "one.csv"), await importer(lines, "two.csv")]
    again = [await importer(flat, "three.csv"), await importer(lines, "four.csv")]
    assert [result["created"] for result in first] == [1, 1]
    assert [(result["created"], result["duplicates"]) for result in again] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("other", ["T-1,C-1,{},A,2,1.00", "T-1,C-1,{},B,1,2.00", "T-1,C-2,{},A,1,2.00"])
async def test_the_same_order_with_other_content_is_a_conflict(importer: Importer, other: str) -> None:
    await importer(csv_of(LINES, f"T-1,C-1,{WHEN},A,1,2.00", f"T-2,C-1,{WHEN},A,1,2.00"))
    result = await importer(csv_of(LINES, f"T-2,C-1,{WHEN},A,1,2.00", other.format(WHEN)))
    assert (result["duplicates"], result["reasons"]) == (1, {"conflict": 1})
    assert result["first_rejected"][0]["pointer"] == "/rows/1/transaction_id"


async def test_rows_of_one_file_that_repeat_count_once(importer: Importer) -> None:
    row = f"T-1,C-1,{WHEN},3.00"
    result = await importer(csv_of(FLAT, row, row))
    assert (result["created"], result["duplicates"]) == (1, 1)


# Formats

ROWS = [
    {"transaction_id": "T-1", "customer_id": "17850.0", "occurred_at": WHEN, "product_id": "Ä;1", "quantity": 2,
     "unit_price": "0.335"},
    {"transaction_id": "T-2", "customer_id": None, "occurred_at": WHEN, "product_id": 'with "quotes", and commas',
     "quantity": -1, "unit_price": "4"},
    {"transaction_id": "T-1", "customer_id": "17850.0", "occurred_at": "2026-10-01 10:00:01", "product_id": "two\nrows",
     "quantity": 1, "unit_price": "2.55"},
]  # fmt: skip


def as_csv(rows: list[dict[str, Any]], **options: Any) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), sink, pyarrow.csv.WriteOptions(**options))
    return sink.getvalue()


def as_ndjson(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    typed = [
        {**row, "occurred_at": datetime.fromisoformat(row["occurred_at"]), "unit_price": float(row["unit_price"])}
        for row in rows
    ]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(typed), sink, row_group_size=1)
    return sink.getvalue()


FILES = {
    "file.csv.gz": gzip.compress(as_csv(ROWS)),
    "semicolons.csv": as_csv(ROWS, delimiter=";"),
    "tabs.tsv": as_csv(ROWS, delimiter="\t"),
    "marked.csv": b"\xef\xbb\xbf" + as_csv(ROWS),
    "dos.csv": as_csv(ROWS).replace(b'"\n', b'"\r\n'),
    "file.ndjson": as_ndjson(ROWS),
    "file.jsonl.gz": gzip.compress(as_ndjson(ROWS)),
    "members.ndjson.gz": b"".join(gzip.compress(as_ndjson([row])) for row in ROWS),
    "file.parquet": as_parquet(ROWS),
    "nameless": as_parquet(ROWS),
    "nameless2": as_ndjson(ROWS),
}


@pytest.mark.parametrize("name", FILES)
async def test_all_formats_give_what_csv_gives(importer: Importer, name: str) -> None:
    await importer(as_csv(ROWS), "file.csv", timezone="Europe/Berlin")
    expected = await importer.everything()
    assert [row[1:3] for row in expected[:2]] == [("T-1", "17850.0"), ("T-2", None)]
    async with importer.database.write() as session:
        await session.exec_driver_sql("truncate transactions, transaction_items, customers cascade")
    await importer(FILES[name], name, timezone="Europe/Berlin")
    assert await importer.everything() == expected


async def test_numbers_of_ndjson_and_parquet_are_exact(importer: Importer) -> None:
    row = {"transaction_id": 1, "customer_id": 17850.0, "occurred_at": WHEN, "amount": 0.29}
    table = {
        "transaction_id": pa.array([2], pa.int64()),
        "customer_id": pa.array([17850.0], pa.float64()),
        "occurred_at": pa.array([datetime.fromisoformat(WHEN)], pa.timestamp("ns")),
        "amount": pa.array(["0.29"]).cast(pa.decimal128(12, 4)),
    }
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(table), sink)
    await importer(as_ndjson([row]), "file.ndjson")
    await importer(sink.getvalue(), "file.parquet")
    found = await importer.rows("select transaction_id, customer_id, amount_minor from transactions order by 1")
    assert found == [("1", "17850.0", 29), ("2", "17850.0", 29)]


async def test_ndjson_in_the_form_of_the_api_brings_its_items(importer: Importer) -> None:
    item = {"product_id": "A", "quantity": 2, "unit_price": "1.50"}
    row = {"transaction_id": "T-1", "customer_id": "C-1", "occurred_at": WHEN, "amount": "3.00", "items": [item]}
    result = await importer(as_ndjson([row, {**row, "transaction_id": "T-2", "customer_id": None}]), "file.ndjson")
    assert (result["created"], result["rejected"]) == (2, 0)
    assert await importer.rows("select transaction_id, quantity::int from transaction_items order by 1") == [
        ("T-1", 2),
        ("T-2", 2),
    ]


# Customers and events


async def test_customers_bring_attributes_and_consent(importer: Importer) -> None:
    content = csv_of("id,Country,ok,joined", "C-1,Österreich,yes,2026-01-01", "C-2,,no,", "C-3,DE,perhaps,")
    columns = {
        "customer_id": "id",
        "attributes.country": "Country",
        "consent.marketing": "ok",
        "created_at": "joined",
    }
    result = await importer(content, records="customers", columns=columns)
    assert (result["created"], result["reasons"]) == (2, {"invalid_type": 1})
    assert result["first_rejected"][0]["pointer"] == "/rows/2/consent/marketing"
    found = await importer.rows(
        "select customer_id, attributes, consent_marketing, created_at from customers order by 1"
    )
    assert found == [
        ("C-1", {"country": "Österreich"}, True, datetime(2026, 1, 1, tzinfo=UTC)),
        ("C-2", {}, False, None),
    ]
    again = await importer(content, records="customers", columns=columns)
    assert (again["created"], again["updated"], again["duplicates"]) == (0, 0, 2)


async def test_customers_in_the_form_of_the_api_keep_their_types(importer: Importer) -> None:
    row = {"customer_id": "C-1", "attributes": {"age": 34, "tags": ["a"]}, "consent": {"profiling": True}}
    await importer(as_ndjson([row]), "file.ndjson", records="customers")
    found = await importer.rows("select attributes, consent_profiling from customers")
    assert found == [({"age": 34, "tags": ["a"]}, True)]


async def test_parts_of_a_document_are_put_into_the_whole(importer: Importer) -> None:
    row = {"customer_id": "C-1", "attributes": {"age": 34, "plan": "old"}, "Plan": "new", "consent.marketing": "no"}
    mapped = {"attributes.plan": "Plan"}
    await importer(as_ndjson([row]), "file.ndjson", records="customers", columns=mapped)
    await importer('customer_id,attributes\nC-2,"{""age"": 35}"\n', records="customers")
    found = await importer.rows("select attributes, consent_marketing from customers order by customer_id")
    assert found == [({"age": 34, "plan": "new"}, False), ({"age": 35}, None)]


async def test_events_bring_properties_and_values(importer: Importer) -> None:
    content = csv_of(
        "event_id,customer_id,type,occurred_at,value,properties.csat,Page",
        f"E-1,C-1,survey,{WHEN},,4,",
        f"E-2,C-1,page_view,{WHEN},1.5,,/shoes",
        f"E-3,C-1,Page View,{WHEN},,,",
        f"E-4,C-1,visit,{WHEN},many,,",
    )
    result = await importer(content, records="events", columns={"properties.page": "Page"}, timezone="Europe/Berlin")
    assert (result["created"], result["reasons"]) == (2, {"invalid_event_type": 1, "invalid_type": 1})
    found = await importer.rows("select event_id, occurred_at, value, properties from events order by 1")
    when = datetime(2026, 10, 1, 8, tzinfo=UTC)
    assert found == [("E-1", when, None, {"csat": 4}), ("E-2", when, 1.5, {"page": "/shoes"})]


# Dry runs


@pytest.mark.parametrize("header", [FLAT, LINES])
async def test_a_dry_run_says_what_would_happen_and_stores_nothing(importer: Importer, header: str) -> None:
    value = "5.00" if header == FLAT else "A,1,5.00"
    known = csv_of(header, f"T-1,C-1,{WHEN},{value}", f"T-2,C-1,{WHEN},{value}")
    await importer(known)
    before = await importer.everything()
    content = csv_of(
        header,
        f"T-1,C-1,{WHEN},{value}",
        f"T-2,C-2,{WHEN},{value}",
        f"T-3,C-3,{WHEN},{value}",
        f"T-4,C-3,soon,{value}",
    )
    rehearsed = await importer(content, dry_run=True)
    assert (rehearsed["dry_run"], rehearsed["created"], rehearsed["duplicates"]) == (True, 1, 1)
    assert rehearsed["reasons"] == {"conflict": 1, "invalid_instant": 1}
    assert await importer.everything() == before
    for table, rows in (("rejections", 0), ("customers", 1)):
        assert await importer.rows(f"select count(*) from {table}") == [(rows,)]
    real = await importer(content)
    assert {**real, "dry_run": True} == rehearsed


async def test_a_dry_run_knows_what_stood_in_earlier_batches(importer: Importer) -> None:
    # More rows than go into one transaction (20,000), and at the end two that stood at the beginning.
    rows = [f"T-{n},C-{n % 50},{WHEN},1.00" for n in range(20_001)]
    content = csv_of(FLAT, *rows, rows[0], f"T-1,C-1,{WHEN},2.00")
    rehearsed = await importer(content, dry_run=True)
    assert (rehearsed["created"], rehearsed["duplicates"], rehearsed["reasons"]) == (20_001, 1, {"conflict": 1})
    real = await importer(content)
    assert {**real, "dry_run": True, "first_rejected": []} == {**rehearsed, "first_rejected": []}


# Rows and files that are not what they should be


async def test_rows_with_too_many_or_too_few_columns_are_refused_where_they_stand(importer: Importer) -> None:
    good = f"C-1,{WHEN},1.00"
    content = csv_of(FLAT, f"T-0,{good}", "T-1,C-7", f"T-2,{good},extra", "", f'"T\n3",{good}', "T-4", "T-5,x,soon,1")
    result = await importer(content)
    assert (result["lines"], result["created"], result["rejected"]) == (6, 2, 4)
    assert [(each.index, each.code) for each in sorted(importer.refused, key=lambda r: r.index)] == [
        (1, "wrong_column_count"),
        (2, "wrong_column_count"),
        (4, "wrong_column_count"),
        (5, "invalid_instant"),
    ]
    kept = await importer.rows("select customer_id, payload from rejections where index = 1")
    assert kept[0][0] == "C-7"
    assert json.loads(kept[0][1]) == {"transaction_id": "T-1", "customer_id": "C-7", "row": "T-1,C-7"}


async def test_lines_of_ndjson_that_are_no_objects_are_refused_where_they_stand(importer: Importer) -> None:
    good = json.dumps({"transaction_id": "T-1", "customer_id": "C-1", "occurred_at": WHEN, "amount": 1})
    content = "\n".join([good, "[1]", "", '{"half":', good.replace("T-1", "T-2"), '{"a": "\\ud800"}'])
    result = await importer(content, "file.ndjson")
    assert (result["lines"], result["created"], result["rejected"]) == (5, 2, 3)
    assert sorted((each.index, each.code) for each in importer.refused) == [
        (1, "unreadable_row"),
        (2, "unreadable_row"),
        (4, "unreadable_row"),
    ]


async def test_what_an_unclosed_quotation_mark_swallows_is_refused_with_that_reason(importer: Importer) -> None:
    row = f"C-1,{WHEN},1.00"
    result = await importer(csv_of(FLAT, f"T-1,{row}", f'"T-2,{row}', f"T-3,{row}"))
    assert (result["created"], result["reasons"]) == (1, {"unclosed_quote": 1})
    kept = await importer.rows("select payload from rejections")
    assert f"T-3,{row}" in json.loads(kept[0][0])["row"]


@pytest.mark.parametrize("field", ["transaction_id", "customer_id", "channel"])
async def test_text_that_cannot_be_stored_is_refused(importer: Importer, field: str) -> None:
    row = {"transaction_id": "T-1", "customer_id": "C-1", "occurred_at": WHEN, "amount": "1.00", "channel": "web"}
    for number, bad in enumerate(("a\x00b", "x" * 256)):
        content = csv_of(",".join(row), ",".join({**row, field: bad}.values()))
        result = await importer(content)
        assert result["reasons"] == {("nul_character", "invalid_length")[number]: 1}


HOSTILE = {
    "empty.csv": (b"", "empty"),
    "empty.csv.gz": (gzip.compress(b""), "empty"),
    "header.csv": (FLAT.encode() + b"\n", "a header and no rows"),
    "header-only.csv": (FLAT.encode(), "a header and no rows"),
    "blank.csv": (b"\n\n\n", "names no columns"),
    "twice.csv": (b"a,b,a\n1,2,3\n", "columns stand twice in the header: 'a'"),
    "latin.csv": (csv_of(FLAT, f"T-1,J\u00f6rg,{WHEN},1").encode("latin-1"), "line 2, byte 52 .* 0xF6 .* WINDOWS-1252"),
    "wide.csv": (csv_of(FLAT, f"T-1,C-1,{WHEN},1").encode("utf-16"), "UTF-16"),
    "wide-unmarked.csv": (csv_of(FLAT, f"T-1,C-1,{WHEN},1").encode("utf-16-le"), "UTF-16"),
    "junk.csv": (bytes(range(256)) * 100, "not text"),
    "excel.csv": (b"PK\x03\x04" + bytes(100), "a zip or Excel file"),
    "parquet.csv": (b"PAR1" + bytes(100), "not CSV but Parquet"),
    "json.csv": (b'{"a": 1}\n', "looks like NDJSON"),
    "array.ndjson": (b'[{"a": 1}]', "one object on each line"),
    "csv.ndjson": (FLAT.encode() + b"\n", "does not begin with {"),
    "broken.ndjson": (b"{{{{\n" * 10, "no row .* is a JSON object"),
    "deep.ndjson": (b'{"a":' * 100_000 + b"\n", "no row .* is a JSON object"),
    "csv.parquet": (FLAT.encode() + b"\n", "not Parquet"),
    "cut.parquet": (as_parquet(ROWS)[:-40], "cannot be read as Parquet"),
    "cut.csv.gz": (gzip.compress(csv_of(FLAT, *[f"T-1,C-1,{WHEN},1"] * 9_999).encode())[:-200], "ends too early"),
    "junk.csv.gz": (b"\x1f\x8b" + bytes(range(256)), "gzip file is damaged"),
    "tail.csv.gz": (gzip.compress(csv_of(FLAT, f"T-1,C-1,{WHEN},1").encode()) + b"tail", "gzip file is damaged"),
    "quote.csv": (csv_of(FLAT, '"T-1' + f",C-1,{WHEN},1\n" * 600_000).encode(), "never closed"),
    "long.csv": (FLAT.encode() + b"\n" + b"x" * 10_000_000, "line 2 is longer"),
    "long.ndjson": (b'{"a": "' + b"x" * 10_000_000 + b'"}\n', "line 1 is longer"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_file_that_is_not_what_it_says_is_refused_with_the_reason(importer: Importer, name: str) -> None:
    content, problem = HOSTILE[name]
    with pytest.raises(Unreadable, match=problem):
        await importer(content, name)
    assert await importer.rows("select count(*) from transactions") == [(0,)]


async def test_damage_at_the_end_of_a_file_stores_nothing_of_it(importer: Importer) -> None:
    rows = [f"T-{n},C-1,{WHEN},1.00" for n in range(25_000)]
    with pytest.raises(TesseraError, match="line 25002"):
        await importer(csv_of(FLAT, *rows).encode() + b"T,\xff\xfe,,\n")
    assert await importer.rows("select count(*) from transactions") == [(0,)]


# Jobs that are interrupted

MANY = 70_000


def many_rows() -> bytes:
    bad = {15_000: "soon", 65_000: "later"}
    rows = (f"T-{n:06},C-{n % 500},{bad.get(n, WHEN)},1.00" for n in range(MANY))
    return csv_of(FLAT, *rows).encode()


async def queued(importer: Importer, content: bytes) -> str:
    arguments = {**Options("transactions", {}, currency="EUR").as_arguments(), "format": "csv"}
    async with importer.database.write() as session:
        job_id = await enqueue(session, JOB_KIND, arguments=arguments)
        for piece in range(0, len(content), 1_000_000):
            part = content[piece : piece + 1_000_000]
            await jobs.add_upload_piece(session, job_id, piece=piece // 1_000_000, content=part)
    return str(job_id)


async def progress(importer: Importer) -> tuple[str, int]:
    ((status, done),) = await importer.rows("select status, progress_done from jobs")
    return status, done


async def partly_done(importer: Importer) -> None:
    """Wait until some of the job is committed and some is not."""
    with anyio.fail_after(30):
        while (await progress(importer))[1] == 0:
            await anyio.sleep(0.002)
    status, done = await progress(importer)
    assert status == "running"
    assert 0 < done < MANY


async def test_an_import_goes_on_where_a_killed_worker_stopped(importer: Importer, database_url: str) -> None:
    job_id = await queued(importer, many_rows())
    command = [sys.executable, "-m", "tests.support.imports", database_url, job_id]
    worker = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
    try:
        await partly_done(importer)
    finally:
        worker.kill()
        await worker.wait()
    ((stored,),) = await importer.rows("select count(*) from transactions")
    await run_job(database_url, job_id)
    ((status, attempts, result),) = await importer.rows("select status, attempts, result from jobs")
    assert (status, attempts) == ("succeeded", 2)
    counts = {"lines": MANY, "received": MANY, "created": MANY - 2, "duplicates": 0, "rejected": 2}
    assert {name: result[name] for name in counts} == counts
    assert [row["index"] for row in result["first_rejected"]] == [15_000, 65_000]
    # What the first worker committed was neither counted twice nor refused twice.
    assert 0 < stored < MANY - 2
    assert await importer.rows("select count(*) from transactions") == [(MANY - 2,)]
    assert await importer.rows("select count(*) from rejections") == [(2,)]
    assert await importer.rows("select count(*) from job_uploads") == [(0,)]


async def test_an_import_outlives_the_loss_of_its_connection(importer: Importer, database_url: str) -> None:
    job_id = await queued(importer, many_rows())
    running = asyncio.create_task(run_job(database_url, job_id))
    await partly_done(importer)
    async with importer.database.write() as session:
        await session.exec_driver_sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test worker'"
        )
    with pytest.raises(Unavailable):
        await running
    await run_job(database_url, job_id)
    assert await progress(importer) == ("succeeded", MANY)
    assert await importer.rows("select count(*) from transactions") == [(MANY - 2,)]


async def test_an_import_that_is_cancelled_keeps_what_it_stored(importer: Importer, database_url: str) -> None:
    job_id = await queued(importer, many_rows())
    running = asyncio.create_task(run_job(database_url, job_id))
    await partly_done(importer)
    async with importer.database.write() as session:
        await session.exec_driver_sql("update jobs set cancel_requested = true")
    await running
    status, done = await progress(importer)
    assert (status, done < MANY) == ("cancelled", True)
    assert await importer.rows("select count(*) from transactions") == [(done - 1,)]
